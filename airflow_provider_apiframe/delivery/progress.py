"""How far a task's job is, kept where the UI and the gallery find it (Airflow 3.3+)."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, TypedDict

from airflow_provider_apiframe.api.models import Job

log = logging.getLogger(__name__)

PROGRESS_KEY = "apiframe_progress"
"""Under this key Airflow's task state store holds a :class:`Progress`; for the time of a deferral
so does an XCom, see ``triggers/progress.py``."""

MIN_SECONDS = 5.0
"""How long a mere change of the percentage waits until it is written."""

MAX_STATUS_CHARACTERS = 40


class Progress(TypedDict):
    """What the last poll showed of a job.

    ``progress`` is a percentage, None where the API does not say it. ``at`` is ISO 8601 text.
    """

    status: str
    progress: float | int | None
    at: str


class ProgressNews:
    """Says what is worth writing down of one job: each new status, and now and then how far it is.

    :param clock: gives seconds that never jump.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._status: str | None = None
        self._progress: float | int | None = None
        self._written_at = 0.0

    def of(self, job: Job) -> Progress | None:
        """Return what to write of a poll, and take it for written; None where that is nothing."""
        status, progress = job.status[:MAX_STATUS_CHARACTERS], _percentage(job.progress)
        now = self._clock()
        has_moved = progress != self._progress and now - self._written_at >= MIN_SECONDS
        if status == self._status and not has_moved:
            return None
        self._status, self._progress, self._written_at = status, progress, now
        at = datetime.now(UTC).isoformat(timespec="seconds")
        return Progress(status=status, progress=progress, at=at)


class ProgressRecord:
    """Writes how far the job of this try is.

    It never ends a wait, and slows it down once at most: after an error nothing more is written.

    :param store: Airflow's task state store, None where there is none: then nothing is written.
    :param clock: as in :class:`ProgressNews`.
    """

    def __init__(self, store: Any, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._store = store
        self._news = ProgressNews(clock)

    def write(self, job: Job) -> None:
        """Keep what a poll showed, if that is worth a request to Airflow."""
        if self._store is None or (news := self._news.of(job)) is None:
            return
        try:
            self._store.set(PROGRESS_KEY, news)
        except Exception as error:  # whatever it is: the image is paid, and the job goes on
            self._store = None
            log.warning("The progress is no longer kept in the task state store: %s", error)


def progress_of_batch(done: int, total: int) -> Job:
    """Return how far a batch is in the form of a job, which all that shows progress takes.

    :param done: how many of its jobs have ended.
    :param total: how many there are, >= 1.
    """
    return Job(id="batch", status="PROCESSING", progress=round(100 * done / total))


def _percentage(progress: float | int | None) -> float | int | None:
    return progress if progress is not None and 0 <= progress <= 100 else None
