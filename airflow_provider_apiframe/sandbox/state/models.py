"""The six Flux models the sandbox serves, and what it charges for them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Model:
    """A model of the catalog.

    :param id: the name used in requests.
    :param label: the name for people.
    :param description: one sentence.
    :param price: credits for one image. The vendor publishes no price per Flux model, so these
        numbers are invented: good for seeing a balance move, worthless for a budget.
    :param free_resolution: whether `resolution` may be any string (OpenAPI GenerateImageRequest)
        instead of a listed one.
    """

    id: str
    label: str
    description: str
    price: int
    free_resolution: bool

    def document(self) -> dict[str, Any]:
        """Return the model as a ModelCatalogEntry of the OpenAPI file."""
        return {
            "id": self.id,
            "label": self.label,
            "modality": "image",
            "description": self.description,
            "costMin": self.price,
            "costMax": self.price,
            "pricingMode": "flat",
        }


MODELS = {
    model.id: model
    for model in (
        Model("flux-1.1-pro", "Flux 1.1 Pro", "Fast images of good quality.", 8, True),
        Model(
            "flux-1.1-pro-ultra", "Flux 1.1 Pro Ultra", "Large images with a raw mode.", 12, True
        ),
        Model("flux-2-pro", "Flux 2 Pro", "Production quality, up to 8 input images.", 10, False),
        Model("flux-2-dev", "Flux 2 Dev", "For trying things out, up to 5 input images.", 4, True),
        Model(
            "flux-2-flex",
            "Flux 2 Flex",
            "Steps and guidance in your hands, strong at text in images.",
            12,
            False,
        ),
        Model("flux-2-max", "Flux 2 Max", "The best quality of the family.", 16, False),
    )
}
