"""Whether an image says the words that its prompt quotes, by OCR: the extra ``ocr``.

It needs the program ``tesseract`` as well, which every Linux distribution packages. A person
decides in the end, so a doubt is told and nothing is hidden: look-alikes that OCR mixes up (0 and
O, 1 and I) count as the same, any other letter does not.
"""

from __future__ import annotations

import difflib
import logging
import re
import tempfile
import unicodedata
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypedDict

from airflow_provider_apiframe.api.body import within
from airflow_provider_apiframe.api.errors import ApiframeError
from airflow_provider_apiframe.delivery.resize import (
    MissingLibraryError,
    read_image,
    require_pillow,
)
from airflow_provider_apiframe.delivery.result import ImageJobResult
from airflow_provider_apiframe.hooks.object_store import (
    local_copy,
    split_connection,
    storage_path,
)

if TYPE_CHECKING:
    from PIL.Image import Image

    from airflow_provider_apiframe.hooks.apiframe import ApiframeHook

log = logging.getLogger(__name__)

MAX_PHRASES = 10
MAX_PHRASE = 100  # characters
MAX_WORDS = 500
MAX_SECONDS = 120.0
"""Time cap for one image, its download included."""

_PASS_SECONDS = 20  # of tesseract, which takes 0.3 for an image that a person can read
_SIDE = 1200  # pixels: letters of a poster are then as high as tesseract likes them
_SMALL_SIDE = 600
_ALIKE = 0.6  # from here on what was read resembles what was wanted
_EDGES = re.compile(r"^\W+|\W+$")
_LOOK_ALIKES = str.maketrans("015826i", "olsbzgl")

_QUOTED = re.compile(
    r'"([^"\n]+)"'
    r"|\u201c([^\u201d\n]+)\u201d"  # “...”
    r"|\u201e([^\u201c\u201d\n]+)[\u201c\u201d]"  # „...“
    r"|«([^»\n]+)»"
    # '...': an apostrophe inside a word neither opens nor closes.
    r"|(?<!\w)['\u2018](?=\S)((?:[^'\u2019\n]|['\u2019](?=\w))+)['\u2019](?!\w)"
)


class Reading(TypedDict):
    """What was read in an image.

    ``missing`` is phrase -> the nearest words that are in the image, "" where nothing resembles it.
    ``problem`` says why the image was not read; nothing is known of it then.
    """

    found: list[str]
    missing: dict[str, str]
    problem: str | None


def wanted_phrases(prompt: str) -> list[str]:
    """Return the words that a prompt quotes ("..." '...' “...” „...“ «...»), each phrase once.

    At most 10, of at most 100 characters; longer ones are no lettering.
    """
    quoted = (next(filter(None, found.groups())) for found in _QUOTED.finditer(prompt))
    tidy = (" ".join(phrase.split()) for phrase in quoted)
    phrases = [phrase for phrase in tidy if _folded(phrase) and len(phrase) <= MAX_PHRASE]
    return list(dict.fromkeys(phrases))[:MAX_PHRASES]


def read_lettering(
    hook: ApiframeHook,
    result: ImageJobResult,
    phrases: Sequence[str],
    *,
    conn_id: str | None = None,
) -> Reading:
    """Look for *phrases* in the first image of *result*.

    Never raises for what can go wrong with an image, a link or tesseract: it is a ``problem``.

    :param hook: downloads what was not saved.
    :param conn_id: id of the connection of the storage, where the image's URI names none.
    """
    other = [phrase for phrase in phrases if not _folded(phrase).isascii()]
    if other:
        return _unread(f"letters that are not Latin are not read: {other[0]}")
    try:
        return within(MAX_SECONDS, lambda: _read(hook, result, phrases, conn_id))
    except TimeoutError:
        return _unread(f"it took more than {MAX_SECONDS:g} s")
    # RuntimeError is pytesseract's; OSError a tesseract that is not there, or the worker's disk.
    except (ApiframeError, RuntimeError, OSError) as error:
        log.warning("The lettering of job %s was not read: %s", result["job_id"], error)
        return _unread(str(error))


def compare(phrases: Sequence[str], texts: Iterator[str]) -> Reading:
    """Look for each phrase in what was read, text by text, until all are found.

    Case, spaces, line breaks, accents and punctuation do not count.
    """
    missing = dict.fromkeys(phrases, "")
    for text in texts:
        words = [word for word in text.split() if _folded(word)][:MAX_WORDS]
        for phrase, nearest in list(missing.items()):
            here = _nearest(phrase, words)
            if _folded(here) == _folded(phrase):
                del missing[phrase]
            elif _likeness(here, phrase) > _likeness(nearest, phrase):
                missing[phrase] = here
        if not missing:
            break
    alike = {
        phrase: _EDGES.sub("", nearest) if _likeness(nearest, phrase) >= _ALIKE else ""
        for phrase, nearest in missing.items()
    }
    return Reading(
        found=[phrase for phrase in phrases if phrase not in missing], missing=alike, problem=None
    )


def _unread(problem: str) -> Reading:
    return Reading(found=[], missing={}, problem=problem)


def _read(
    hook: ApiframeHook, result: ImageJobResult, phrases: Sequence[str], conn_id: str | None
) -> Reading:
    _require_pytesseract()
    with tempfile.TemporaryDirectory(prefix="apiframe-") as folder:
        image = result["images"][0]
        copy = Path(folder) / "image"
        if image["uri"]:
            local_copy(storage_path(image["uri"], conn_id), copy)
            shown = split_connection(image["uri"])[1]
        else:
            hook.download(image["url"], copy)
            shown = f"The image of job {result['job_id']}"
        pixels = read_image(copy, shown).pixels
    return compare(phrases, _texts(pixels))


def _texts(pixels: Image) -> Iterator[str]:
    """Yield what tesseract reads, with the way first that finds most.

    Letters of one colour on another of the same brightness are seen in a single channel only.
    """
    import pytesseract
    from PIL import Image as images
    from PIL import ImageOps

    flat = images.new("RGB", pixels.size, "white")
    flat.paste(pixels, mask=pixels.getchannel("A") if "A" in pixels.getbands() else None)
    grey = flat.convert("L")
    ways = [(grey, _SIDE), *((channel, _SIDE) for channel in flat.split()), (grey, _SMALL_SIDE)]
    for way, side in ways:
        scale = side / max(way.size)
        size = (max(1, round(way.width * scale)), max(1, round(way.height * scale)))
        ready = ImageOps.autocontrast(way.resize(size))
        # 11: find as much text as possible, in no particular order of blocks.
        yield str(pytesseract.image_to_string(ready, config="--psm 11", timeout=_PASS_SECONDS))


def _require_pytesseract() -> None:
    require_pillow()
    try:
        import pytesseract  # noqa: F401
    except ImportError:
        raise MissingLibraryError(
            "pytesseract is not installed on this worker: pip install "
            "'airflow-provider-apiframe[ocr]'"
        ) from None


def _nearest(phrase: str, words: Sequence[str]) -> str:
    """Return the successive words that are most like *phrase*."""
    count = len(phrase.split())
    # OCR may cut a word in two, or join two.
    windows = (
        " ".join(words[start : start + length])
        for length in range(1, count + 3)
        for start in range(len(words) - length + 1)
    )
    return max(windows, key=lambda window: _likeness(window, phrase), default="")


def _likeness(text: str, phrase: str) -> float:
    """Return how much two texts are alike, 0 to 1."""
    if not text:
        return 0.0
    return difflib.SequenceMatcher(None, _folded(text), _folded(phrase), autojunk=False).ratio()


def _folded(text: str) -> str:
    """Return the letters and digits of *text*, with those alike that OCR mixes up."""
    plain = unicodedata.normalize("NFKD", text).casefold()
    return "".join(filter(str.isalnum, plain)).translate(_LOOK_ALIKES)
