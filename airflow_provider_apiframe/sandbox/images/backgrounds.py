"""Backgrounds of the images: palettes and shapes, chosen by an rng that the caller seeds."""

from __future__ import annotations

import math
from dataclasses import dataclass
from random import Random

from PIL import Image, ImageColor, ImageDraw, ImageOps

Color = tuple[int, int, int]

OVERSIZE = 2  # shapes are drawn so many times larger, and reduced, so that their edges are smooth


@dataclass(frozen=True, slots=True)
class Palette:
    """Colors that go together.

    :param ground: a dark pair for the background.
    :param accents: for the shapes.
    :param paper: behind the caption.
    :param ink: of the caption.
    """

    ground: tuple[Color, Color]
    accents: tuple[Color, Color, Color]
    paper: Color
    ink: Color


def _palette(*codes: str) -> Palette:
    first, second, a, b, c, paper, ink = (ImageColor.getrgb(f"#{code}")[:3] for code in codes)
    return Palette((first, second), (a, b, c), paper, ink)


PALETTES = (
    _palette("2b1055", "d53369", "ff8a5b", "ffd166", "7f5af0", "fff7ec", "2b1055"),
    _palette("03254c", "1167b1", "2a9df4", "ffb703", "fb8500", "f4f9ff", "03254c"),
    _palette("0b3d2e", "1f7a5c", "a7c957", "e9c46a", "f4a259", "fbf8ef", "0b3d2e"),
    _palette("3d0c11", "b3261e", "ff7f50", "ffc857", "7a1f3d", "fff5ee", "3d0c11"),
    _palette("0f172a", "334e8a", "38bdf8", "f472b6", "a78bfa", "f5f7fb", "0f172a"),
    _palette("4a1942", "893168", "eaafc8", "ff9a8b", "654ea3", "fdf4fa", "4a1942"),
    _palette("083d47", "0e7c7b", "d62246", "f4c95d", "17bebb", "f3faf9", "083d47"),
    _palette("1d1d2b", "41415f", "e4572e", "f3a712", "76b041", "f7f5f0", "1d1d2b"),
    _palette("12263a", "2d5d7b", "f4d1ae", "e07a5f", "81b29a", "fbf6f0", "12263a"),
    _palette("240046", "5a189a", "ff006e", "fb5607", "8338ec", "fbf4ff", "240046"),
)


def background(width: int, height: int, palette: Palette, rng: Random) -> Image.Image:
    """Return an image of the given size in pixels with one of five designs."""
    size = (OVERSIZE * width, OVERSIZE * height)
    image = _gradient(size, palette.ground, rng.choice((-35, -20, 0, 20, 35)))
    design = rng.choice((_sunburst, _hills, _circles, _ribbons, _tiles))
    design(image, palette, rng)
    return image.reduce(OVERSIZE)


def mixed(first: Color, second: Color, share: float) -> Color:
    """Return the color between two, `share` (0-1) of the way to the second."""
    red, green, blue = (round(a + (b - a) * share) for a, b in zip(first, second, strict=True))
    return red, green, blue


def _gradient(size: tuple[int, int], colors: tuple[Color, Color], angle: int) -> Image.Image:
    ramp = Image.linear_gradient("L")
    if angle:
        # Turned about its middle the ramp leaves empty corners, so its middle half is taken.
        ramp = ramp.rotate(angle, Image.Resampling.BICUBIC, fillcolor=0).crop((48, 48, 208, 208))
        ramp = ImageOps.autocontrast(ramp)
    return ImageOps.colorize(ramp.resize(size, Image.Resampling.BICUBIC), *colors)


def _pen(image: Image.Image) -> ImageDraw.ImageDraw:
    return ImageDraw.Draw(image, "RGBA")  # this mode lets shapes be seen through


def _clear(color: Color, opacity: float) -> tuple[int, int, int, int]:
    return (*color, round(255 * opacity))


def _sunburst(image: Image.Image, palette: Palette, rng: Random) -> None:
    pen, (width, height) = _pen(image), image.size
    x, y = width * rng.uniform(0.35, 0.65), height * rng.uniform(0.55, 0.8)
    reach, count = width + height, rng.choice((14, 18, 22))
    turn = rng.uniform(0, math.tau)

    def far(angle: float) -> tuple[float, float]:
        return x + reach * math.cos(angle), y + reach * math.sin(angle)

    for ray in range(count):
        start = turn + math.tau * ray / count
        corners = [(x, y), far(start), far(start + math.pi / count)]
        pen.polygon(corners, _clear(palette.accents[0], 0.32))
    unit = min(width, height)
    for radius, color, opacity in ((0.42, 2, 0.35), (0.33, 0, 0.85), (0.24, 1, 0.95)):
        pen.circle((x, y), unit * radius, _clear(palette.accents[color], opacity))


def _hills(image: Image.Image, palette: Palette, rng: Random) -> None:
    pen, (width, height) = _pen(image), image.size
    unit = min(width, height)
    sun = (width * rng.uniform(0.2, 0.8), height * rng.uniform(0.2, 0.4))
    pen.circle(sun, unit * rng.uniform(0.16, 0.24), _clear(palette.accents[1], 0.95))
    layers, steps = 5, 120
    for layer in range(layers):
        base = height * (0.42 + 0.13 * layer)
        swing, phase = unit * rng.uniform(0.04, 0.1), rng.uniform(0, math.tau)
        waves = math.tau * rng.uniform(0.8, 1.8) * max(1.0, width / height)
        ridge = [
            (width * step / steps, base + swing * math.sin(phase + waves * step / steps))
            for step in range(steps + 1)
        ]
        share = layer / (layers - 1)
        color = mixed(palette.accents[0], palette.accents[2], share)
        color = mixed(color, palette.ground[0], 0.15 + 0.6 * share)
        pen.polygon([*ridge, (width, height), (0, height)], _clear(color, 0.9))


def _circles(image: Image.Image, palette: Palette, rng: Random) -> None:
    pen, (width, height) = _pen(image), image.size
    unit = min(width, height)
    for index in range(7):
        center, radius = (width * rng.random(), height * rng.random()), rng.uniform(0.18, 0.5)
        color = _clear(palette.accents[index % 3], rng.uniform(0.35, 0.75))
        if rng.random() < 0.35:
            pen.circle(center, unit * radius, outline=color, width=max(1, round(unit * 0.035)))
        else:
            pen.circle(center, unit * radius, color)


def _ribbons(image: Image.Image, palette: Palette, rng: Random) -> None:
    pen, (width, height) = _pen(image), image.size
    unit, lean = min(width, height), height * rng.choice((-1, 1)) * rng.uniform(0.5, 1.1)
    colors = [_clear(accent, rng.uniform(0.45, 0.85)) for accent in palette.accents]
    left, count = min(0.0, -lean), 0
    while left < width + max(0.0, -lean):
        right = left + unit * rng.uniform(0.05, 0.16)
        corners = [(left, 0), (right, 0), (right + lean, height), (left + lean, height)]
        pen.polygon(corners, colors[count % 3])
        left, count = right + unit * rng.uniform(0.08, 0.22), count + 1


def _tiles(image: Image.Image, palette: Palette, rng: Random) -> None:
    width, height = image.size
    side = math.ceil(min(width, height) / rng.choice((3, 4)))
    grounds = (*palette.ground, mixed(*palette.ground, 0.5))
    for top in range(0, height, side):
        for left in range(0, width, side):
            # Of its own, so that no shape reaches into the next tile.
            tile = Image.new("RGB", (side, side), rng.choice(grounds))
            across, down = side * rng.choice((0, 0.5, 1)), side * rng.choice((0, 1))
            half = ((across, down), side / 2)
            quarter = ((side * rng.choice((0, 1)), down), side)
            whole = ((side / 2, side / 2), side * 0.36)
            center, radius = rng.choice((half, quarter, whole))
            if rng.random() < 0.85:
                ImageDraw.Draw(tile).circle(center, radius, rng.choice(palette.accents))
            image.paste(tile, (left, top))
