"""Backgrounds of the images: palettes and shapes, chosen by a random generator that the caller seeds."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from random import Random
from typing import Literal

from PIL import Image, ImageDraw, ImageOps

Color = tuple[int, int, int]
Point = tuple[float, float]
Box = tuple[int, int, int, int]


@dataclass(frozen=True, slots=True)
class Shape:
    """A polygon by its corners, or a disc or ring by two corners of its box; `line` is a ring's width in pixels."""

    kind: Literal["polygon", "disc", "ring"]
    points: tuple[Point, ...]
    line: float = 0

    @property
    def bounds(self) -> tuple[float, float, float, float]:
        """Left, top, right and bottom in pixels."""
        across, down = [x for x, _ in self.points], [y for _, y in self.points]
        return min(across), min(down), max(across), max(down)


@dataclass(frozen=True, slots=True)
class Palette:
    """Colors that go together: a dark pair for the ground, accents for the shapes, paper and ink for the caption."""

    ground: tuple[Color, Color]
    accents: tuple[Color, Color, Color]
    paper: Color
    ink: Color


def _palette(*hexes: str) -> Palette:
    colors = [(int(text[0:2], 16), int(text[2:4], 16), int(text[4:6], 16)) for text in hexes]
    return Palette((colors[0], colors[1]), (colors[2], colors[3], colors[4]), colors[5], colors[6])


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
    angle = rng.choice((-35, -20, 0, 20, 35))
    image = gradient(width, height, *palette.ground, angle=angle)
    rng.choice(_DESIGNS)(image, palette, rng)
    return image


def gradient(width: int, height: int, top: Color, bottom: Color, angle: float = 0) -> Image.Image:
    """Return a gradient from one color to the other; `angle` turns it, in degrees from top to bottom."""
    ramp = Image.linear_gradient("L")
    if angle:
        # Turned about its middle the ramp leaves empty corners, so its middle half is taken.
        ramp = ramp.rotate(angle, Image.Resampling.BICUBIC, fillcolor=0).crop((48, 48, 208, 208))
        ramp = ImageOps.autocontrast(ramp)
    ramp = ramp.resize((width, height), Image.Resampling.BICUBIC)
    return ImageOps.colorize(ramp, top, bottom)


def mixed(first: Color, second: Color, share: float) -> Color:
    """Return the color between two, `share` (0-1) of the way to the second."""
    red, green, blue = (round(a + (b - a) * share) for a, b in zip(first, second, strict=True))
    return red, green, blue


def _stamp(
    image: Image.Image,
    shapes: Sequence[Shape],
    color: Color,
    opacity: float,
    clip: Box | None = None,
) -> None:
    """Fill shapes with a color; they are drawn twice as large and halved, so that their edges are smooth."""
    left, top, right, bottom = clip or (0, 0, *image.size)
    edges = [shape.bounds for shape in shapes]
    left, top = (
        max(left, math.floor(min(e[0] for e in edges))),
        max(top, math.floor(min(e[1] for e in edges))),
    )
    right, bottom = (
        min(right, math.ceil(max(e[2] for e in edges))),
        min(bottom, math.ceil(max(e[3] for e in edges))),
    )
    if left >= right or top >= bottom:
        return
    mask = Image.new("L", (2 * (right - left), 2 * (bottom - top)), 0)
    pen = ImageDraw.Draw(mask)
    for shape in shapes:
        points = [(2 * (x - left), 2 * (y - top)) for x, y in shape.points]
        if shape.kind == "polygon":
            pen.polygon(points, fill=round(255 * opacity))
        elif shape.kind == "ring":
            pen.ellipse(
                [*points[0], *points[1]],
                outline=round(255 * opacity),
                width=max(2, round(2 * shape.line)),
            )
        else:
            pen.ellipse([*points[0], *points[1]], fill=round(255 * opacity))
    image.paste(color, (left, top), mask.reduce(2))


def _polygon(*points: Point) -> Shape:
    return Shape("polygon", points)


def _disc(x: float, y: float, radius: float, line: float = 0) -> Shape:
    return Shape(
        "ring" if line else "disc", ((x - radius, y - radius), (x + radius, y + radius)), line
    )


def _sunburst(image: Image.Image, palette: Palette, rng: Random) -> None:
    width, height = image.size
    x, y = width * rng.uniform(0.35, 0.65), height * rng.uniform(0.55, 0.8)
    reach, count = width + height, rng.choice((14, 18, 22))
    turn = rng.uniform(0, math.tau)

    def far(angle: float) -> Point:
        return x + reach * math.cos(angle), y + reach * math.sin(angle)

    starts = [turn + math.tau * ray / count for ray in range(count)]
    rays = [_polygon((x, y), far(start), far(start + math.pi / count)) for start in starts]
    _stamp(image, rays, palette.accents[0], 0.32)
    unit = min(width, height)
    for radius, color, opacity in ((0.42, 2, 0.35), (0.33, 0, 0.85), (0.24, 1, 0.95)):
        _stamp(image, [_disc(x, y, unit * radius)], palette.accents[color], opacity)


def _hills(image: Image.Image, palette: Palette, rng: Random) -> None:
    width, height = image.size
    unit = min(width, height)
    sun = _disc(
        width * rng.uniform(0.2, 0.8),
        height * rng.uniform(0.2, 0.4),
        unit * rng.uniform(0.16, 0.24),
    )
    _stamp(image, [sun], palette.accents[1], 0.95)
    layers, steps = 5, 120
    for layer in range(layers):
        base = height * (0.42 + 0.13 * layer)
        swing, phase = unit * rng.uniform(0.04, 0.1), rng.uniform(0, math.tau)
        waves = rng.uniform(0.8, 1.8) * max(1.0, width / height)
        turns = [phase + math.tau * waves * step / steps for step in range(steps + 1)]
        ridge = [
            (width * step / steps, base + swing * math.sin(turn)) for step, turn in enumerate(turns)
        ]
        share = layer / (layers - 1)
        color = mixed(
            mixed(palette.accents[0], palette.accents[2], share),
            palette.ground[0],
            0.15 + 0.6 * share,
        )
        _stamp(image, [_polygon(*ridge, (width, height), (0, height))], color, 0.9)


def _circles(image: Image.Image, palette: Palette, rng: Random) -> None:
    width, height = image.size
    unit = min(width, height)
    for index in range(7):
        x, y = width * rng.uniform(0, 1), height * rng.uniform(0, 1)
        line = unit * 0.035 if rng.random() < 0.35 else 0
        circle = _disc(x, y, unit * rng.uniform(0.18, 0.5), line)
        _stamp(image, [circle], palette.accents[index % 3], rng.uniform(0.35, 0.75))


def _ribbons(image: Image.Image, palette: Palette, rng: Random) -> None:
    width, height = image.size
    unit, lean = min(width, height), height * rng.choice((-1, 1)) * rng.uniform(0.5, 1.1)
    bands: tuple[list[Shape], ...] = ([], [], [])
    at, count = min(0.0, -lean), 0
    while at < width + max(0.0, -lean):
        thick = unit * rng.uniform(0.05, 0.16)
        bands[count % 3].append(
            _polygon((at, 0), (at + thick, 0), (at + thick + lean, height), (at + lean, height))
        )
        at += thick + unit * rng.uniform(0.08, 0.22)
        count += 1
    for shapes, color in zip(bands, palette.accents, strict=True):
        if shapes:
            _stamp(image, shapes, color, rng.uniform(0.45, 0.85))


def _tiles(image: Image.Image, palette: Palette, rng: Random) -> None:
    width, height = image.size
    side = math.ceil(min(width, height) / rng.choice((3, 4)))
    pen = ImageDraw.Draw(image)
    for top in range(0, height, side):
        for left in range(0, width, side):
            ground = rng.choice((*palette.ground, mixed(*palette.ground, 0.5)))
            tile = (left, top, min(width, left + side), min(height, top + side))
            pen.rectangle((left, top, left + side - 1, top + side - 1), fill=ground)
            across, down = left + side * rng.choice((0, 0.5, 1)), top + side * rng.choice((0, 1))
            shape = rng.choice(
                (
                    _disc(across, down, side / 2),
                    _disc(left + side * rng.choice((0, 1)), down, side),
                    _disc(left + side / 2, top + side / 2, side * 0.36),
                )
            )
            if rng.random() < 0.85:
                _stamp(image, [shape], rng.choice(palette.accents), 1, tile)


_DESIGNS = (_sunburst, _hills, _circles, _ribbons, _tiles)
