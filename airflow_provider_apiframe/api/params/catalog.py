"""What each model accepts, in one table.

Sources: the vendor's OpenAPI file; for the Flux models, whose parameters it does not tell apart,
    the model pages under Apiframe's docs "Images / Flux".
The vendor's list of models grows monthly, so a model that is missing here is not refused: it gets
the general checks only. ``make catalog`` shows what has changed.

Ranges stand at the fields of the families, see :mod:`.families`. Here is what tells a family's
models apart, and the names, so that nobody has to load the families to find a name.
"""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterable
from dataclasses import dataclass

DEFAULT_MODEL = "flux-2-flex"
DEFAULT_UPSCALE_MODEL = "topaz-image-upscale"
DEFAULT_EDIT_MODEL = "flux-fill-pro"
DEFAULT_BACKGROUND_MODEL = "bria-bg-remove"

PROMPT_MAX_LENGTH = 2000
"""UTF-16 code units, as the JavaScript backend counts: an emoji is two. A few models take more.

Source: OpenAPI GenerateImageRequest.
"""


@dataclass(frozen=True)
class Model:
    """One model: its id, the parameters it takes, and where its limits are narrower than those of
    its family.

    :param family: name in :mod:`.families`.
    :param params: names of its parameters.
    :param required: those of them without which it makes nothing.
    :param max_input_images: images that ``input_images`` may have; None: what the family takes.
    :param max_side: pixels of width and height; None: what the family takes.
    :param prompt_max: characters (UTF-16 units) that its prompt may have.
    :param arguments: of a tool: what the vendor puts among the parameters, and the request takes
        as arguments of its own.
    """

    id: str
    family: str
    params: frozenset[str]
    required: frozenset[str] = frozenset()
    max_input_images: int | None = None
    max_side: int | None = None
    prompt_max: int = PROMPT_MAX_LENGTH
    arguments: frozenset[str] = frozenset()


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


def _table(models: Iterable[Model]) -> dict[str, Model]:
    return {model.id: model for model in models}


_FLUX = _names("aspect_ratio output_format output_quality seed width height")
_FLUX_1 = _FLUX | _names("image_prompt image_prompt_strength prompt_upsampling")
_FLUX_2 = _FLUX | {"input_images"}
_FLUX_LORA = _names(
    "loraId aspect_ratio guidance_scale lora_strength num_inference_steps num_outputs"
    " output_format seed"
)
_NANO_BANANA = _names(
    "aspect_ratio resolution image_input output_format google_search image_search"
)
_SEEDREAM = _names(
    "aspect_ratio size resolution width height image_input guidance_scale enhance_prompt"
    " use_pre_llm output_format seed"
)
_IDEOGRAM = _names(
    "aspect_ratio resolution style_type style_preset negative_prompt image mask"
    " character_reference_image style_reference_images magic_prompt_option rendering_speed seed"
)
_STABLE_DIFFUSION = _names(
    "aspect_ratio cfg steps image prompt_strength negative_prompt output_format output_quality seed"
)
_GPT_IMAGE = _names("aspect_ratio background input_images number_of_images output_format quality")
_QWEN = _names(
    "image_size num_images num_inference_steps guidance_scale strength task_type image_url"
    " acceleration negative_prompt output_format seed"
)
_QWEN_2 = _names("aspect_ratio image negative_prompt seed")
_WAN = _names("aspect_ratio image seed")

MODELS: dict[str, Model] = _table(
    [
        Model(
            "flux-2-flex",
            "flux",
            _FLUX_2 | _names("resolution steps guidance prompt_upsampling"),
            max_input_images=10,
        ),
        Model(
            "flux-2-pro",
            "flux",
            _FLUX_2 | _names("resolution prompt_upsampling"),
            max_input_images=8,
        ),
        Model("flux-2-max", "flux", _FLUX_2 | {"resolution"}, max_input_images=8),
        Model("flux-2-dev", "flux", _FLUX_2 | {"go_fast"}, max_input_images=5),
        Model("flux-1.1-pro", "flux", _FLUX_1, max_side=1440),
        # No docs page of its own: where nothing is said (width, height, prompt_upsampling), OpenAPI
        # decides, which takes them.
        Model("flux-1.1-pro-ultra", "flux", _FLUX_1 | {"raw"}),
        Model("flux-lora", "flux_lora", _FLUX_LORA, required=frozenset({"loraId"})),
        Model("midjourney", "midjourney", _names("aspect_ratio")),
        *(
            Model(id, "nano_banana", _NANO_BANANA)
            for id in ("nano-banana", "nano-banana-pro", "nano-banana-2", "nano-banana-2-lite")
        ),
        *(
            Model(f"seedream-{version}", "seedream", _SEEDREAM)
            for version in ("3", "3.1", "4", "4.5", "5-lite", "5-pro")
        ),
        *(
            Model(f"ideogram-{version}", "ideogram", _IDEOGRAM)
            for version in (
                *("v2", "v2-turbo", "v2a", "v2a-turbo"),
                *("v3-balanced", "v3-turbo", "v3-quality"),
                *("v4-balanced", "v4-turbo", "v4-quality"),
            )
        ),
        Model(
            "ideogram-character",
            "ideogram",
            _IDEOGRAM,
            required=frozenset({"character_reference_image"}),
        ),
        *(
            Model(f"stable-diffusion-{version}", "stable_diffusion", _STABLE_DIFFUSION)
            for version in ("3.5-large", "3.5-large-turbo", "3.5-medium", "3")
        ),
        *(
            Model(f"imagen-{version}", "imagen", _names("aspect_ratio image_size output_format"))
            for version in ("3", "3-fast", "4", "4-ultra", "4-fast")
        ),
        Model("dall-e-3", "dalle", _names("aspect_ratio style")),
        Model("dall-e-2", "dalle", _names("aspect_ratio style")),
        Model("gpt-image-1.5", "gpt_image", _GPT_IMAGE | {"input_fidelity"}),
        Model("gpt-image-2", "gpt_image_2", _GPT_IMAGE | {"moderation"}),
        Model(
            "kling-image",
            "kling",
            _names("aspect_ratio image image_fidelity model_name n negative_prompt"),
        ),
        Model("qwen-image", "qwen", _QWEN),
        Model("qwen-image-2", "qwen_2", _QWEN_2),
        Model("qwen-image-2-pro", "qwen_2", _QWEN_2),
        Model("wan-image-2.6", "wan", _WAN | _names("negative_prompt prompt_extend")),
        Model("wan-image-2.7", "wan_27", _WAN | {"thinking_mode"}, prompt_max=5000),
        Model("wan-image-2.7-pro", "wan_27", _WAN | {"thinking_mode"}, prompt_max=5000),
        Model("grok-imagine-image", "grok", _names("aspect_ratio image")),
        Model("reve-create", "reve", _names("aspect_ratio seed version")),
    ]
)
"""The models of ``POST /v2/images/generate``."""

_IMAGE = _names("image")

UPSCALE_MODELS: dict[str, Model] = _table(
    [
        Model(
            "topaz-image-upscale",
            "topaz_upscale",
            _names(
                "upscale_factor model_type face_enhance face_enhance_creativity"
                " face_enhance_strength output_format seed"
            ),
            arguments=_IMAGE,
        ),
        Model(
            "clarity-upscale",
            "clarity_upscale",
            _names(
                "prompt negative_prompt scale_factor creativity resemblance dynamic"
                " num_inference_steps sharpen output_format seed"
            ),
            arguments=_IMAGE,
        ),
    ]
)
"""The models of ``POST /v2/images/upscale``."""

EDIT_MODELS: dict[str, Model] = _table(
    [
        Model(
            "flux-fill-pro",
            "flux_fill",
            _names("steps guidance safety_tolerance output_format seed prompt_upsampling"),
            arguments=_names("image prompt mode mask outpaint"),
        )
    ]
)
"""The models of ``POST /v2/images/edit``."""

BACKGROUND_MODELS: dict[str, Model] = _table(
    [
        Model(
            "bria-bg-remove",
            "bria_background",
            _names("content_moderation"),
            arguments=_IMAGE,
        ),
        Model(
            "851-bg-remove",
            "lab851_background",
            _names("background_type format reverse threshold"),
            arguments=_IMAGE,
        ),
    ]
)
"""The models of ``POST /v2/images/background-remove``."""

TOOLS: dict[str, Model] = {**UPSCALE_MODELS, **EDIT_MODELS, **BACKGROUND_MODELS}
"""The models that work on an image that is there already. Midjourney's actions name no model."""


BY_PATH: dict[str, dict[str, Model]] = {
    "/v2/images/generate": MODELS,
    "/v2/images/upscale": UPSCALE_MODELS,
    "/v2/images/edit": EDIT_MODELS,
    "/v2/images/background-remove": BACKGROUND_MODELS,
}
"""Which models a request takes, by the path that it goes to."""


def models_taking(param: str, *, family: str | None = None) -> list[str]:
    """Return the ids of the known models that take the parameter *param*, in catalogue order.

    :param family: only the models of this family; None for all.
    """
    return [
        model.id
        for model in (*MODELS.values(), *TOOLS.values())
        if param in model.params and family in (None, model.family)
    ]


def nearest_model(model: str, models: Collection[str] = MODELS) -> str | None:
    """Return the known model id that *model* probably means, or None when it is known itself or
    resembles none.

    :param models: the ids that may be meant.
    """
    if model in models:
        return None
    return next(iter(difflib.get_close_matches(model.lower(), models, n=1, cutoff=0.8)), None)
