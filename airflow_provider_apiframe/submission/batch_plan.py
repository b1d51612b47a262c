"""What is left to do for each request of a batch: decisions without I/O.

A batch is its requests and the lines of its manifest, which say how far each is. All of a line's
life is one rule, :func:`step_of`, so that a first try, a retry and a task that resumes go on in the
same way.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from enum import Enum, auto
from typing import Self

from airflow_provider_apiframe.delivery.batch_lines import FAILED, error_text, failed_for_now
from airflow_provider_apiframe.delivery.manifest import NOT_SUBMITTED, ManifestLine
from airflow_provider_apiframe.submission.batch_requests import BatchRequest

log = logging.getLogger(__name__)


class Step(Enum):
    """What comes next for a request."""

    SUBMIT = auto()
    WAIT = auto()  # for its job, which is accepted
    SAVE = auto()  # the images of its finished job
    NOTHING = auto()  # it is done, or this try can do no more for it


def step_of(line: ManifestLine, earlier_tries: int) -> Step:
    """Return what comes next for the request of a line.

    A refused request is left as it is. A job that failed for a passing reason is followed by one of
    the next generation, but none goes beyond the number of earlier tries: so a try that goes
    through all of them finds every job there is. Any other error says what this try gave up.
    """
    if line.job_id is None:
        return Step.NOTHING if line.error else Step.SUBMIT
    if line.status in FAILED:
        may_resubmit = line.generation < earlier_tries and failed_for_now(line)
        return Step.SUBMIT if may_resubmit else Step.NOTHING
    if line.error or line.images:
        return Step.NOTHING
    return Step.SAVE if line.status == "COMPLETED" and line.image_urls else Step.WAIT


def next_generation(line: ManifestLine) -> int:
    """Return the generation of the job that a request submits next."""
    return line.generation + (line.job_id is not None)


@dataclass(frozen=True)
class Batch:
    """The requests of a batch, and how far each is.

    :param requests: by their identity; what is gone from the batch since it was paid has none.
    :param lines: of the manifest, by the same identity, in the order of the batch.
    :param earlier_tries: how many tries of the scope there may have been before this one.
    """

    requests: Mapping[str, BatchRequest]
    lines: Mapping[str, ManifestLine]
    earlier_tries: int = 0

    @classmethod
    def of(
        cls,
        requests: Mapping[str, BatchRequest],
        known: Mapping[str, ManifestLine],
        *,
        earlier_tries: int,
        resumes: bool = False,
    ) -> Self:
        """Return the batch of *requests*, with what the manifest knows of them.

        What was paid stays in the batch although its request is gone from it.

        :param known: the lines of the manifest, by identity.
        :param resumes: the manifest is of the same try: all of it stays.
        """
        lines = {}
        for key, wanted in requests.items():
            line = known.get(key)
            if line is None:
                model = wanted.request.model
                line = ManifestLine(
                    index=wanted.index,
                    id=wanted.id,
                    request=dict(wanted.given),
                    model=model,
                    key=key,
                )
            lines[key] = line.model_copy(
                update={"index": wanted.index, "request": dict(wanted.given)}
            )
        gone = [
            line
            for key, line in known.items()
            if key not in requests and (resumes or _is_paid(line))
        ]
        if gone and not resumes:
            log.warning(
                "%d requests are gone from the batch, or changed, since their jobs were submitted. "
                "Their images are paid, so they stay in the manifest",
                len(gone),
            )
        lines |= {line.key: line for line in gone}
        return cls(requests, lines, earlier_tries)

    def afresh(self) -> Self:
        """Return the batch as a new try takes it up: with another chance for what the last one gave
        up, but for what was refused."""
        return self.with_lines(
            line.model_copy(update={"error": None})
            for line in self.lines.values()
            if line.error and line.job_id and line.status not in FAILED
        )

    def with_lines(self, lines: Iterable[ManifestLine]) -> Self:
        """Return the batch with these *lines* in place of those of the same requests."""
        return replace(self, lines={**self.lines, **{line.key: line for line in lines}})

    def at(self, step: Step) -> list[ManifestLine]:
        """Return the lines for which this comes next."""
        return [line for line in self.lines.values() if self.step_of(line) is step]

    def step_of(self, line: ManifestLine) -> Step:
        """Return what comes next for a line."""
        step = step_of(line, self.earlier_tries)
        if step is Step.SUBMIT and line.key not in self.requests:
            return Step.NOTHING
        return step


def _is_paid(line: ManifestLine) -> bool:
    return line.job_id is not None and line.status not in FAILED


def submitted(line: ManifestLine, job_id: str, status: str) -> ManifestLine:
    """Return a line whose request was accepted."""
    return line.model_copy(
        update={
            "job_id": job_id,
            # How it ended is read from the job itself: the response to a repeat may be old.
            "status": status if status not in (*FAILED, "COMPLETED") else "QUEUED",
            "generation": next_generation(line),
            "error": None,
            "images": [],
            "image_urls": [],
            "credit_cost": None,
            "uploads": {},
        }
    )


def refused(line: ManifestLine, error: Exception) -> ManifestLine:
    """Return a line whose request was refused: it has no job."""
    return line.model_copy(
        update={
            "job_id": None,
            "status": NOT_SUBMITTED,
            "generation": next_generation(line),
            "error": error_text(error),
            "uploads": {},
        }
    )
