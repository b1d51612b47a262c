"""What each Flux model accepts, in one table.

Sources: the model pages under Apiframe's docs "Images / Flux", and for what they leave open the
    vendor's OpenAPI file.
The vendor's list of models grows monthly, so a model that is missing here is not refused: it gets
the general checks only.
"""

from __future__ import annotations

from dataclasses import dataclass

DEFAULT_MODEL = "flux-2-flex"

_EVERY_MODEL = frozenset({"aspect_ratio", "output_format", "output_quality", "seed"})
_SIZE = frozenset({"width", "height"})
_REFERENCE = frozenset({"image_prompt", "image_prompt_strength"})


@dataclass(frozen=True)
class FluxModel:
    """One model: its id, the ``fluxParams`` it takes, and where its limits are narrower than the
    general ones.

    ``max_side`` is in pixels (width and height), ``max_input_images`` counts reference images.
    """

    id: str
    params: frozenset[str]
    max_input_images: int = 0
    max_side: int = 2048


FLUX_MODELS: dict[str, FluxModel] = {
    model.id: model
    for model in (
        FluxModel(
            "flux-2-flex",
            _EVERY_MODEL
            | _SIZE
            | {"resolution", "input_images", "steps", "guidance", "prompt_upsampling"},
            max_input_images=10,
        ),
        FluxModel(
            "flux-2-pro",
            _EVERY_MODEL | _SIZE | {"resolution", "input_images", "prompt_upsampling"},
            max_input_images=8,
        ),
        FluxModel(
            "flux-2-max", _EVERY_MODEL | _SIZE | {"resolution", "input_images"}, max_input_images=8
        ),
        FluxModel(
            "flux-2-dev", _EVERY_MODEL | _SIZE | {"input_images", "go_fast"}, max_input_images=5
        ),
        FluxModel(
            "flux-1.1-pro", _EVERY_MODEL | _SIZE | _REFERENCE | {"prompt_upsampling"}, max_side=1440
        ),
        # No docs page of its own: where nothing is said (width, height, prompt_upsampling), OpenAPI
        # decides, which takes them.
        FluxModel(
            "flux-1.1-pro-ultra", _EVERY_MODEL | _SIZE | _REFERENCE | {"prompt_upsampling", "raw"}
        ),
    )
}


def models_taking(param: str) -> list[str]:
    """Return the ids of the known models that take the ``fluxParams`` key *param*, in catalogue order."""
    return [model.id for model in FLUX_MODELS.values() if param in model.params]
