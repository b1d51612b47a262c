"""A job that somebody waits for, and what the polls so far have shown of it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum, auto

from airflow_provider_apiframe.api.models import Job
from airflow_provider_apiframe.polling.rate_limit import backoff
from airflow_provider_apiframe.polling.wait import Wait

MIN_INTERVAL = 0.05  # seconds; keeps a poll_interval near 0 from becoming a busy loop
MAX_IMAGE_POLLS = 5  # by id, 10 s in all, until a COMPLETED job without images is taken as it is

Outcome = tuple[Wait, Job | Exception]
"""How a wait ended: with the finished job, in whatever state, or with the error to raise."""


class JobState(Enum):
    """How a pending job is polled."""

    LISTED = auto()  # by scans of the list, which show it or have not missed it for certain
    UNLISTED = auto()  # by its id: scans do not show it; it may be another user's
    WITHOUT_IMAGES = auto()  # by its id: COMPLETED, but the links to its images were not there yet


@dataclass(eq=False, slots=True)
class PendingJob:
    """A job that somebody waits for. All times are seconds by the caller's clock.

    :param job_id: the job, as the first waiter wrote it.
    :param added: since when somebody waits.
    """

    job_id: str
    added: float
    waits: list[Wait] = field(default_factory=list)
    interval: float = math.inf  # seconds between two polls, as the most impatient waiter wants it
    deadline: float = math.inf  # the first of the waits
    state: JobState = JobState.LISTED
    in_flight: bool = False  # a poll by id is under way
    last_seen: str = "not polled yet"
    latest: Job | None = None  # as a poll showed it last
    last_polled_at: float = -math.inf
    pause: float | None = None  # seconds until the next poll by id, instead of the interval
    failures: int = 0  # of polls by id in a row
    missed_scans: int = 0  # whole ones in a row
    image_polls: int = 0  # polls by id that showed it COMPLETED without images
    completed: Job | None = None  # as these polls showed it
    model: str | None = None
    first_progress: tuple[float, float] | None = None  # when it was first told, and how much
    progress_end: float = math.inf  # when it should end, by its progress
    predictable: bool = True  # its progress has not promised too much yet

    def set_waits(self, waits: list[Wait]) -> None:
        """Replace who waits for it."""
        self.waits = waits
        if waits:  # kept here, for thousands of jobs are asked for them at each decision
            self.interval = max(min(wait.poll_interval for wait in waits), MIN_INTERVAL)
            self.deadline = min(wait.deadline for wait in waits)

    @property
    def due(self) -> float:
        """When it is to be polled by its id, if nothing else is in the way."""
        pause = self.interval if self.pause is None else self.pause
        return max(self.added, self.last_polled_at + pause)

    def record(self, job: Job, now: float, *, by_id: bool) -> None:
        """Keep what a poll shows of the job, which has not ended."""
        self.latest = job
        if job.status == "COMPLETED":
            self._record_without_images(job, now, by_id=by_id)
            return
        if not by_id or self.state is JobState.WITHOUT_IMAGES:
            self.state = JobState.LISTED
        self.completed = None
        self.last_seen, self.model = job.status, job.model
        if job.progress is not None:
            self.last_seen += f", {job.progress:g} %"
        self.last_polled_at, self.pause, self.failures, self.missed_scans = now, None, 0, 0
        self._predict(job.progress, now)

    def _record_without_images(self, job: Job, now: float, *, by_id: bool) -> None:
        if not by_id and self.state is JobState.WITHOUT_IMAGES:
            return  # the list says it again; the polls by id go on as planned
        self.state, self.completed = JobState.WITHOUT_IMAGES, job
        self.last_seen = "COMPLETED, without images"
        self.image_polls += by_id
        # At once when the list shows it so: its pages may leave results out. Then ever later.
        self.last_polled_at, self.pause, self.failures = now, float(self.image_polls), 0

    def record_error(self, error: Exception, now: float) -> None:
        """Keep that a poll by id failed."""
        self.failures += 1
        self.last_seen = str(error)
        self.last_polled_at = now
        self.pause = backoff(self.failures, self.interval, error)

    def _predict(self, progress: float | None, now: float) -> None:
        """Expect the end by how fast the progress grew, as far as that is told."""
        if now >= self.progress_end:
            self.predictable = False  # one early poll for it is enough
        self.progress_end = math.inf
        if not self.predictable or not progress or progress >= 100:
            return
        if self.first_progress is None:
            self.first_progress = now, progress
        since, first = self.first_progress
        # Percents are rounded: with one less, a poll comes a moment late rather than in vain.
        grown = progress - first - 1
        if grown > 0:
            self.progress_end = now + (100 - progress) * (now - since) / grown

    def expected_end(self, fastest: Mapping[str | None, float]) -> float:
        """Return when the job should end: by its progress, or when the fastest of its model would.

        :param fastest: how long that one took, by model.
        """
        if self.pause is not None:
            return math.inf  # the next poll waits for something else
        if self.progress_end < math.inf:
            return self.progress_end
        return self.added + fastest.get(self.model, math.inf)

    def expired(self, now: float) -> list[Outcome]:
        """Return the waits whose deadline has passed, and how they end."""
        return [
            (wait, self.completed or wait.timed_out(self.last_seen))
            for wait in self.waits
            if now >= wait.deadline
        ]


def key_of(job_id: str) -> str:
    """Return what ids of the same job have in common."""
    return job_id.strip().lower()  # the API writes UUIDs in lower case and takes both
