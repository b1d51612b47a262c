"""What each model accepts, in one table.

Sources: the model pages under Apiframe's docs "Images / Flux", and for what they leave open the
    vendor's OpenAPI file.
The vendor's list of models grows monthly, so a model that is missing here is not refused: it gets
the general checks only.
"""

from __future__ import annotations

import difflib
from dataclasses import dataclass

DEFAULT_MODEL = "flux-2-flex"

PROMPT_MAX_LENGTH = 2000
"""UTF-16 code units, as the JavaScript backend counts: an emoji is two. A few models take more.

Source: OpenAPI GenerateImageRequest.
"""

_EVERY_MODEL = frozenset(
    {"aspect_ratio", "output_format", "output_quality", "seed", "width", "height"}
)
_FLUX_1 = _EVERY_MODEL | {"image_prompt", "image_prompt_strength", "prompt_upsampling"}
_FLUX_2 = _EVERY_MODEL | {"input_images"}


@dataclass(frozen=True)
class Model:
    """One model, and where its limits are narrower than the general ones of its family.

    :param id: as the vendor writes it.
    :param family: whose parameters it takes, a key of ``families.FAMILIES``.
    :param params: the names of those of them that it takes.
    :param required: the names of those that it needs.
    :param max_input_images: how many reference images it takes.
    :param max_side: of ``width`` and ``height``, in pixels.
    :param prompt_max: length of the prompt, in UTF-16 units.
    """

    id: str
    family: str
    params: frozenset[str]
    required: frozenset[str] = frozenset()
    max_input_images: int = 0
    max_side: int = 2048
    prompt_max: int = PROMPT_MAX_LENGTH


_FLEX = {"resolution", "steps", "guidance", "prompt_upsampling"}

MODELS: dict[str, Model] = {
    model.id: model
    for model in (
        Model("flux-2-flex", "flux", _FLUX_2 | _FLEX, max_input_images=10),
        Model(
            "flux-2-pro", "flux", _FLUX_2 | {"resolution", "prompt_upsampling"}, max_input_images=8
        ),
        Model("flux-2-max", "flux", _FLUX_2 | {"resolution"}, max_input_images=8),
        Model("flux-2-dev", "flux", _FLUX_2 | {"go_fast"}, max_input_images=5),
        Model("flux-1.1-pro", "flux", _FLUX_1, max_side=1440),
        # No docs page of its own: where nothing is said (width, height, prompt_upsampling), OpenAPI
        # decides, which takes them.
        Model("flux-1.1-pro-ultra", "flux", _FLUX_1 | {"raw"}),
    )
}


def models_taking(param: str, *, family: str | None = None) -> list[str]:
    """Return the ids of the known models that take the parameter *param*, in catalogue order.

    :param family: only the models of this family; None for all.
    """
    return [
        model.id
        for model in MODELS.values()
        if param in model.params and family in (None, model.family)
    ]


def nearest_model(model: str) -> str | None:
    """Return the known model id that *model* probably means, or None when it is known itself or
    resembles none."""
    if model in MODELS:
        return None
    return next(iter(difflib.get_close_matches(model.lower(), MODELS, n=1, cutoff=0.8)), None)
