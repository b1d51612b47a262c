"""Text in images: finding the headline of a prompt, and fitting lines into a box."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

from PIL import ImageFont

from airflow_provider_apiframe.sandbox.state.prompt_directives import without_directives

LINE_HEIGHT = 1.22  # of the font size, for running text
HEADLINE_HEIGHT = 1.06  # of the font size, for a headline
SMALLEST = 9  # pixels; below this the letters can't be read
LONGEST_HEADLINE = 70  # characters

_QUOTED = re.compile(
    r'"([^"]{1,200})"|“([^”]{1,200})”|«([^»]{1,200})»'
    r"|(?<!\w)['\u2018]([^'\u2019]{2,200})['\u2019](?!\w)"
)
_ANNOUNCED = (
    re.compile(r"\b(?:reading|reads|saying|says)\s*:?\s+([^,.;:\n]+)", re.IGNORECASE),
    re.compile(
        r"\btext(?!\s+(?:in|on|at|with|over|and|of|is)\b)\s*:?\s+([^,.;:\n]+)", re.IGNORECASE
    ),
)
_LOOSE_ENDS = frozenset(
    (
        "a",
        "an",
        "and",
        "as",
        "at",
        "by",
        "for",
        "from",
        "in",
        "into",
        "of",
        "on",
        "or",
        "over",
        "the",
        "to",
        "with",
    )
)

Font = ImageFont.FreeTypeFont | ImageFont.ImageFont


@lru_cache(maxsize=256)
def font(size: int) -> Font:
    """Return Pillow's own font in a size given in pixels."""
    return ImageFont.load_default(size=size)


def headline_of(prompt: str) -> str:
    """Return what a poster for this prompt should say large.

    That is the text in quotes, else what follows "reading", "saying" or "text", else the first
    words.
    """
    text = without_directives(prompt)
    quoted = _QUOTED.search(text)
    announced = next((found for pattern in _ANNOUNCED if (found := pattern.search(text))), None)
    if quoted:
        words = next(group for group in quoted.groups() if group)
    elif announced:
        words = announced[1]
    else:
        first = re.split(r"[,.;:!?]", text, maxsplit=1)[0] or text
        chosen = first.split()[:6]
        while len(chosen) > 2 and chosen[-1].lower() in _LOOSE_ENDS:
            chosen.pop()
        words = " ".join(chosen)
        words = words[:1].upper() + words[1:]
    words = " ".join(words.split()) or "Untitled"
    return words if len(words) <= LONGEST_HEADLINE else words[: LONGEST_HEADLINE - 1].rstrip() + "…"


@dataclass(frozen=True, slots=True)
class Block:
    """Lines of text in one size. `stroke` is the width in pixels that makes the letters bold."""

    lines: tuple[str, ...]
    size: int
    stroke: int = 0
    spacing: float = LINE_HEIGHT

    @property
    def height(self) -> int:
        """The height in pixels."""
        return round(len(self.lines) * self.size * self.spacing) + 2 * self.stroke

    @property
    def line_height(self) -> float:
        """The distance between lines in pixels."""
        return self.size * self.spacing


def wrapped(text: str, size: int, width: float, stroke: int = 0) -> tuple[tuple[str, ...], bool]:
    """Break `text` into lines of at most `width` pixels, and tell whether every word stayed whole."""
    face, whole = font(size), True
    room, space = width - 2 * stroke, face.getlength(" ")
    lines: list[str] = []
    line, used = "", 0.0
    lengths = {word: face.getlength(word) for word in set(text.split())}
    for word in text.split():
        length = lengths[word]
        if line and used + space + length <= room:
            line, used = f"{line} {word}", used + space + length
            continue
        if line:
            lines.append(line)
        if length > room:
            whole = False
            *pieces, word = _pieces(word, face, room)
            lines.extend(pieces)
            length = face.getlength(word)
        line, used = word, length
    return (*lines, line), whole


def _pieces(word: str, face: Font, room: float) -> list[str]:
    pieces, piece, used = [], "", 0.0
    for letter in word:
        length = face.getlength(letter)
        if piece and used + length > room:
            pieces.append(piece)
            piece, used = "", 0.0
        piece, used = piece + letter, used + length
    return [*pieces, piece]


def headline_block(text: str, width: float, height: float, largest: int) -> Block:
    """Return the headline as large as the box (in pixels) allows, words kept whole where they can be."""
    low, high = SMALLEST - 1, max(SMALLEST, largest)
    while low < high:
        size = (low + high + 1) // 2
        block, whole = _headline(text, size, width)
        if whole and block.height <= height:
            low = size
        else:
            high = size - 1
    if low >= SMALLEST:
        return _headline(text, low, width)[0]
    block, _ = _headline(text, SMALLEST, width)
    return _shortened(block, height)


def _headline(text: str, size: int, width: float) -> tuple[Block, bool]:
    stroke = size // 40
    lines, whole = wrapped(text, size, width, stroke)
    return Block(lines, size, stroke, HEADLINE_HEIGHT), whole


def caption_block(text: str, width: float, height: float, largest: int) -> Block:
    """Return running text in the largest size up to `largest` that fits; cut short where not even the smallest does."""
    low, high = SMALLEST, max(SMALLEST, largest)
    while low < high:
        size = (low + high + 1) // 2
        if Block(wrapped(text, size, width)[0], size).height <= height:
            low = size
        else:
            high = size - 1
    return _shortened(Block(wrapped(text, low, width)[0], low), height)


def _shortened(block: Block, height: float) -> Block:
    room = max(1, int((height - 2 * block.stroke) / block.line_height))
    if len(block.lines) <= room:
        return block
    last = block.lines[room - 1]
    lines = (*block.lines[: room - 1], last[: max(1, len(last) - 2)] + "…")
    return Block(lines, block.size, block.stroke, block.spacing)
