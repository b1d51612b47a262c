"""Waiting for jobs without an event loop: what a task does that waits on its worker."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Iterable
from typing import Any, Protocol

from airflow_provider_apiframe.api.errors import ApiframeError, JobTimeoutError
from airflow_provider_apiframe.api.models import Job, JobPage
from airflow_provider_apiframe.polling.pending import Outcome
from airflow_provider_apiframe.polling.poll import Poll, PollKind
from airflow_provider_apiframe.polling.report import Report
from airflow_provider_apiframe.polling.schedule import Schedule
from airflow_provider_apiframe.polling.wait import Wait

log = logging.getLogger(__name__)


class JobReader(Protocol):
    """What :func:`wait_for_job` needs of a client."""

    def get_job(self, job_id: str, *, retry: bool = True) -> Job:
        """Return the job as it is now."""


class JobLister(JobReader, Protocol):
    """What :func:`wait_for_jobs` needs of a client."""

    def list_jobs(self, *, retry: bool = True, **filters: Any) -> JobPage:
        """Return one page of jobs, newest first."""


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


def wait_for_jobs(
    client: JobLister,
    waits: Iterable[Wait],
    *,
    requests_per_minute: float = math.inf,
    on_poll: Callable[[int], None] | None = None,
    sleep: Callable[[float], None] = time.sleep,
    clock: Callable[[], float] = time.time,
) -> dict[str, Job | JobTimeoutError]:
    """Poll jobs until each is finished, in whatever state, or its deadline has passed.

    They are polled together where that costs less, see ``schedule.py``. Errors of the API are
    ridden out.

    :param client: reads the jobs, by one request for each poll.
    :param waits: one for each job.
    :param requests_per_minute: how many requests polling may take, >= 1.
    :param on_poll: is told after each poll how many have ended.
    :param sleep: waits the given seconds between polls.
    :param clock: gives the seconds since the epoch.
    :returns: job id -> the job, or the error of one that was not finished at its deadline.
    """
    schedule = Schedule(requests_per_minute)
    left = set()
    for wait in waits:
        schedule.add(wait, clock())
        left.add(wait)
    ended: dict[str, Job | JobTimeoutError] = {}
    while left:
        poll = schedule.next_poll(clock())
        if (pause := poll.at - clock()) > 0:
            sleep(pause)
            continue  # what is due now may be something else
        for wait, outcome in _poll(client, schedule, poll, clock):
            if not isinstance(outcome, (Job, JobTimeoutError)):
                raise outcome
            ended[wait.job_id] = outcome
            left.discard(wait)
        if on_poll:
            on_poll(len(ended))
    return ended


def _poll(
    client: JobLister, schedule: Schedule, poll: Poll, clock: Callable[[], float]
) -> list[Outcome]:
    if poll.kind is PollKind.JOB:
        schedule.mark_in_flight(poll.job_id, clock())
        try:
            job = client.get_job(poll.job_id, retry=False)
        except ApiframeError as error:
            return schedule.record_error(poll.job_id, error, clock())
        return schedule.record_job(poll.job_id, job, clock())
    query = schedule.next_page(poll, clock())
    try:
        page = client.list_jobs(retry=False, **query)
    except ApiframeError as error:
        return schedule.record_scan_error(error, clock())
    return schedule.record_page(page, clock())
