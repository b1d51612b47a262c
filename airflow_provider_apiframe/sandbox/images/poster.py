"""The images: a poster with the prompt's headline large, the whole prompt small, and how it was
made below.

The same poster always gives the same image. The palette comes from the seed when there is one, so
that images of one seed look like one campaign; the design comes from seed and prompt. Of a prompt
that does not fit even in the smallest letters, the end is left out.
"""

from __future__ import annotations

from dataclasses import dataclass
from io import BytesIO
from random import Random

from PIL import Image, ImageChops, ImageDraw, ImageFilter

from airflow_provider_apiframe.sandbox.images.backgrounds import (
    PALETTES,
    Box,
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
DEFAULT_QUALITY = 90  # of jpg and webp; the vendor names no default
WHITE = (255, 255, 255)
BLACK = (0, 0, 0)
PAPER_SHARES = (0.26, 0.32, 0.38, 0.44)  # of the width, where the caption stands beside the art
SIGN = "APIFRAME SANDBOX"
TRACKING = 0.22  # space between the letters of the sign, as a share of their size


@dataclass(frozen=True, slots=True)
class Poster:
    """What to draw.

    Attributes:
        prompt: the whole prompt.
        model: model id.
        width: pixels, 64-2048.
        height: pixels, 64-2048.
        format: png, jpg or webp.
        quality: 0-100 for jpg and webp, None for the default; png has none.
        seed: the seed of the request, None when it has none.
        notes: more for the footer, e.g. "steps 30".
    """

    prompt: str
    model: str
    width: int
    height: int
    format: str = "png"
    quality: int | None = None
    seed: int | None = None
    notes: tuple[str, ...] = ()


def render(poster: Poster) -> bytes:
    """Return the poster as a file in its format."""
    return _encoded(draw(poster), poster.format, poster.quality)


def draw(poster: Poster) -> Image.Image:
    """Return the poster as an image of exactly its width and height."""
    prompt = " ".join(poster.prompt.encode("utf-8", "replace").decode().split())
    palette = Random(f"palette {prompt if poster.seed is None else poster.seed}").choice(PALETTES)
    layout = _laid_out(poster, prompt)
    image = Image.new("RGB", (poster.width, poster.height), palette.paper)
    left, top, right, bottom = layout.art
    rng = Random(f"design {poster.seed} {prompt}")
    image.paste(background(right - left, bottom - top, palette, rng), (left, top))
    _write_headline(image, layout, headline_of(prompt), palette)
    _write_paper(image, layout, palette)
    return image


@dataclass(frozen=True, slots=True)
class _Layout:
    art: Box
    paper: Box
    margin: int
    gap: int
    caption: Block
    footer: Block


def _laid_out(poster: Poster, prompt: str) -> _Layout:
    width, height = poster.width, poster.height
    short = min(width, height)
    margin, gap = max(5, round(0.05 * short)), max(4, round(0.03 * short))
    size = max(11, round(0.027 * (width * height) ** 0.5))
    made = [poster.model, f"{width} x {height}", *poster.notes]
    if poster.seed is not None:
        made.append(f"seed {poster.seed}")
    about = "  ·  ".join(made)

    def texts(text_width: int, most: int) -> tuple[Block, Block]:
        footer = caption_block(about, text_width, most * 0.3, round(size * 0.72))
        return caption_block(
            prompt, text_width, most - 2 * margin - gap - footer.height, size
        ), footer

    if width / height < WIDE:
        caption, footer = texts(width - 2 * margin, round(height * 0.62))
        top = height - (2 * margin + gap + footer.height + caption.height)
        return _Layout((0, 0, width, top), (0, top, width, height), margin, gap, caption, footer)
    # The paper is as narrow as the text allows.
    for share in PAPER_SHARES:
        left = width - round(width * share)
        caption, footer = texts(width - left - 2 * margin, height)
        if caption.size == size:
            break
    return _Layout((0, 0, left, height), (left, 0, width, height), margin, gap, caption, footer)


def _write_headline(image: Image.Image, layout: _Layout, headline: str, palette: Palette) -> None:
    left, top, right, bottom = layout.art
    margin, width, height = layout.margin, right - left, bottom - top
    sign_size = max(8, round(layout.footer.size * 0.9))
    sign_height = 2 * sign_size if height > 12 * sign_size else 0
    room = height - 2 * margin - 2 * sign_height
    block = headline_block(
        headline, width - 3 * margin, room, round(0.3 * min(width, 1.2 * height))
    )

    letters = Image.new("L", (width, height), 0)
    pen = ImageDraw.Draw(letters)
    _write(pen, block, width / 2, (height - block.height) / 2, 255, anchor="ma")
    if sign_height and _spaced_length(SIGN, sign_size) <= width - 2 * margin:
        _write_spaced(pen, SIGN, sign_size, width / 2, margin)
    shadow = ImageChops.offset(
        letters.filter(ImageFilter.GaussianBlur(max(1.0, block.size / 10))), 0, block.size // 24
    )
    image.paste(
        mixed(palette.ground[0], BLACK, 0.6),
        (left, top),
        shadow.point(lambda value: min(200, value * 1.3)),
    )
    image.paste(WHITE, (left, top), letters)


def _write_paper(image: Image.Image, layout: _Layout, palette: Palette) -> None:
    left, top, right, bottom = layout.paper
    margin, caption, footer = layout.margin, layout.caption, layout.footer
    pen = ImageDraw.Draw(image)
    pen.rectangle(layout.paper, fill=palette.paper)
    edge = max(2, margin // 8)
    border = (left, top, right, top + edge) if left == 0 else (left, top, left + edge, bottom)
    pen.rectangle(border, fill=palette.accents[0])
    footer_top = bottom - margin - footer.height
    _write(pen, caption, left + margin, footer_top - layout.gap - caption.height, palette.ink)
    rule = footer_top - layout.gap // 2
    pen.line(
        (left + margin, rule, right - margin, rule), fill=mixed(palette.paper, palette.ink, 0.25)
    )
    _write(pen, footer, left + margin, footer_top, mixed(palette.ink, palette.paper, 0.3))


def _write(
    pen: ImageDraw.ImageDraw,
    block: Block,
    x: float,
    y: float,
    fill: int | Color,
    anchor: str = "la",
) -> None:
    for index, line in enumerate(block.lines):
        at = (x, y + block.stroke + index * block.line_height)
        pen.text(
            at,
            line,
            font=font(block.size),
            fill=fill,
            anchor=anchor,
            stroke_width=block.stroke,
            stroke_fill=fill,
        )


def _spaced_length(text: str, size: int) -> float:
    return sum(font(size).getlength(letter) for letter in text) + TRACKING * size * (len(text) - 1)


def _write_spaced(pen: ImageDraw.ImageDraw, text: str, size: int, middle: float, y: float) -> None:
    x = middle - _spaced_length(text, size) / 2
    for letter in text:
        pen.text((x, y), letter, font=font(size), fill=255)
        x += font(size).getlength(letter) + TRACKING * size


def _encoded(image: Image.Image, form: str, quality: int | None) -> bytes:
    file = BytesIO()
    chosen = DEFAULT_QUALITY if quality is None else quality
    if form == "jpg":
        image.save(
            file, "JPEG", quality=max(1, chosen), subsampling=0 if chosen >= DEFAULT_QUALITY else 2
        )
    elif form == "webp":
        image.save(file, "WEBP", quality=chosen, method=2)
    else:
        # Half the time of Pillow's usual level, for files a third larger, which loopback does not
        # mind.
        image.save(file, "PNG", compress_level=2)
    return file.getvalue()
