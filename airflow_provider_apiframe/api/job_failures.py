"""Why a job FAILED, read from the vendor's free text: one table.

Many models run at other companies, whose texts come through as they are, so a text is matched by what such texts have in common.
The first row that matches counts. A failed job is refunded: taking a permanent failure for a transient one costs some retries
and no credits, the reverse costs a picture. So an unknown text is transient, and words of a passing trouble are looked for first.
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


FAILURES = (
    FailureRule(
        "no_capacity",
        r"capacity|overload|unavailable|temporar|time[ds]?[ -]?out|try again later|rate.?limit|too many requests|throttl"
        r"|internal (server )?error|bad gateway|upstream|connection|interrupted",
        transient=True,
        advice="A retry of the task that submitted it makes a new one.",
    ),
    FailureRule(
        "refused_content",
        r"polic(y|ies)|moderat|nsfw|flagged|sensitive|safety|prohibited|inappropriate|image filter|content filter|copyright"
        r"|prompt (was |is )?(denied|blocked|rejected)|not allowed",
        transient=False,
        advice="It will be refused again: change the prompt or the input images.",
    ),
    FailureRule(
        "invalid_request",
        r"\binvalid\b|validation|unsupported|not supported|unprocessable|must be|too (large|small|long|many)|corrupt"
        r"|(could not|cannot|can't|failed to|unable to) (decode|identify|read|open|process) ",
        transient=False,
        advice="It will fail again: change the parameters or the input images.",
    ),
)

UNKNOWN_FAILURE = FailureRule("unknown", "", transient=True, advice="A retry of the task that submitted it makes a new one.")


def failure_in(text: str | None) -> FailureRule:
    """Return the first row whose pattern is in the vendor's *text*; ``UNKNOWN_FAILURE`` when none is."""
    return next((rule for rule in FAILURES if text and re.search(rule.pattern, text, re.IGNORECASE)), UNKNOWN_FAILURE)
