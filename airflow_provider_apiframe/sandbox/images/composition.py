"""Images made from another one: placed on a poster, drawn anew in parts, or cut out."""

from __future__ import annotations

from collections.abc import Sequence
from io import BytesIO

from PIL import Image, ImageChops, ImageDraw, ImageFilter, ImageOps

from airflow_provider_apiframe.sandbox.images.poster import Poster, draw
from airflow_provider_apiframe.sandbox.state.image_plan import Box, CutOut
from airflow_provider_apiframe.sandbox.state.image_size import LONGEST, SHORTEST, Size

GREEN = (0, 177, 64)  # of the screens in film studios
WHITE = (255, 255, 255)
SUBJECT = 0.1  # margin around what is taken for the subject, as a share of the sides
Color = tuple[int, int, int]
BACKDROPS: dict[CutOut, Color] = {"green": GREEN, "white": WHITE}


def draw_in_size(poster: Poster, size: Size) -> Image.Image:
    """Return a poster in any size: one that is too large or too small to draw is resized."""
    shrink = min(1.0, LONGEST / max(size))
    drawn = tuple(max(SHORTEST, round(side * shrink)) for side in size)
    image = draw(poster.sized(drawn[0], drawn[1]))
    return image if image.size == size else image.resize(size)


def place(
    poster: Poster, size: Size, picture: bytes, box: Box, mask: bytes | None = None
) -> Image.Image:
    """Return an image that shows another as it is, on a poster.

    :param poster: what is drawn where the other image is not.
    :param size: of the whole in pixels.
    :param picture: the other image's file.
    :param box: where it lies.
    :param mask: file of the image in whose white parts the poster shows instead.
    """
    left, top, *inner = box
    with Image.open(BytesIO(picture)) as opened:
        placed = opened.convert("RGB").resize((inner[0], inner[1]))
    if placed.size == size and mask is None:
        return placed
    image = draw_in_size(poster, size)
    kept = None
    if mask is not None:
        with Image.open(BytesIO(mask)) as opened:
            kept = ImageChops.invert(opened.convert("L").resize(placed.size))
    image.paste(placed, (left, top), kept)
    return image


def cut_out(image: Image.Image, way: CutOut, *, reverse: bool = False) -> Image.Image:
    """Return an image without its background: an oval in its middle is taken for the subject.

    :param way: what takes the background's place: nothing ("rgba"), a color, a blur, a shade over
        it ("overlay"); "map" returns the mask alone.
    :param reverse: whether to remove the subject instead.
    """
    width, height = image.size
    mask = Image.new("L", image.size, 0)
    margins = round(width * SUBJECT), round(height * SUBJECT)
    oval = (margins[0], margins[1], width - 1 - margins[0], height - 1 - margins[1])
    ImageDraw.Draw(mask).ellipse(oval, 255)
    if reverse:
        mask = ImageChops.invert(mask)
    if way == "map":
        return mask.convert("RGB")
    if way == "rgba":
        subject = image.convert("RGB")
        subject.putalpha(mask)
        return subject
    return Image.composite(image, _backdrop(image, way), mask)


def _backdrop(image: Image.Image, way: CutOut) -> Image.Image:
    if way == "blur":
        return image.filter(ImageFilter.GaussianBlur(max(image.size) / 40))
    if way == "overlay":
        return Image.blend(image, Image.new("RGB", image.size, GREEN), 0.5)
    return Image.new("RGB", image.size, BACKDROPS[way])


def grid(files: Sequence[bytes], size: Size) -> Image.Image:
    """Return an image of images, two in a row.

    :param files: image files.
    :param size: of the whole in pixels.
    """
    rows = -(-len(files) // 2)
    cell = max(1, size[0] // 2), max(1, size[1] // rows)
    image = Image.new("RGB", size, WHITE)
    for index, file in enumerate(files):
        with Image.open(BytesIO(file)) as opened:
            fitted = ImageOps.fit(opened.convert("RGB"), cell)
        image.paste(fitted, (index % 2 * cell[0], index // 2 * cell[1]))
    return image
