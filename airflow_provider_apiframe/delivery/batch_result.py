"""The XCom value of a batch: small, JSON, whatever the number of images; and whether that is enough
for the task to succeed."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection
from typing import TypedDict

from airflow_provider_apiframe.api.errors import ApiframeError
from airflow_provider_apiframe.delivery.batch_lines import (
    failed_for_now,
    is_saved,
    is_unfinished,
)
from airflow_provider_apiframe.delivery.manifest import ManifestLine

_SHOWN_ERRORS = 3


class BatchResult(TypedDict):
    """What a batch operator returns.

    ``manifest`` is where the JSON lines are that say of each request what came of it (see
    :class:`airflow_provider_apiframe.delivery.manifest.ManifestLine`). Of the ``total`` requests,
    ``succeeded`` have their images saved, ``unfinished`` have a job that goes on, and ``failed`` is
    the rest. ``credit_cost`` is what all jobs cost, in credits, as far as the API says it, and
    ``credits_by_model`` the same by model id. ``reused`` says how many jobs an earlier try had
    submitted, so that this one paid nothing for them.
    """

    manifest: str
    total: int
    succeeded: int
    failed: int
    unfinished: int
    credit_cost: float | int
    credits_by_model: dict[str, float | int]
    reused: int


class BatchFailedError(ApiframeError):
    """Fewer images were made than the task needs. Those that were made are saved.

    ``transient`` is set per instance: whether a retry may make more.
    """

    def __init__(self, message: str, *, transient: bool) -> None:
        super().__init__(message)
        self.transient = transient


def build_batch_result(
    lines: Collection[ManifestLine], *, manifest: str, reused: int
) -> BatchResult:
    """Return the XCom value of a batch.

    :param lines: of all requests.
    :param manifest: where they are written.
    :param reused: how many jobs an earlier try had submitted.
    """
    credits: Counter[str] = Counter()
    for line in lines:
        if line.credit_cost is not None and 0 < line.credit_cost < math.inf:
            credits[line.model] += line.credit_cost  # type: ignore[assignment]
    succeeded = sum(map(is_saved, lines))
    unfinished = sum(map(is_unfinished, lines))
    return BatchResult(
        manifest=manifest,
        total=len(lines),
        succeeded=succeeded,
        failed=len(lines) - succeeded - unfinished,
        unfinished=unfinished,
        credit_cost=sum(credits.values()),
        credits_by_model=dict(sorted(credits.items())),
        reused=reused,
    )


def needed_images(min_success: float, total: int) -> int:
    """Return how many requests of *total* must succeed.

    :param min_success: an int is their number, a float from 0 to 1 their share.
    """
    if isinstance(min_success, int):
        return min_success
    return math.ceil(round(min_success * total, 6))  # 0.55 of 100 is 55, whatever floats make of it


def check_success(lines: Collection[ManifestLine], result: BatchResult, min_success: float) -> None:
    """Refuse a batch of which too little succeeded.

    :raises BatchFailedError: with the numbers, the first errors, and where the manifest is.
    """
    needed = needed_images(min_success, result["total"])
    if result["succeeded"] >= needed:
        return
    share = "" if isinstance(min_success, int) else f" ({needed:,})"
    errors = dict.fromkeys(line.error for line in lines if line.error and not is_saved(line))
    shown = "; ".join(list(errors)[:_SHOWN_ERRORS]) or "none"
    may_pass = any(failed_for_now(line) or is_unfinished(line) for line in lines)
    advice = (
        "A retry keeps what was made, collects what goes on, and submits anew what failed for a "
        "passing reason."
        if may_pass
        else "A retry would make no more: change the requests that were refused."
    )
    raise BatchFailedError(
        f"{result['succeeded']:,} of {result['total']:,} requests have their images, fewer than "
        f"min_success={min_success:g}{share}. {result['failed']:,} failed, "
        f"{result['unfinished']:,} are not finished. The first errors: {shown}. All are in "
        f"{result['manifest']}. {advice}",
        transient=may_pass,
    )
