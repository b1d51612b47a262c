"""When to ask for a job again and when to stop: the decisions, without I/O, shared by both clients."""

from __future__ import annotations

import logging
import math
import time
from dataclasses import dataclass, field

from airflow_provider_apiframe.api.errors import (
    ApiframeError,
    InvalidRequestError,
    JobTimeoutError,
    UnusableAnswerError,
)
from airflow_provider_apiframe.api.models import Job

log = logging.getLogger(__name__)

RETRY_AFTER_CAP = 300.0  # seconds; an API that asks for more is asked again all the same
LEAST_INTERVAL = 0.05  # seconds; keeps a poll_interval near 0 from becoming a busy loop
UNUSABLE_IN_A_ROW = 5  # a proxy's error page with status 200 passes; an API that changed its answers does not


@dataclass
class Wait:
    """A wait for one job.

    :param job_id: the job.
    :param deadline: seconds since the epoch; absolute, so that a restart neither extends nor loses it.
    :param poll_interval: seconds between two requests.
    """

    job_id: str
    deadline: float
    poll_interval: float
    _unusable: int = field(default=0, init=False)

    @classmethod
    def lasting(cls, job_id: str, *, timeout: float, poll_interval: float) -> Wait:
        """Return a wait that ends *timeout* seconds from now."""
        return cls(job_id, time.time() + timeout, poll_interval)

    def after_job(self, job: Job, now: float) -> float:
        """Return the seconds to pause after a request that found *job* unfinished.

        :param now: seconds since the epoch.
        :raises JobTimeoutError: the deadline has passed. The job goes on.
        """
        self._unusable = 0
        return self._pause(now, self.poll_interval, job.status)

    def after_error(self, error: ApiframeError, now: float) -> float:
        """Return the seconds to pause after a request that failed. Outages are ridden out until the deadline.

        :raises JobTimeoutError: the deadline has passed. The job goes on.
        :raises ApiframeError: *error* itself, when asking again cannot help; its text then says how to collect the job.
        """
        self._unusable = self._unusable + 1 if isinstance(error, UnusableAnswerError) else 0
        if not error.transient or self._unusable == UNUSABLE_IN_A_ROW:
            raise error.adding(goes_on(self.job_id))
        log.warning("Job %s could not be read, asking again: %s", self.job_id, error)
        asked = getattr(error, "retry_after", None) or 0.0
        return self._pause(now, max(self.poll_interval, min(asked, RETRY_AFTER_CAP)), str(error))

    def _pause(self, now: float, wanted: float, last_seen: str) -> float:
        left = self.deadline - now
        if left <= 0:
            raise JobTimeoutError(
                f"Apiframe job {self.job_id} was not finished at the deadline (last seen: {last_seen}). It keeps running and "
                f"is paid for. {_collected_by(self.job_id)}",
                job_id=self.job_id,
            )
        return min(max(wanted, LEAST_INTERVAL), left)


def goes_on(job_id: str) -> str:
    """Say what becomes of a job that cannot be waited for."""
    return f"Job {job_id} was accepted and goes on; collect it with ApiframeJobSensor(job_id={job_id!r})."


def keeps_running(job_id: str) -> str:
    """Say what becomes of a job whose task was stopped: Apiframe has no way to cancel one."""
    return f"Apiframe cannot cancel a job: job {job_id} keeps running and is paid for. {_collected_by(job_id)}"


def _collected_by(job_id: str) -> str:
    return (
        f"ApiframeJobSensor(job_id={job_id!r}) collects it and pays nothing, and so does an automatic retry of the task that "
        "submitted it; clearing that task pays for a new picture, unless it has regenerate_on_clear=False."
    )


def checked_seconds(name: str, value: float) -> float:
    """Return *value* as a number of seconds above 0.

    :raises InvalidRequestError: if it is no number, not finite, or not above 0.
    """
    try:
        seconds = float(value)
    except (TypeError, ValueError):
        seconds = math.nan
    if math.isfinite(seconds) and seconds > 0:
        return seconds
    raise InvalidRequestError(f"{name}={value!r}: must be a number of seconds above 0")
