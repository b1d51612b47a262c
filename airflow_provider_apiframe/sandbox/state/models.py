"""The models the sandbox serves, and what it charges for them.

All prices are invented: good for seeing a balance move, worthless for a budget. The vendor
publishes hardly any.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

PricingMode = Literal["flat", "per-output"]


@dataclass(frozen=True, slots=True)
class Model:
    """A model of the catalog.

    :param id: the name used in requests.
    :param label: the name for people.
    :param description: one sentence.
    :param price: credits for a job ("flat") or for each image of it ("per-output"); the highest
        where it depends on the request.
    :param pricing_mode: what the price is for.
    :param lowest_price: where it depends on the request, else None.
    """

    id: str
    label: str
    description: str
    price: int
    pricing_mode: PricingMode = "flat"
    lowest_price: int | None = None

    def cost(self, outputs: int) -> int:
        """Return the most that a job of so many images costs."""
        return self.price * outputs if self.pricing_mode == "per-output" else self.price

    def document(self) -> dict[str, Any]:
        """Return the model as a ModelCatalogEntry of the OpenAPI file."""
        return {
            "id": self.id,
            "label": self.label,
            "modality": "image",
            "description": self.description,
            "costMin": self.price if self.lowest_price is None else self.lowest_price,
            "costMax": self.price,
            "pricingMode": self.pricing_mode,
        }


ULTRA = "Large images with a raw mode."
FLEX = "Steps and guidance in your hands, strong at text in images."

MODELS: Mapping[str, Model] = {
    model.id: model
    for model in (
        Model("flux-1.1-pro", "Flux 1.1 Pro", "Fast images of good quality.", 8),
        Model("flux-1.1-pro-ultra", "Flux 1.1 Pro Ultra", ULTRA, 12),
        Model("flux-2-pro", "Flux 2 Pro", "Production quality, up to 8 input images.", 10),
        Model("flux-2-dev", "Flux 2 Dev", "For trying things out, up to 5 input images.", 4),
        Model("flux-2-flex", "Flux 2 Flex", FLEX, 12),
        Model("flux-2-max", "Flux 2 Max", "The best quality of the family.", 16),
        Model("flux-lora", "Flux LoRA", "Draws with a LoRA of your own.", 3, "per-output"),
        Model("midjourney", "Midjourney", "Four images and a grid of them.", 18, lowest_price=5),
        Model("nano-banana", "Nano Banana", "Google's fast image model.", 5),
        Model("nano-banana-pro", "Nano Banana Pro", "Google's best, up to 4K.", 18),
        Model("nano-banana-2", "Nano Banana 2", "Google's second generation.", 9),
        Model("nano-banana-2-lite", "Nano Banana 2 Lite", "The second generation, cheap.", 3),
        Model("seedream-3", "Seedream 3", "ByteDance's third generation.", 4),
        Model("seedream-3.1", "Seedream 3.1", "The third generation, revised.", 4),
        Model("seedream-4", "Seedream 4", "Up to 4K, up to 14 input images.", 5),
        Model("seedream-4.5", "Seedream 4.5", "The fourth generation, revised.", 6),
        Model("seedream-5-lite", "Seedream 5 Lite", "The fifth generation, cheap.", 5),
        Model("seedream-5-pro", "Seedream 5 Pro", "The fifth generation at its best.", 11),
        Model("ideogram-v2", "Ideogram 2", "Text in images.", 11),
        Model("ideogram-v2-turbo", "Ideogram 2 Turbo", "The same in less time.", 7),
        Model("ideogram-v2a", "Ideogram 2a", "Cheaper than 2.", 6),
        Model("ideogram-v2a-turbo", "Ideogram 2a Turbo", "The same in less time.", 4),
        Model("ideogram-v3-balanced", "Ideogram 3 Balanced", "Between its neighbours.", 8),
        Model("ideogram-v3-turbo", "Ideogram 3 Turbo", "The fast one.", 4),
        Model("ideogram-v3-quality", "Ideogram 3 Quality", "The fine one.", 12),
        Model("ideogram-v4-balanced", "Ideogram 4 Balanced", "Between its neighbours.", 9),
        Model("ideogram-v4-turbo", "Ideogram 4 Turbo", "The fast one.", 5),
        Model("ideogram-v4-quality", "Ideogram 4 Quality", "The fine one.", 13),
        Model("ideogram-character", "Ideogram Character", "One character in many images.", 14),
        Model("stable-diffusion-3.5-large", "Stable Diffusion 3.5 Large", "8 billion.", 9),
        Model("stable-diffusion-3.5-large-turbo", "Stable Diffusion 3.5 Turbo", "4 steps.", 6),
        Model("stable-diffusion-3.5-medium", "Stable Diffusion 3.5 Medium", "2.5 billion.", 5),
        Model("stable-diffusion-3", "Stable Diffusion 3", "The third generation.", 5),
        Model("imagen-3", "Imagen 3", "Google's third generation.", 7),
        Model("imagen-3-fast", "Imagen 3 Fast", "The same in less time.", 3),
        Model("imagen-4", "Imagen 4", "Google's fourth generation.", 6),
        Model("imagen-4-ultra", "Imagen 4 Ultra", "The fourth generation at its best.", 9),
        Model("imagen-4-fast", "Imagen 4 Fast", "The same in less time.", 3),
        Model("dall-e-3", "DALL-E 3", "Vivid or natural.", 6),
        Model("dall-e-2", "DALL-E 2", "The second generation.", 3),
        Model("gpt-image-1.5", "GPT Image 1.5", "Up to 10 images at once.", 7, "per-output"),
        Model("gpt-image-2", "GPT Image 2", "Up to 10 images at once.", 10, "per-output"),
        Model("kling-image", "Kling Image", "Up to 4 images at once.", 4, "per-output"),
        Model("qwen-image", "Qwen Image", "Up to 4 images at once.", 4, "per-output"),
        Model("qwen-image-2", "Qwen Image 2", "The second generation.", 5),
        Model("qwen-image-2-pro", "Qwen Image 2 Pro", "The second at its best.", 9),
        Model("wan-image-2.6", "Wan Image 2.6", "Extends short prompts.", 4),
        Model("wan-image-2.7", "Wan Image 2.7", "Prompts of 5,000 characters.", 5),
        Model("wan-image-2.7-pro", "Wan Image 2.7 Pro", "Prompts of 5,000 characters.", 9),
        Model("grok-imagine-image", "Grok Imagine", "xAI's image model.", 3),
        Model("reve-create", "Reve Create", "Follows long prompts.", 4),
        Model("topaz-image-upscale", "Topaz Upscale", "By output size.", 17, lowest_price=2),
        Model("clarity-upscale", "Clarity Upscale", "Adds detail.", 4),
        Model("flux-fill-pro", "Flux Fill Pro", "Inpaints and outpaints.", 8),
        Model("bria-bg-remove", "Bria Background Removal", "Fine edges.", 3),
        Model("851-bg-remove", "851 Labs Background Removal", "Fast.", 1),
    )
}


def action_cost(action: str) -> int:
    """Return what a Midjourney action costs."""
    midjourney = MODELS["midjourney"]
    if action == "upsample" and midjourney.lowest_price is not None:
        return midjourney.lowest_price
    return midjourney.price


def topaz_cost(width: int, height: int) -> int:
    """Return what an upscale by Topaz costs, given the output in pixels: by begun megapixels."""
    topaz = MODELS["topaz-image-upscale"]
    megapixels = -(-width * height // (1024 * 1024))
    return max(topaz.lowest_price or 0, min(topaz.price, megapixels))
