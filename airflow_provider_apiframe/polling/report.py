"""When the log of a wait should say how the job is."""

from __future__ import annotations

import math

from airflow_provider_apiframe.api.models import Job

REPORT_SECONDS = 30.0
"""How often the log says it, if nothing changes."""

MIN_SECONDS = 10.0
"""How long a change of the status is held back after another one."""

QUARTER = 25  # of a job's progress, in percent


class Report:
    """Decides it for one wait: after some time, for a new status, and for each new quarter of the
    progress. A job that swings to and fro does not flood the log.

    :param now: when the wait begins, in seconds by the caller's clock.
    """

    def __init__(self, now: float) -> None:
        self._told_at = now
        self._changed_at = -math.inf
        self._status = "QUEUED"
        self._quarter = 0

    def is_due(self, job: Job | None, now: float) -> bool:
        """Return whether to say it now, and take it for said.

        :param job: as the last poll showed it, None while none did.
        """
        due = now - self._told_at >= REPORT_SECONDS
        if job is not None:
            quarter = _quarter(job.progress)
            if quarter > self._quarter:
                self._quarter, due = quarter, True
            if job.status != self._status and now - self._changed_at >= MIN_SECONDS:
                self._changed_at, due = now, True
            if due:
                self._status = job.status
        if due:
            self._told_at = now
        return due


def _quarter(progress: float | int | None) -> int:
    if progress is None or not 0 <= progress <= 100:
        return 0
    return int(progress // QUARTER)
