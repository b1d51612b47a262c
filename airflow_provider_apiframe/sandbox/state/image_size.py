"""How large an image is, from the parameters of its request."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from fractions import Fraction
from typing import Any

Size = tuple[int, int]

MEGAPIXEL = 1024 * 1024  # so that 1 MP at 1:1 is 1024x1024, the usual Flux image
LONGEST = 2048  # the top of Flux's `width` and `height` in the OpenAPI file
LONGEST_4K = 4096  # the top of Seedream's
SHORTEST = 64  # below this no text can be read
STEP = 16  # Flux sides are multiples of 16

RESOLUTIONS = ("resolution", "size", "image_size")  # the families have three names for it

# `image_size` of qwen-image; the vendor says the names only, the pixels are those of its upstream.
NAMED_SIZES: Mapping[str, Size] = {
    "square": (512, 512),
    "square_hd": (1024, 1024),
    "portrait_4_3": (768, 1024),
    "portrait_16_9": (576, 1024),
    "landscape_4_3": (1024, 768),
    "landscape_16_9": (1024, 576),
}

# Parameters that are an input image or a list of them, what is drawn from first.
INPUTS = (
    "input_images",
    "image_input",
    "image",
    "image_url",
    "image_prompt",
    "character_reference_image",
    "style_reference_images",
    "mask",
)


def input_urls(params: Mapping[str, Any]) -> list[str]:
    """Return the URLs of the input images in valid parameters, what is drawn from first."""
    given = [params.get(name) or [] for name in INPUTS]  # gpt-image takes null for none
    return [url for each in given for url in ([each] if isinstance(each, str) else each)]


def image_size(params: Mapping[str, Any], size_of_input: Callable[[str], Size | None]) -> Size:
    """Return (width, height) in pixels.

    `width` and `height` count when no "W:H" ratio is given (Flux 2 Flex page: only with "custom");
    one of them alone makes a square. Then comes a resolution that says both sides. Else it is the
    ratio (1:1 when absent) at the resolution (1 MP when absent or unknown).

    :param params: valid parameters of any family.
    :param size_of_input: tells the size of an input image by its URL, None if it isn't known.
    :raises ValueError: a side of the aspect ratio is 0, which passes validation but can't be drawn.
    """
    ratio = params.get("aspect_ratio")
    resolution = next((params[name] for name in RESOLUTIONS if name in params), None)
    sides = [side for side in (params.get("width"), params.get("height")) if side is not None]
    if ratio in (None, "custom") and sides:
        return int(sides[0]), int(sides[-1])
    if both := _both_sides(resolution):
        return both

    original: Size | None = None
    if "match_input_image" in (ratio, resolution) and (urls := input_urls(params)):
        original = size_of_input(urls[0])
    if (
        original
        and resolution in (None, "match_input_image")
        and ratio in (None, "match_input_image")
    ):
        return original

    across, down = _sides(ratio) or (original if ratio == "match_input_image" else None) or (1, 1)
    area = _area(resolution) or (math.prod(original) if original else MEGAPIXEL)
    return _fitted(Fraction(across, down), area, LONGEST if area <= 4 * MEGAPIXEL else LONGEST_4K)


def capped(width: float, height: float) -> Size:
    """Return sides in pixels, shrunk in their ratio to what the sandbox draws at most."""
    shrink = min(1.0, LONGEST_4K / max(width, height))
    return max(1, round(width * shrink)), max(1, round(height * shrink))


def _both_sides(resolution: str | None) -> Size | None:
    if resolution is None:
        return None
    if resolution in NAMED_SIZES:
        return NAMED_SIZES[resolution]
    sides = re.fullmatch(r"([0-9]{2,4})[x*]([0-9]{2,4})", resolution)
    if sides is None:
        return None
    width, height = (min(max(int(side), SHORTEST), LONGEST_4K) for side in sides.groups())
    return width, height


def _sides(ratio: str | None) -> tuple[int, int] | None:
    sides = re.fullmatch(r"([0-9]+)[:x]([0-9]+)", ratio or "")
    if sides is None:
        return None
    across, down = map(int, sides.groups())
    if not across or not down:
        raise ValueError(f"Aspect ratio {ratio} has a side of 0")
    return across, down


def _area(resolution: str | None) -> float | None:
    if megapixels := re.fullmatch(r"(0\.5|1|2|4) ?MP", resolution or ""):
        return float(megapixels[1]) * MEGAPIXEL
    if resolution == "512px":
        return MEGAPIXEL / 4
    kilopixels = re.fullmatch(r"([124])K", resolution or "", re.IGNORECASE)
    return int(kilopixels[1]) ** 2 * MEGAPIXEL if kilopixels else None


def _fitted(exact_ratio: Fraction, area: float, longest: int) -> Size:
    ratio = float(min(max(exact_ratio, Fraction(SHORTEST, longest)), Fraction(longest, SHORTEST)))
    width, height = math.sqrt(area * ratio), math.sqrt(area / ratio)
    shrink = min(1.0, longest / max(width, height))
    return _stepped(width * shrink), _stepped(height * shrink)


def _stepped(side: float) -> int:
    return max(SHORTEST, round(side / STEP) * STEP)
