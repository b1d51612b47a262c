"""The families of models: a family has one object in the body for its parameters.

A family's module is loaded when it is first asked for: a DAG with Flux loads no other.
"""

from __future__ import annotations

from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from airflow_provider_apiframe.api.params.base import ModelParams


class Family(NamedTuple):
    """Where a family's parameters stand.

    :param key: the name of their object in the body. Their class has the same name, with a capital.
    :param module: the module beside this one that has the class.
    """

    key: str
    module: str


FAMILIES: dict[str, Family] = {
    "flux": Family("fluxParams", "flux"),
    "flux_lora": Family("fluxLoraParams", "flux_lora"),
    "midjourney": Family("midjourneyParams", "midjourney"),
    "nano_banana": Family("nanoBananaParams", "nano_banana"),
    "seedream": Family("seedreamParams", "seedream"),
    "ideogram": Family("ideogramParams", "ideogram"),
    "stable_diffusion": Family("stableDiffusionParams", "stable_diffusion"),
    "imagen": Family("imagenParams", "imagen"),
    "dalle": Family("dalleParams", "dalle"),
    "gpt_image": Family("gptImageParams", "gpt_image"),
    "gpt_image_2": Family("gptImage2Params", "gpt_image"),
    "kling": Family("klingImageParams", "kling"),
    "qwen": Family("qwenImageParams", "qwen"),
    "qwen_2": Family("qwenImage2Params", "qwen"),
    "wan": Family("wanImageParams", "wan"),
    "wan_27": Family("wanImage27Params", "wan"),
    "grok": Family("grokImagineParams", "grok"),
    "reve": Family("reveParams", "reve"),
    "topaz_upscale": Family("topazUpscaleParams", "upscale"),
    "clarity_upscale": Family("clarityUpscaleParams", "upscale"),
    "flux_fill": Family("fluxFillParams", "fill"),
    "bria_background": Family("briaBgRemoveParams", "background"),
    "lab851_background": Family("lab851BgRemoveParams", "background"),
}

IMAGE_FIELDS = frozenset(
    {
        "character_reference_image",
        "image",
        "image_input",
        "image_prompt",
        "image_url",
        "input_images",
        "mask",
        "style_reference_images",
    }
)
"""The names of the parameters that are reference images in any of them."""


@cache
def params_class(family: str) -> type[ModelParams]:
    """Return the class of a family's parameters."""
    key, module = FAMILIES[family]
    found: type[ModelParams] = getattr(
        import_module(f"airflow_provider_apiframe.api.params.{module}"), key[0].upper() + key[1:]
    )
    return found


def class_of_key(key: str) -> type[ModelParams] | None:
    """Return the class of the parameters that stand in *key* of a request's body, if known."""
    return next(
        (params_class(name) for name, family in FAMILIES.items() if family.key == key), None
    )
