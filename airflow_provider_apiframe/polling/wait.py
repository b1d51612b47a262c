"""A wait for one job: until when, how often, and what to say when it ends without the job."""

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
    :param poll_interval: seconds between two looks.
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

        :param last_seen: its status, or what was wrong when it was looked at last.
        """
        return JobTimeoutError(
            f"Apiframe job {self.job_id} was not finished at the deadline (last seen: {last_seen}). "
            "It keeps running and is paid for.",
            job_id=self.job_id,
        )


def wait_for_job(client, wait, *, sleep=time.sleep, clock=time.time):  # type: ignore
    """Placeholder until the polling room is merged."""
    from airflow_provider_apiframe.api.errors import ApiframeError
    from airflow_provider_apiframe.api.models import Job
    from airflow_provider_apiframe.polling.rate_limit import Durations
    from airflow_provider_apiframe.polling.schedule import Schedule

    schedule = Schedule(durations=Durations())
    schedule.add(wait, clock())
    while True:
        now = clock()
        if (pause := schedule.next_look(now).at - now) > 0:
            sleep(pause)
        try:
            ended = schedule.saw(wait.job_id, client.get_job(wait.job_id, retry=False), clock())
        except ApiframeError as error:
            ended = schedule.failed(wait.job_id, error, clock())
        for _, outcome in ended:
            if isinstance(outcome, Job):
                return outcome
            raise outcome
