"""Waiting for one job without an event loop: what a task does that waits on its worker."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Protocol

from airflow_provider_apiframe.api.errors import ApiframeError
from airflow_provider_apiframe.api.models import Job
from airflow_provider_apiframe.polling.report import Report
from airflow_provider_apiframe.polling.schedule import Schedule
from airflow_provider_apiframe.polling.wait import Wait

log = logging.getLogger(__name__)


class JobReader(Protocol):
    """What :func:`wait_for_job` needs of a client."""

    def get_job(self, job_id: str, *, retry: bool = True) -> Job:
        """Return the job as it is now."""


def wait_for_job(
    client: JobReader,
    wait: Wait,
    *,
    on_poll: Callable[[Job], None] | None = None,
    sleep: Callable[[float], None] = time.sleep,
    clock: Callable[[], float] = time.time,
) -> Job:
    """Poll a job until it is finished, in whatever state, and return it.

    Errors of the API are ridden out until the deadline: the job is paid for, and goes on.

    :param client: reads the job, by one request for each poll.
    :param wait: the job, the deadline and the interval.
    :param on_poll: is told of the job after each poll that did not end the wait.
    :param sleep: waits the given seconds between polls.
    :param clock: gives the seconds since the epoch.
    :raises JobTimeoutError: not finished at the deadline; it says what was last seen.
    """
    schedule = Schedule()
    started_at = clock()
    report = Report(started_at)
    schedule.add(wait, started_at)
    while True:
        now = clock()
        if report.is_due(schedule.latest(wait.job_id), now):
            log.info("Waiting for job %s: %s", wait.job_id, schedule.last_seen(wait.job_id))
        pause = schedule.next_poll(now).at - now
        if pause > 0:
            sleep(pause)
        schedule.mark_in_flight(wait.job_id, clock())
        try:
            job = client.get_job(wait.job_id, retry=False)
        except ApiframeError as error:
            ended = schedule.record_error(wait.job_id, error, clock())
        else:
            ended = schedule.record_job(wait.job_id, job, clock())
            if on_poll and not ended:
                on_poll(job)
        for _, outcome in ended:
            if isinstance(outcome, Job):
                return outcome
            raise outcome
