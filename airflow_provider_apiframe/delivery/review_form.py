"""The text of the form in which a person chooses an image: Markdown, as Airflow's UI shows it.

A prompt, the letters read in an image and an error may hold any text; it stays text here. The UI
loads images by http(s) only.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import zip_longest
from urllib.parse import quote, urlencode

from airflow_provider_apiframe.api.params.references import is_url
from airflow_provider_apiframe.delivery.lettering import Reading
from airflow_provider_apiframe.delivery.result import ImageJobResult
from airflow_provider_apiframe.delivery.review_result import ReviewRound
from airflow_provider_apiframe.hooks.gallery_paths import IMAGE_ROUTE
from airflow_provider_apiframe.hooks.public_urls import public_url

MAX_PROMPT_LINE = 90
MAX_REMARK = 300

PER_ROW = 2
"""Candidates side by side. The UI shows images up to 300 pixels wide, beside the DAG's grid."""


@dataclass(frozen=True)
class ImageLink:
    """Where a browser finds an image.

    :param source: http(s) URL of what the form shows, which may be small.
    :param target: http(s) URL of the image in full size.
    """

    source: str
    target: str


@dataclass(frozen=True)
class Candidate:
    """What the form says of one candidate.

    :param job_id: of its job, None where there is no image.
    :param links: of its images.
    :param credits: what it cost, None where the API did not say.
    :param seed: of its request.
    :param lettering: a sentence on the words in it, ready to show; None for nothing.
    :param failure: why there is no image, None where there is one.
    """

    job_id: str | None
    links: tuple[ImageLink, ...]
    credits: float | None
    seed: int
    lettering: str | None = None
    failure: str | None = None


def form_text(
    review: ReviewRound,
    candidates: Sequence[Candidate],
    *,
    rounds: int,
    spent: float,
    max_credits: float | None,
    can_go_on: bool,
    again: str,
    nothing: str,
    remark: str | None = None,
) -> str:
    """Return the form's body.

    :param review: the round it is about.
    :param rounds: how many there are at most.
    :param spent: credits of all rounds so far.
    :param max_credits: what they may cost together, None without a limit.
    :param can_go_on: whether another round may be asked for.
    :param again: the option that asks for another round.
    :param nothing: the option that ends the review without an image.
    :param remark: a sentence that holds for all candidates, ready to show.
    """
    limit = "" if max_credits is None else f" of at most {max_credits:g}"
    parts = [
        f"Round {review['number']} of {rounds}. {spent:g} credits spent{limit}. The prompt:",
        block(review["prompt"]),
    ]
    if remark:
        parts.append(remark)
    columns = [_shown(number, candidate) for number, candidate in enumerate(candidates, 1)]
    parts += [_table(columns[n : n + PER_ROW]) for n in range(0, len(columns), PER_ROW)]
    # In quotes, because the UI shows no emphasis, and "None of these ends ..." says the contrary.
    if can_go_on:
        parts.append(
            f'Choose an image. Or choose "{again}", which makes and pays for {len(candidates)} '
            f'more, by the prompt below, as it is or edited. "{nothing}" ends the review without '
            "an image."
        )
    else:
        why = "this is the last round" if review["number"] >= rounds else "the credits are used up"
        parts.append(f'Choose an image; {why}. "{nothing}" ends the review without an image.')
    return "\n\n".join(parts)


def _table(columns: Sequence[Sequence[str]]) -> str:
    """Return columns side by side, each with its first text as its heading."""
    heading, *rows = zip_longest(*columns, fillvalue="")
    lines = [heading, ["---"] * len(columns), *rows]
    return "\n".join(f"| {' | '.join(map(_cell, line))} |" for line in lines)


def _cell(text: str) -> str:
    # No escape would do: with a backslash before it, an escaped bar ends the cell after all.
    return text.replace("|", "¦")


def _shown(number: int, candidate: Candidate) -> list[str]:
    heading = f"**Image {number}**"
    if candidate.failure is not None:
        return [heading, f"Not made: {code(candidate.failure)}"]
    images = " ".join(f"![Image {number}](<{link.source}>)" for link in candidate.links)
    cost = "" if candidate.credits is None else f" · {candidate.credits:g} credits"
    links = "".join(f" · [full size](<{link.target}>)" for link in candidate.links)
    job = "" if candidate.job_id is None else f" · job {code(candidate.job_id)}"
    parts = [heading, images, f"Seed {candidate.seed}{cost}{job}{links}"]
    return [*parts, candidate.lettering] if candidate.lettering else parts


def image_links(
    result: ImageJobResult,
    *,
    base_url: str | None,
    coordinates: dict[str, str | int],
) -> tuple[ImageLink, ...]:
    """Return where a browser finds the images of a result.

    A saved image has a public address, or it comes from the gallery's route on Airflow's API
    server, which asks for the viewer's permission; any other comes by the vendor's link.

    :param base_url: of the API server, None where it is not known: then the vendor's links.
    :param coordinates: what names the task instance in the route's query.
    """
    links: list[ImageLink] = []
    for number, image in enumerate(result["images"], 1):
        if image["uri"] and (public := public_url(image["uri"])):
            links.append(ImageLink(public, public))
        elif image["uri"] and base_url:
            query = urlencode({**coordinates, "n": number}, quote_via=quote)
            route = f"{base_url.rstrip('/')}{IMAGE_ROUTE}?{query}"
            links.append(ImageLink(f"{route}&size=thumbnail", route))
        elif is_url(image["url"]):
            # Nothing in it may end the Markdown link that it stands in.
            url = quote(image["url"], safe="%/:?#[]@!$&'()*+,;=~")
            links.append(ImageLink(url, url))
    return tuple(links)


def lettering_texts(
    readings: Sequence[Reading | None],
) -> tuple[str | None, list[str | None]]:
    """Say what OCR found: what holds for all candidates, and what for each of them."""
    texts = [reading and lettering_text(reading) for reading in readings]
    problems = {reading["problem"] for reading in readings if reading}
    if len(problems) == 1 and None not in problems:
        return next(filter(None, texts)), [None] * len(texts)
    return None, texts


def lettering_text(reading: Reading) -> str:
    """Say what OCR found of the words that the prompt quotes, ready to show."""
    if reading["problem"]:
        return f"The lettering was not read: {code(reading['problem'])}"
    said = [f"says {code(phrase)}" for phrase in reading["found"]]
    for phrase, nearest in reading["missing"].items():
        reads = f", reads {code(nearest)}" if nearest else ""
        said.append(f"{code(phrase)} **not found**{reads}")
    return f"By OCR: {'; '.join(said)}"


def block(text: str) -> str:
    """Return *text* as a block that Markdown leaves alone, in lines that need no scrolling."""
    lines = [
        piece
        for line in text.splitlines()
        for piece in textwrap.wrap(line, MAX_PROMPT_LINE, break_on_hyphens=False) or [""]
    ]
    fence = "`" * max(3, _longest_run(text) + 1)
    return "\n".join([f"{fence}text", *lines, fence])


def code(text: str) -> str:
    """Return *text* in one line that Markdown leaves alone, cut to 300 characters."""
    line = " ".join(text.split())
    line = line if len(line) <= MAX_REMARK else f"{line[: MAX_REMARK - 3]}..."
    fence = "`" * (_longest_run(line) + 1)
    # Without the spaces a backtick at either end would join the fence.
    return f"{fence} {line} {fence}"


def _longest_run(text: str) -> int:
    return max(map(len, re.findall("`+", text)), default=0)
