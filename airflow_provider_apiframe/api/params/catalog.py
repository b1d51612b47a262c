"""What each model accepts, in one table.

Sources: the model pages under Apiframe's docs "Images / Flux", and for what they leave open the
    vendor's OpenAPI file.
The vendor's list of models grows monthly, so a model that is missing here is not refused: it gets
the general checks only.
"""

from __future__ import annotations

from dataclasses import dataclass

DEFAULT_MODEL = "flux-2-flex"

_EVERY_MODEL = frozenset(
    {"aspect_ratio", "output_format", "output_quality", "seed", "width", "height"}
)
_FLUX_1 = _EVERY_MODEL | {"image_prompt", "image_prompt_strength", "prompt_upsampling"}
_FLUX_2 = _EVERY_MODEL | {"input_images"}


@dataclass(frozen=True)
class Model:
    """One model: its id, the parameters it takes, and where its limits are narrower than the
    general ones.

    ``max_side`` is in pixels (width and height), ``max_input_images`` counts reference images.
    """

    id: str
    params: frozenset[str]
    max_input_images: int = 0
    max_side: int = 2048


_FLEX = {"resolution", "steps", "guidance", "prompt_upsampling"}

MODELS: dict[str, Model] = {
    model.id: model
    for model in (
        Model("flux-2-flex", _FLUX_2 | _FLEX, max_input_images=10),
        Model("flux-2-pro", _FLUX_2 | {"resolution", "prompt_upsampling"}, max_input_images=8),
        Model("flux-2-max", _FLUX_2 | {"resolution"}, max_input_images=8),
        Model("flux-2-dev", _FLUX_2 | {"go_fast"}, max_input_images=5),
        Model("flux-1.1-pro", _FLUX_1, max_side=1440),
        # No docs page of its own: where nothing is said (width, height, prompt_upsampling), OpenAPI
        # decides, which takes them.
        Model("flux-1.1-pro-ultra", _FLUX_1 | {"raw"}),
    )
}


def models_taking(param: str) -> list[str]:
    """Return the ids of the known models that take the parameter *param*, in catalogue order."""
    return [model.id for model in MODELS.values() if param in model.params]
