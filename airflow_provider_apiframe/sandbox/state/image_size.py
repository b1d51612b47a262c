"""How large an image is, from the fluxParams of its request."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from fractions import Fraction
from typing import Any

Size = tuple[int, int]

MEGAPIXEL = 1024 * 1024  # so that 1 MP at 1:1 is 1024x1024, the usual Flux image
LONGEST = 2048  # the top of `width` and `height` in the OpenAPI file
SHORTEST = 64  # below this no text can be read
STEP = 16  # Flux sides are multiples of 16


def image_size(params: Mapping[str, Any], size_of_input: Callable[[str], Size | None]) -> Size:
    """Return (width, height) in pixels.

    `width` and `height` count when no "W:H" ratio is given (Flux 2 Flex page: only with "custom");
    one of them alone makes a square. Else it is the ratio (1:1 when absent) at the resolution (1 MP
    when absent or unknown).

    :param params: valid fluxParams.
    :param size_of_input: tells the size of an input image by its URL, None if it isn't known.
    :raises ValueError: a side of the aspect ratio is 0, which passes validation but can't be drawn.
    """
    ratio = params.get("aspect_ratio")
    resolution = params.get("resolution")
    sides = [side for side in (params.get("width"), params.get("height")) if side is not None]
    if ratio in (None, "custom") and sides:
        return int(sides[0]), int(sides[-1])

    original: Size | None = None
    if "match_input_image" in (ratio, resolution) and params.get("input_images"):
        original = size_of_input(params["input_images"][0])
    if (
        original
        and resolution in (None, "match_input_image")
        and ratio in (None, "match_input_image")
    ):
        return original

    across, down = _sides(ratio) or (original if ratio == "match_input_image" else None) or (1, 1)
    area = _area(resolution) or (math.prod(original) if original else MEGAPIXEL)
    return _fitted(Fraction(across, down), area)


def _sides(ratio: str | None) -> tuple[int, int] | None:
    if ratio is None or ":" not in ratio:
        return None
    across, down = (int(side) for side in ratio.split(":"))
    if not across or not down:
        raise ValueError(f"Aspect ratio {ratio} has a side of 0")
    return across, down


def _area(resolution: str | None) -> float | None:
    megapixels = re.fullmatch(r"(0\.5|1|2|4) ?MP", resolution or "")
    return float(megapixels[1]) * MEGAPIXEL if megapixels else None


def _fitted(exact_ratio: Fraction, area: float) -> Size:
    ratio = float(min(max(exact_ratio, Fraction(SHORTEST, LONGEST)), Fraction(LONGEST, SHORTEST)))
    width, height = math.sqrt(area * ratio), math.sqrt(area / ratio)
    shrink = min(1.0, LONGEST / max(width, height))
    return _stepped(width * shrink), _stepped(height * shrink)


def _stepped(side: float) -> int:
    return max(SHORTEST, round(side / STEP) * STEP)
