"""When to poll which jobs: the decisions of waiting, without I/O, for one job as for thousands.

A task that waits for its own job follows a :class:`Schedule`, and so does the loop that polls the
jobs of a whole triggerer. All times are seconds by the caller's clock.

- A job is polled in the interval of its most impatient waiter, and at its deadline in any case. One
  poll comes earlier if the job should have ended by then: by its progress, or as fast as others.
- Many jobs are polled together, by a scan of the list. A job that is alone is polled by its id, and
  so is one that the list does not show: it may be another user's.
- A scan of many pages is made for COMPLETED jobs only, newest first, until a page brings nothing
  new. Whole scans come now and then: they notice a job that failed.
- Only the job's own end or the deadline ends a wait. After errors the polls become rarer.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Iterable
from dataclasses import replace

from airflow_provider_apiframe.api.errors import (
    ApiframeError,
    AuthenticationError,
    RateLimitedError,
)
from airflow_provider_apiframe.api.models import Job, JobPage
from airflow_provider_apiframe.polling.durations import Durations
from airflow_provider_apiframe.polling.pending import (
    MAX_IMAGE_POLLS,
    JobState,
    Outcome,
    PendingJob,
    key_of,
)
from airflow_provider_apiframe.polling.poll import Poll, PollKind
from airflow_provider_apiframe.polling.rate_limit import WINDOW, RateLimiter, backoff
from airflow_provider_apiframe.polling.scan import MIN_JOBS_PER_REQUEST, ListScan
from airflow_provider_apiframe.polling.wait import Wait

log = logging.getLogger(__name__)

MIN_EARLY_SHARE = 0.25  # of the interval that lies between two polls, where an end is expected
CHEAP_PAGES = 2  # a scan of the whole list takes no more requests than are worth it every time
ACCOUNT_PAUSE = 1.0  # seconds; the first pause after a failure that concerns all of the account
LIST_FAILURES = 5  # in a row; then the jobs are polled by id for a while
LIST_PAUSE = 60.0  # seconds until a list that could not be used is tried again


class Schedule:
    """Decides when to poll which of the pending jobs. What a poll showed is told to it; it says
    which waits ended.

    :param requests_per_minute: how many requests polling may take, >= 1; the default is no limit.
    """

    def __init__(self, requests_per_minute: float = math.inf) -> None:
        self.limiter = RateLimiter(requests_per_minute)
        self.key_rejected = False  # by the last response
        self._durations = Durations()
        self._pending: dict[str, PendingJob] = {}
        self._scan: ListScan | None = None
        self._last_scan_at = -math.inf
        self._pages = 1  # of the list, down to the last job that a whole scan found
        self._throttled_until = dict.fromkeys(PollKind, -math.inf)
        self._failures = self._list_failures = 0  # in a row
        self._resume_at = self._list_resume_at = -math.inf

    # Who waits

    def add(self, wait: Wait, now: float) -> float:
        """Poll a job until its wait ends; return when its first poll is due at the latest."""
        job = self._pending.setdefault(key_of(wait.job_id), PendingJob(wait.job_id, now))
        job.set_waits([*job.waits, wait])
        return min(max(now, self._last_scan_at + job.interval), wait.deadline)

    def discard(self, wait: Wait) -> None:
        """Stop polling a job for this wait; nothing happens when the wait has ended already."""
        key = key_of(wait.job_id)
        job = self._pending.get(key)
        if job and wait in job.waits:
            job.set_waits([other for other in job.waits if other is not wait])
            if not job.waits:
                del self._pending[key]
        if not self._pending:
            self._scan = None

    def last_seen(self, job_id: str) -> str:
        """Say what the last poll of a pending job showed, e.g. "PROCESSING, 40 %"."""
        job = self._pending.get(key_of(job_id))
        return job.last_seen if job else "not waited for"

    def latest(self, job_id: str) -> Job | None:
        """Return a pending job as a poll showed it last, None while none did."""
        job = self._pending.get(key_of(job_id))
        return job.latest if job else None

    # What to poll next

    def next_poll(self, now: float, *, by_id: bool = True) -> Poll:
        """Return the next poll; never, when every job is being polled or none is pending.

        :param by_id: whether it may be for a single job.
        """
        if self._scan:
            poll = Poll(self._scan.kind, now, now)  # a scan is read to its end
        else:
            listed = self._listed(now)
            polls = [self._next_scan(listed)]
            if by_id:
                polls += [
                    self._next_by_id(job)
                    for job in self._pending.values()
                    if not job.in_flight and not (listed and job.state is JobState.LISTED)
                ]
            poll = min(polls, key=lambda poll: (max(poll.at, now), poll.due))
        return replace(poll, at=max(poll.at, self.limiter.next_slot(now)))

    def _listed(self, now: float) -> list[PendingJob]:
        """Return the jobs to poll by scans; none where polls by id cost less or have to do."""
        listed = [job for job in self._pending.values() if job.state is JobState.LISTED]
        return listed if len(listed) > self._pages and now >= self._list_resume_at else []

    def _next_scan(self, listed: list[PendingJob]) -> Poll:
        if not listed:
            # The list may show again what it did not; a page now and then tells.
            unlisted = sum(job.state is JobState.UNLISTED for job in self._pending.values())
            due = math.inf
            if unlisted > MIN_JOBS_PER_REQUEST:
                due = max(self._last_scan_at + LIST_PAUSE, self._list_resume_at, self._resume_at)
            return Poll(PollKind.WHOLE_LIST, due, due)
        kind = PollKind.WHOLE_LIST if self._pages <= CHEAP_PAGES else PollKind.COMPLETED_JOBS
        interval = min(job.interval for job in listed)
        due = min(max(job.added, self._last_scan_at + job.interval) for job in listed)
        at = max(due, self._throttled_until[kind])
        requests = self._pages if kind is PollKind.WHOLE_LIST else 1
        enough = requests * MIN_JOBS_PER_REQUEST
        at = min(at, self._expected_at(listed, enough, self._last_scan_at, interval))
        deadline = min(job.deadline for job in listed)
        at = min(max(at, self._resume_at), deadline)
        if at >= min(self._throttled_until[PollKind.WHOLE_LIST], deadline):
            kind = PollKind.WHOLE_LIST
        return Poll(kind, at, due)

    def _next_by_id(self, job: PendingJob) -> Poll:
        at = max(job.due, self._throttled_until[PollKind.JOB])
        at = min(at, self._expected_at([job], 1, job.last_polled_at, job.interval))
        at = min(max(at, self._resume_at), job.deadline)
        return Poll(PollKind.JOB, at, job.due, job.job_id)

    def _expected_at(
        self, jobs: list[PendingJob], enough: int, last: float, interval: float
    ) -> float:
        """Return when *enough* of the jobs should have ended, or all whose end can be expected.

        An end that was expected until the *last* poll, and was not there, brings no other one.
        """
        fastest = self._durations.fastest()
        ends = (job.expected_end(fastest) for job in jobs)
        coming = sorted(end for end in ends if last < end < math.inf)
        if not coming:
            return math.inf
        early = MIN_EARLY_SHARE * interval
        at = coming[min(enough, len(coming)) - 1]
        if coming[-1] <= at + early:
            at = coming[-1]  # no other poll would come sooner, so let this one see all of them
        return max(at, last + early)

    def _throttle(self, kind: PollKind, requests: float, now: float) -> None:
        """Put off the polls of a kind that are not urgent, to make up for so many *requests*."""
        # Each kind in use gets an equal share of the rate limit, so that none starves another.
        kinds = 0
        if self._listed(now):
            kinds += 1 if self._pages <= CHEAP_PAGES else 2
        if not kinds or any(job.state is not JobState.LISTED for job in self._pending.values()):
            kinds += 1
        pause = requests * kinds * WINDOW / self.limiter.per_minute
        self._throttled_until[kind] = max(self._throttled_until[kind], now) + pause

    # Polls of one job

    def mark_in_flight(self, job_id: str, now: float) -> None:
        """Keep that a job is polled by its id, until its job or an error is recorded."""
        self.limiter.record(now)
        self._throttle(PollKind.JOB, 1, now)
        self._pending[key_of(job_id)].in_flight = True

    def record_job(self, job_id: str, job: Job, now: float) -> list[Outcome]:
        """Keep what a poll by id showed, and return the waits that ended."""
        self._failures, self.key_rejected = 0, False
        pending = self._pending.get(key_of(job_id))
        if pending is None:
            return []
        pending.in_flight = False
        return self._record(pending, job, now, by_id=True)

    def _record(self, pending: PendingJob, job: Job, now: float, *, by_id: bool) -> list[Outcome]:
        without_images = job.status == "COMPLETED" and not job.image_urls
        if job.is_terminal and (
            not without_images or pending.image_polls + by_id >= MAX_IMAGE_POLLS
        ):
            self._durations.record(job)
            del self._pending[key_of(pending.job_id)]
            return [(wait, job) for wait in pending.waits]
        pending.record(job, now, by_id=by_id)
        return self._expire([pending], now)

    def record_error(self, job_id: str, error: Exception, now: float) -> list[Outcome]:
        """Keep that a poll by id failed, and return the waits that ended.

        Every error of the API is ridden out: the job is paid for, and goes on.
        """
        pending = self._pending.get(key_of(job_id))
        if pending is None:
            return []
        pending.in_flight = False
        if not isinstance(error, ApiframeError):  # a bug, or an id that cannot be sent
            del self._pending[key_of(job_id)]
            return [(wait, error) for wait in pending.waits]
        log.warning("Job %s could not be read, polling it again later: %s", job_id, error)
        pending.record_error(error, now)
        self.key_rejected = isinstance(error, AuthenticationError)
        # While nothing succeeds, or after these errors, other jobs would fare no better.
        asked_to_wait = isinstance(error, RateLimitedError) or getattr(error, "retry_after", None)
        if self._failures or self.key_rejected or asked_to_wait:
            self._pause_all(error, now)
        return self._expire([pending], now)

    def _pause_all(self, error: Exception, now: float) -> None:
        if now >= self._resume_at:  # several polls in flight may fail for one reason
            self._failures += 1
        pause = backoff(max(self._failures, 1), ACCOUNT_PAUSE, error)
        self._resume_at = max(self._resume_at, now + pause)

    def _expire(self, jobs: Iterable[PendingJob], now: float) -> list[Outcome]:
        ended = [outcome for job in jobs for outcome in job.expired(now)]
        for wait, _ in ended:
            self.discard(wait)
        return ended

    # Scans of the list

    def next_page(self, poll: Poll, now: float) -> dict[str, object]:
        """Return the arguments of the request for the page that *poll* asks for."""
        if self._scan is None:
            self._scan = ListScan(poll.kind, (job.job_id for job in self._listed(now)), started=now)
        self.limiter.record(now)
        return self._scan.query

    def record_page(self, page: JobPage, now: float) -> list[Outcome]:
        """Keep what a page of the scan shows, and return the waits that ended."""
        scan = self._scan
        if scan is None:
            return []
        ended: list[Outcome] = []
        for job in scan.record_page(page):
            if pending := self._pending.get(key_of(job.id)):
                ended += self._record(pending, job, now, by_id=False)
        if scan.done:
            self._finish_scan(scan, now)
        return ended

    def _finish_scan(self, scan: ListScan, now: float) -> None:
        self._scan = None
        self._failures, self._list_failures, self.key_rejected = 0, 0, False
        self._last_scan_at = scan.started
        if scan.kind is PollKind.WHOLE_LIST:
            self._pages = max(1, scan.last_useful_page)
            for job in self._unseen(scan):
                job.missed_scans += 1
                # Missed once, it may come: the list may be late, or one page was wrong.
                if job.missed_scans > 1 or now >= job.deadline:
                    job.state = JobState.UNLISTED
        # Pages that brought what they cost are free: they are no more than there are jobs.
        in_vain = max(0.0, scan.pages - scan.ended_jobs / MIN_JOBS_PER_REQUEST)
        self._throttle(scan.kind, in_vain, now)

    def record_scan_error(self, error: Exception, now: float) -> list[Outcome]:
        """Keep that a page could not be read, and return the waits whose deadline has passed."""
        scan, self._scan = self._scan, None
        if scan is None:
            return []
        self._list_failures += 1
        self.key_rejected = isinstance(error, AuthenticationError)
        self._pause_all(error, now)
        unseen = self._unseen(scan)
        for job in unseen:
            job.last_seen = str(error)
        passes = isinstance(error, ApiframeError) and error.transient
        if not passes or self._list_failures % LIST_FAILURES == 0:
            log.warning(
                "The job list cannot be used, polling %d jobs by id: %r", len(unseen), error
            )
            self._list_resume_at = now + LIST_PAUSE
            return []
        log.warning("The job list could not be read, trying again later: %s", error)
        return self._expire(unseen, now)

    def _unseen(self, scan: ListScan) -> list[PendingJob]:
        return [job for key in scan.unseen if (job := self._pending.get(key))]
