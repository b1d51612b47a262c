"""Text in images: finding the headline of a prompt, and fitting lines into a box."""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache

from PIL import ImageFont

from airflow_provider_apiframe.sandbox.state.prompt_directives import without_directives

LINE_HEIGHT = 1.22  # of the font size, for running text
HEADLINE_HEIGHT = 1.06  # of the font size, for a headline
SMALLEST = 9  # pixels; below this the letters can't be read
LONGEST_HEADLINE = 70  # characters

# Where the words of the headline stand in a prompt, the surest sign first.
_HEADLINES = (
    re.compile(r'"([^"]{1,200})"|“([^”]{1,200})”|«([^»]{1,200})»'),
    re.compile(r"(?<!\w)['\u2018]([^'\u2019]{2,200})['\u2019](?!\w)"),
    re.compile(r"\b(?:reading|reads|saying|says)\s*:?\s+([^,.;:\n]+)", re.IGNORECASE),
    re.compile(
        r"\btext(?!\s+(?:in|on|at|with|over|and|of|is)\b)\s*:?\s+([^,.;:\n]+)", re.IGNORECASE
    ),
)
_FIRST_WORDS = re.compile(r"[^,.;:!?\s]+(?:\s+[^,.;:!?\s]+){0,5}")
_LOOSE_END = re.compile(
    r"(?:\s+(?:an?|and|as|at|by|for|from|into|in|of|on|or|over|the|to|with))+$", re.IGNORECASE
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
    found = next((found for sign in _HEADLINES if (found := sign.search(text))), None)
    if found:
        words = next(group for group in found.groups() if group)
    else:
        first = _FIRST_WORDS.search(text)
        words = _LOOSE_END.sub("", first[0]) if first else text
        words = words[:1].upper() + words[1:]
    words = " ".join(words.split()) or "Untitled"
    return words if len(words) <= LONGEST_HEADLINE else words[: LONGEST_HEADLINE - 1].rstrip() + "…"


@dataclass(frozen=True, slots=True)
class Block:
    """Lines of text in one size.

    :param size: size of the font in pixels.
    :param stroke: width in pixels of the line around the letters that makes them bold.
    :param spacing: distance between lines, as a share of the size.
    """

    lines: tuple[str, ...]
    size: int
    stroke: int = 0
    spacing: float = LINE_HEIGHT

    @property
    def height(self) -> int:
        """The height in pixels."""
        return round(len(self.lines) * self.size * self.spacing) + 2 * self.stroke

    def cut_to(self, height: float) -> Block:
        """Return the lines that fit into a height in pixels, at least one, with a "…" if cut."""
        room = max(1, int((height - 2 * self.stroke) / (self.size * self.spacing)))
        if len(self.lines) <= room:
            return self
        *kept, last = self.lines[:room]
        return replace(self, lines=(*kept, last[: max(1, len(last) - 2)] + "…"))


def wrap(text: str, size: int, width: float) -> tuple[str, ...]:
    """Break text into lines of at most `width` pixels, in the middle of a word if need be."""
    length = font(size).getlength
    lines = [""]
    for word in text.split():
        longer = f"{lines[-1]} {word}" if lines[-1] else word
        if length(longer) <= width:
            lines[-1] = longer
        elif length(word) <= width:
            lines.append(word)
        else:
            while word:
                letters = _letters_that_fit(word, length, width)
                lines.append(word[:letters])
                word = word[letters:]
    return tuple(filter(None, lines)) or ("",)


def _letters_that_fit(word: str, length: Callable[[str], float], width: float) -> int:
    """Return how many letters of a word are at most `width` pixels long, at least one."""
    most = 2
    while most < len(word) and length(word[:most]) <= width:
        most *= 2
    counts = range(max(2, most // 2), min(most, len(word)) + 1)
    return counts.start - 1 + bisect_right(counts, width, key=lambda n: length(word[:n]))


def headline_block(text: str, width: float, height: float, largest: int) -> Block:
    """Return a headline as large as its box in pixels allows, with words whole if they can be."""

    def block(size: int) -> Block:
        stroke = size // 40
        return Block(wrap(text, size, width - 2 * stroke), size, stroke, HEADLINE_HEIGHT)

    def fits(size: int) -> bool:
        room = width - 2 * (size // 40)
        whole = all(font(size).getlength(word) <= room for word in text.split())
        return whole and block(size).height <= height

    return block(_largest_size(largest, fits)).cut_to(height)


def caption_block(text: str, width: float, height: float, largest: int) -> Block:
    """Return running text as large as its box in pixels allows, cut short if it never fits."""

    def block(size: int) -> Block:
        return Block(wrap(text, size, width), size)

    return block(_largest_size(largest, lambda size: block(size).height <= height)).cut_to(height)


def _largest_size(largest: int, fits: Callable[[int], bool]) -> int:
    """Return the largest size that fits, or the smallest readable one."""
    sizes = range(SMALLEST + 1, largest + 1)
    return SMALLEST + bisect_left(sizes, True, key=lambda size: not fits(size))
