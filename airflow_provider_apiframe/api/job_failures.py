"""Why a job FAILED, read from the vendor's free text: one table.

Many models run at other companies, whose texts come through as they are, so a text is matched by
what such texts have in common. The first row that matches counts. A failed job is refunded: taking
a permanent failure for a transient one costs some retries and no credits, the reverse costs an
image. So an unknown text is transient, and words of a passing trouble are looked for first.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

FailureKind = Literal["no_capacity", "refused_content", "invalid_request", "unknown"]


@dataclass(frozen=True)
class FailureRule:
    """One row: texts in which *pattern* is found, in any case, are of this *kind*.

    :param transient: whether the same request can succeed later.
    :param advice: what the reader should do.
    """

    kind: FailureKind
    pattern: str
    transient: bool
    advice: str


_INPUT = (
    r"(prompt|input|image|file|url|parameter|argument|value|aspect|ratio|resolution|size|width|height"
    r"|format|seed)"
)

FAILURES = (
    FailureRule(
        "no_capacity",
        r"capacity|overload|unavailable|temporar|time[ds]?[ -]?out|(try again|retry) later"
        r"|rate.?limit|too many requests|throttl",
        transient=True,
        advice="Submit it again.",
    ),
    FailureRule(
        "refused_content",
        r"\bmoderated|flagged|nsfw|sensitive|prohibited|inappropriate|violat|content.polic"
        r"|image filter|copyright"
        r"|(prompt|content|image) (was |is |has been )?"
        r"(denied|blocked|rejected|refused|not allowed)",
        transient=False,
        advice="It will be refused again: change the prompt or the input images.",
    ),
    FailureRule(
        "unknown",
        # Uploads live for an hour or two, so this may be one that waited too long for its job.
        r"(image|file|url)\b.*\b(expired|(could ?n.t|could not|cannot|failed to) be "
        r"(fetched|downloaded|accessed|loaded|retrieved))"
        r"|(could not|cannot|failed to|unable to) (fetch|download|access|load|retrieve) "
        r".*(image|file|url)",
        transient=True,
        advice="Submit it again; input images that are named by their URL must be reachable.",
    ),
    FailureRule(
        "invalid_request",
        rf"\b(invalid|unsupported) ([\w-]+ )?{_INPUT}"
        rf"|{_INPUT}\b.* (too (large|small|long|many)|not supported|must be|corrupt)"
        r"|(cannot|could not|failed to|unable to) (decode|identify) .*(image|file)",
        transient=False,
        advice="It will fail again: change the parameters or the input images.",
    ),
)

UNKNOWN_FAILURE = FailureRule("unknown", "", transient=True, advice="Submit it again.")


def classify_failure(text: str | None) -> FailureRule:
    """Return the first row whose pattern is in the vendor's *text*, else ``UNKNOWN_FAILURE``."""
    for rule in FAILURES:
        if text and re.search(rule.pattern, text, re.IGNORECASE):
            return rule
    return UNKNOWN_FAILURE
