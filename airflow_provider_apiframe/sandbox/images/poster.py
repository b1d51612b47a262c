"""The images: a poster with the prompt's headline large, the whole prompt small, and its making.

The same poster always gives the same image. The palette comes from the seed when there is one, so
that images of one seed look like one campaign; the design comes from seed, prompt and number.
Of a prompt that does not fit even in the smallest letters, the end is left out.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from hashlib import sha256
from io import BytesIO
from random import Random

from PIL import Image, ImageChops, ImageDraw, ImageFilter, ImageOps

from airflow_provider_apiframe.sandbox.images.backgrounds import (
    PALETTES,
    Color,
    Palette,
    background,
    mixed,
)
from airflow_provider_apiframe.sandbox.images.text_layout import (
    Block,
    caption_block,
    font,
    headline_block,
    headline_of,
)

WIDE = 1.5  # from this ratio of width to height on, the caption stands beside the art, not below
PAPER_SHARES = (0.26, 0.32, 0.38, 0.44)  # of the width, where the caption stands beside the art
DEFAULT_QUALITY = 90  # of jpg and webp; the vendor names no default
PICTURE_SHARE = 0.7  # of the input image in the art that it shows through
WHITE = (255, 255, 255)
BLACK = (0, 0, 0)
SIGN = " ".join("APIFRAME SANDBOX")


@dataclass(frozen=True, slots=True)
class Poster:
    """What to draw.

    :param prompt: the whole prompt.
    :param model: model id.
    :param width: pixels, 64-2048.
    :param height: pixels, 64-2048.
    :param format: png, jpg, jpeg or webp.
    :param quality: 0-100 for jpg and webp, None for the default; png has none.
    :param seed: the seed of the request, None if it has none.
    :param notes: more for the footer, e.g. "steps 30".
    :param number: of the image in its job, from 1; each has a design of its own.
    :param picture: an image file that shows through the background, None for none.
    :param plain: whether to draw four fields of color, another four for each image, and no more.
    """

    prompt: str
    model: str
    width: int
    height: int
    format: str = "png"
    quality: int | None = None
    seed: int | None = None
    notes: tuple[str, ...] = ()
    number: int = 1
    picture: bytes | None = None
    plain: bool = False

    def sized(self, width: int, height: int) -> Poster:
        """Return the poster for another number of pixels."""
        return replace(self, width=width, height=height)


def render(poster: Poster) -> bytes:
    """Return the poster as a file in its format."""
    return encode(draw(poster), poster.format, poster.quality)


def draw(poster: Poster) -> Image.Image:
    """Return the poster as an image of exactly its width and height."""
    if poster.plain:
        return _plain_fields(poster)
    prompt = " ".join(poster.prompt.encode("utf-8", "replace").decode().split())
    palette = Random(f"palette {prompt if poster.seed is None else poster.seed}").choice(PALETTES)
    layout = _lay_out(poster, prompt)
    image = Image.new("RGB", (poster.width, poster.height), palette.paper)
    variant = f" {poster.number}" if poster.number > 1 else ""
    rng = Random(f"design {poster.seed} {prompt}{variant}")
    image.paste(_with_picture(background(*layout.art, palette, rng), poster.picture))
    _write_headline(image, layout, headline_of(prompt), palette)
    _write_paper(image, layout, palette)
    return image


def _plain_fields(poster: Poster) -> Image.Image:
    making = f"{poster.model} {poster.seed} {poster.number} {poster.prompt}"
    colors = sha256(making.encode("utf-8", "replace")).digest()[:12]
    fields = Image.frombytes("RGB", (2, 2), colors)
    return fields.resize((poster.width, poster.height), Image.Resampling.NEAREST)


def _with_picture(art: Image.Image, picture: bytes | None) -> Image.Image:
    if picture is None:
        return art
    with Image.open(BytesIO(picture)) as image:
        return Image.blend(art, ImageOps.fit(image.convert("RGB"), art.size), PICTURE_SHARE)


@dataclass(frozen=True, slots=True)
class _Layout:
    art: tuple[int, int]  # width and height; it begins at the top left
    paper: tuple[int, int, int, int]  # left, top, right, bottom
    margin: int
    gap: int
    caption: Block
    footer: Block


def _lay_out(poster: Poster, prompt: str) -> _Layout:
    width, height = poster.width, poster.height
    short = min(width, height)
    margin, gap = max(5, round(0.05 * short)), max(4, round(0.03 * short))
    size = max(11, round(0.027 * (width * height) ** 0.5))
    facts = [poster.model, f"{width} x {height}", *poster.notes]
    if poster.seed is not None:
        facts.append(f"seed {poster.seed}")

    def texts(paper_width: int, height: float) -> tuple[Block, Block]:
        text_width = paper_width - 2 * margin
        footer = caption_block("  ·  ".join(facts), text_width, height * 0.3, round(size * 0.72))
        room = height - 2 * margin - gap - footer.height
        return caption_block(prompt, text_width, room, size), footer

    if width / height < WIDE:
        caption, footer = texts(width, height * 0.62)
        top = height - (2 * margin + gap + footer.height + caption.height)
        return _Layout((width, top), (0, top, width, height), margin, gap, caption, footer)
    # The paper is as narrow as the text allows.
    for share in PAPER_SHARES:
        paper_width = round(width * share)
        caption, footer = texts(paper_width, height)
        if caption.size == size:
            break
    left = width - paper_width
    return _Layout((left, height), (left, 0, width, height), margin, gap, caption, footer)


def _write_headline(image: Image.Image, layout: _Layout, headline: str, palette: Palette) -> None:
    width, height = layout.art
    sign_size = max(8, round(layout.footer.size * 0.9))
    sign_width = font(sign_size).getlength(SIGN)
    has_sign = height > 12 * sign_size and sign_width <= width - 2 * layout.margin
    room = height - 2 * layout.margin - (4 * sign_size if has_sign else 0)
    largest = round(0.3 * min(width, 1.2 * height))
    block = headline_block(headline, width - 3 * layout.margin, room, largest)

    letters = Image.new("L", (width, height), 0)
    pen = ImageDraw.Draw(letters)
    _write(pen, block, width / 2, (height - block.height) / 2, 255, anchor="ma")
    if has_sign:
        pen.text((width / 2, layout.margin), SIGN, 255, font(sign_size), anchor="ma")
    shadow = letters.filter(ImageFilter.GaussianBlur(max(1.0, block.size / 10)))
    shadow = ImageChops.offset(shadow, 0, block.size // 24)
    shadow = shadow.point(lambda value: min(200, value * 1.3))
    image.paste(mixed(palette.ground[0], BLACK, 0.6), (0, 0), shadow)
    image.paste(WHITE, (0, 0), letters)


def _write_paper(image: Image.Image, layout: _Layout, palette: Palette) -> None:
    left, top, right, bottom = layout.paper
    margin, caption, footer = layout.margin, layout.caption, layout.footer
    pen = ImageDraw.Draw(image)
    edge = max(2, margin // 8)
    border = (left, top, right, top + edge) if left == 0 else (left, top, left + edge, bottom)
    pen.rectangle(border, fill=palette.accents[0])
    footer_top = bottom - margin - footer.height
    _write(pen, caption, left + margin, footer_top - layout.gap - caption.height, palette.ink)
    rule = footer_top - layout.gap // 2
    line = (left + margin, rule, right - margin, rule)
    pen.line(line, fill=mixed(palette.paper, palette.ink, 0.25))
    _write(pen, footer, left + margin, footer_top, mixed(palette.ink, palette.paper, 0.3))


def _write(
    pen: ImageDraw.ImageDraw,
    block: Block,
    x: float,
    y: float,
    color: int | Color,
    anchor: str = "la",
) -> None:
    face, stroke = font(block.size), block.stroke
    for index, line in enumerate(block.lines):
        at = (x, y + stroke + index * block.size * block.spacing)
        pen.text(at, line, color, face, anchor, stroke_width=stroke, stroke_fill=color)


def encode(image: Image.Image, form: str, quality: int | None) -> bytes:
    """Return an image as a file.

    :param form: png, jpg, jpeg or webp.
    :param quality: 0-100 for jpg and webp, None for the default.
    """
    file = BytesIO()
    quality = DEFAULT_QUALITY if quality is None else quality
    if form in ("jpg", "jpeg"):
        if image.mode == "RGBA":  # which has no place for what can be seen through
            backdrop = Image.new("RGBA", image.size, WHITE)
            image = Image.alpha_composite(backdrop, image).convert("RGB")
        subsampling = 0 if quality >= DEFAULT_QUALITY else 2
        image.save(file, "JPEG", quality=max(1, quality), subsampling=subsampling)
    elif form == "webp":
        image.save(file, "WEBP", quality=quality, method=2)
    else:
        # Half the time of Pillow's usual level, for files a third larger, which loopback does not
        # mind.
        image.save(file, "PNG", compress_level=2)
    return file.getvalue()
