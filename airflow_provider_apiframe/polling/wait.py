"""A wait for one job: until when, how often, and the error when it ends without the job."""

from __future__ import annotations

import time
from dataclasses import dataclass

from airflow_provider_apiframe.api.errors import JobTimeoutError


@dataclass(frozen=True, eq=False, slots=True)
class Wait:
    """A wait for one job.

    :param job_id: the job.
    :param deadline: seconds since the epoch; absolute, so that a restart neither extends nor loses
        it.
    :param poll_interval: seconds between two polls, > 0.
    """

    job_id: str
    deadline: float
    poll_interval: float

    @classmethod
    def starting_now(cls, job_id: str, *, timeout: float, poll_interval: float) -> Wait:
        """Return a wait that ends *timeout* seconds from now."""
        return cls(job_id, time.time() + timeout, poll_interval)

    def timed_out(self, last_seen: str) -> JobTimeoutError:
        """Return the error for a job that is not finished at the deadline.

        :param last_seen: its status, or what went wrong when it was polled last.
        """
        return JobTimeoutError(
            f"The job was not finished at the deadline (last seen: {last_seen}). "
            "It keeps running and is paid for.",
            job_id=self.job_id,
        )
