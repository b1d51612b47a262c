"""When to look at which jobs: the decisions of waiting, without I/O, for one job as for thousands.

A task that waits for its own job follows a :class:`Schedule`, and so does the loop that watches the
jobs of a whole triggerer. All times are seconds since the epoch, by the caller's clock.

- A job is looked at in the interval of its most impatient waiter, from the moment on that it may be
    finished.
- A look comes earlier when enough jobs should be finished by then: by the progress that the API
  reports, or by the time that jobs of the model took lately.
- Jobs are looked at together, in pages of the list. One that is alone is asked for by its id, and
  so is one that the list does not show: it may be another user's, or deleted.
- The list shows the newest jobs first, so that with many waiting the old ones, which finish first,
  are on its last page. Where a walk through it takes many pages, most looks are for COMPLETED jobs
  only, newest first, until a page brings nothing new.
- Looks become rarer where they would exceed a number of requests per minute, and after errors. A
    deadline is kept all the same.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from airflow_provider_apiframe.api.errors import (
    ApiframeError,
    AuthenticationError,
    RateLimitedError,
    UnexpectedResponseError,
)
from airflow_provider_apiframe.api.models import Job, JobPage
from airflow_provider_apiframe.polling.rate_limit import Durations, pause_after_failures
from airflow_provider_apiframe.polling.scan import WORTH_A_REQUEST, Walk, Watched, key_of
from airflow_provider_apiframe.polling.wait import Wait

log = logging.getLogger(__name__)

EARLIEST_SHARE = 0.25  # of the interval; a look before its time comes no sooner after the last one
LONGEST_REST = (
    5  # intervals that a new job is not looked at: it may be quicker than those before it, or fail
)
CHEAP_PAGES = 2  # requests of a walk through the whole list that are worth it at every look
UNUSABLE_IN_A_ROW = (
    5  # a proxy's error page with status 200 passes; an API that changed its answers does not
)
BY_ID = 10  # jobs that a walk missed which are asked for by their ids before the next one
SHARED_PAUSE = 1.0  # seconds; the first pause after a failure that concerns everybody, however patient the one whom it met
WITHOUT_LIST = 300.0  # seconds that jobs are asked for one by one after the list could not be used

Outcome = tuple[Wait, Job | Exception]
"""How a wait ended: with the finished job, in whatever state, or with the error to raise."""


@dataclass(frozen=True, slots=True)
class Look:
    """The next thing to do: ask for one job, or walk through the list.

    :param at: when.
    :param due: since when it would be due but for the budget; the one that waited longest comes
        first.
    :param job_id: the job to ask for; None is a walk through the list.
    :param completed_only: whether the walk is through the COMPLETED jobs only.
    """

    at: float
    due: float
    job_id: str | None = None
    completed_only: bool = False


class Schedule:
    """Decides when to look at which of the jobs that are waited for. What was seen is told to it;
    it says which waits ended.

    :param requests_per_minute: how many requests looking may take.
    :param durations: how long jobs take; shared by schedules that know the same jobs.
    """

    def __init__(
        self, *, requests_per_minute: float = math.inf, durations: Durations | None = None
    ) -> None:
        self.requests_per_minute = requests_per_minute
        self.durations = durations or Durations()
        self._watched: dict[str, Watched] = {}
        self._walked = self._walked_whole = -math.inf
        self._paced_until = 0.0
        self._clock_behind = 0.0  # seconds that the API's clock is ahead of ours
        self._failures = self._unusable = self._rejected = 0
        self._resume_at = 0.0
        self._list_from = 0.0

    # Who waits

    def add(self, wait: Wait, now: float) -> float:
        """Look at a job from now on, until its wait ends.

        Return when its first look is due at the latest.
        """
        job = self._watched.setdefault(key_of(wait.job_id), Watched(wait.job_id, now))
        job.waits.append(wait)
        job.changed()
        return min(self._in_time(job, self._walked), wait.deadline)

    def discard(self, wait: Wait) -> None:
        """Stop looking at a job for the sake of this wait; nothing happens when it ended already."""
        job = self._watched.get(key_of(wait.job_id))
        if job and wait in job.waits:
            job.waits.remove(wait)
            if job.waits:
                job.changed()
            else:
                del self._watched[key_of(wait.job_id)]

    # When to look

    def next_look(self, now: float, *, by_id: bool = True) -> Look:
        """Return the next look; never, when every job is being asked for or none is waited for.

        :param by_id: whether it may be for a single job.
        """
        together = [job for job in self._watched.values() if not job.missed]
        pages = max((job.page for job in together), default=1)
        if len(together) <= pages or now < self._list_from:
            together = []
        alone = (
            job
            for job in self._watched.values()
            if by_id and not job.asked and (job.missed or not together)
        )
        looks = [Look(*self._due([job], job.looked), job.job_id) for job in alone]
        if together:
            looks.append(self._next_walk(together, pages))
        return min(looks, key=lambda look: (look.at, look.due), default=Look(math.inf, math.inf))

    def _next_walk(self, jobs: Sequence[Watched], pages: int) -> Look:
        if pages <= CHEAP_PAGES:
            return Look(*self._due(jobs, self._walked, takes=pages))
        at, due = self._due(jobs, self._walked)
        # Half of the requests for whole walks, half for those through what is COMPLETED.
        whole = at >= self._walked_whole + 2 * self._seconds_for(pages) or at >= min(
            job.deadline for job in jobs
        )
        return Look(at, due, completed_only=not whole)

    def _due(
        self, jobs: Sequence[Watched], last: float | None, *, takes: int = 1
    ) -> tuple[float, float]:
        """Return when to look at *jobs* together, and when it would be but for the budget.

        :param last: when they were looked at last.
        :param takes: how many requests the look takes.
        """
        last = -math.inf if last is None else last
        due = min(self._in_time(job, last) for job in jobs)
        at = due if jobs[0].missed else max(due, self._paced_until)
        expected = sorted(when for job in jobs if last < (when := self._expected(job)) < at)
        if expected:
            enough = min(takes * WORTH_A_REQUEST, len(expected))
            at = min(
                at,
                max(
                    expected[enough - 1], last + EARLIEST_SHARE * min(job.interval for job in jobs)
                ),
            )
        return min(max(at, self._resume_at), min(job.deadline for job in jobs)), due

    def _in_time(self, job: Watched, last: float) -> float:
        """Return when to look at a job that nothing special is known about."""
        if job.missed:
            return last
        if job.looked is None:
            return max(job.added, last + job.interval)
        due = max(job.looked + job.interval, job.resume_at)
        rest = min(self.durations.least(job.model), LONGEST_REST * job.interval)
        return due if job.created is None else max(due, job.created + rest - self._clock_behind)

    def _expected(self, job: Watched) -> float:
        """Return when a job should be finished; infinite when that is not known, or did not come true."""
        if job.failures or job.created is None or job.looked is None:
            return math.inf
        when = job.eta or job.created + self.durations.shortest(job.model) - self._clock_behind
        return when if when > job.looked else math.inf

    def _seconds_for(self, requests: float) -> float:
        return requests * 60 / self.requests_per_minute

    def _spent(self, requests: float, now: float) -> None:
        """Put off the looks that are not urgent until the budget has made up for *requests*."""
        self._paced_until = max(self._paced_until, now) + self._seconds_for(requests)

    # What was seen

    def asking(self, job_id: str, now: float) -> None:
        """Note that a job is being asked for: no other look at it until :meth:`saw` or :meth:`failed` tells the answer."""
        job = self._watched[key_of(job_id)]
        job.asked = True
        if not job.missed:  # else the walk that missed it counted this request
            self._spent(1, now)

    def saw(self, job_id: str, job: Job, now: float) -> list[Outcome]:
        """Note how a job was found, and return the waits that ended with it."""
        watched = self._watched.get(key_of(job_id))
        return self._saw(watched, job, now) if watched else []

    def _saw(self, watched: Watched, job: Job, now: float) -> list[Outcome]:
        if job.is_terminal:
            self.durations.note(job)
            del self._watched[key_of(watched.job_id)]
            return [(wait, job) for wait in watched.waits]
        watched.last_seen, watched.model, watched.looked = job.status, job.model, now
        watched.missed = watched.asked = False
        watched.failures = watched.unusable = 0
        if job.created:
            watched.created = job.created.timestamp()
            self._clock_behind = max(self._clock_behind, watched.created - now)
            self._estimate(watched, job, now)
        return self._out_of_time([watched], now)

    def _estimate(self, watched: Watched, job: Job, now: float) -> None:
        if watched.eta is not None and now >= watched.eta:
            watched.eta_was_wrong = True
        age = now + self._clock_behind - (watched.created or now)
        known = not watched.eta_was_wrong and 0 < (job.progress or 0) < 100
        watched.eta = now + age * (100 / (job.progress or 100) - 1) if known else None

    def failed(self, job_id: str, error: Exception, now: float) -> list[Outcome]:
        """Note that a job could not be read, and return the waits that ended: all of the job's, when asking again cannot help."""
        job = self._watched.get(key_of(job_id))
        if job is None:
            return []
        job.unusable = job.unusable + 1 if isinstance(error, UnexpectedResponseError) else 0
        if (
            not isinstance(error, ApiframeError)
            or not error.transient
            or job.unusable == UNUSABLE_IN_A_ROW
        ):
            del self._watched[key_of(job_id)]
            return [(wait, error) for wait in job.waits]
        log.warning("Job %s could not be read, asking again: %s", job.job_id, error)
        job.last_seen, job.looked = str(error), now
        job.missed = job.asked = False
        job.failures += 1
        job.resume_at = now + pause_after_failures(job.failures, job.interval, error)
        if isinstance(
            error, RateLimitedError
        ):  # all of the account's requests are too many, not just this one
            self._resume_at = max(
                self._resume_at, now + pause_after_failures(job.failures, SHARED_PAUSE, error)
            )
        return self._out_of_time([job], now)

    # Walks through the list

    def walk(self, look: Look) -> Walk:
        """Start the walk that *look* asks for."""
        return Walk(
            [job for job in self._watched.values() if not job.missed],
            completed_only=look.completed_only,
        )

    def read(self, walk: Walk, page: JobPage, now: float) -> list[Outcome]:
        """Note what a page of the walk shows, and return the waits that ended."""
        found = [
            (watched, job)
            for watched, job in walk.took(page)
            if self._watched.get(key_of(job.id)) is watched
        ]
        for watched, _ in found:
            watched.page, watched.left_out = walk.pages, 0
        ended = [outcome for watched, job in found for outcome in self._saw(watched, job, now)]
        return ended + self._walked_through(walk, now) if walk.over else ended

    def _walked_through(self, walk: Walk, now: float) -> list[Outcome]:
        self._failures = self._unusable = self._rejected = 0
        in_vain = max(0.0, walk.pages - walk.finished / WORTH_A_REQUEST)
        unseen = [
            job for job in walk.unseen.values() if self._watched.get(key_of(job.job_id)) is job
        ]
        self._walked = now
        if walk.completed_only:
            self._spent(2 * in_vain, now)
            for job in unseen:
                job.looked = now
            return self._out_of_time(unseen, now)
        self._walked_whole = now
        for job in unseen:
            job.left_out += 1
        # A few are asked for at once. Many may have been left out by a list that is late, or by one
        # wrong page: the next walk shows them, and costs less.
        certain = unseen if len(unseen) <= BY_ID else [job for job in unseen if job.left_out > 1]
        missed = sorted(certain, key=lambda job: job.looked or 0.0)[:BY_ID]
        for job in missed:
            job.missed, job.page = True, walk.pages
        self._spent(
            len(missed) + (in_vain if walk.pages <= CHEAP_PAGES else 0), now
        )  # the others are half of the requests
        rest = [job for job in unseen if not job.missed]
        for job in rest:
            job.looked = now
        return self._out_of_time(rest, now)

    def walk_failed(self, walk: Walk, error: Exception, now: float) -> list[Outcome]:
        """Note that the list could not be read, and return the waits whose time is up.

        When the list cannot be used, jobs are asked for one by one. A key that is rejected twice
        ends all waits.
        """
        self._rejected = self._rejected + 1 if isinstance(error, AuthenticationError) else 0
        if self._rejected > 1:
            ended: list[Outcome] = [
                (wait, error) for job in self._watched.values() for wait in job.waits
            ]
            self._watched.clear()
            return ended
        jobs = [job for job in walk.unseen.values() if self._watched.get(key_of(job.job_id)) is job]
        self._walked = now
        self._failures += 1
        self._unusable = self._unusable + 1 if isinstance(error, UnexpectedResponseError) else 0
        if self._rejected:
            self._resume_at = now + SHARED_PAUSE
        elif (
            not isinstance(error, ApiframeError)
            or not error.transient
            or self._unusable == UNUSABLE_IN_A_ROW
        ):
            log.warning(
                "The list of jobs cannot be used, asking for %d jobs one by one: %r",
                len(jobs),
                error,
            )
            self._list_from = now + WITHOUT_LIST
            self._unusable = 0
        else:
            log.warning("The list of jobs could not be read, asking again: %s", error)
            self._resume_at = now + pause_after_failures(self._failures, SHARED_PAUSE, error)
        for job in jobs:
            job.last_seen = str(error)
        return self._out_of_time(jobs, now)

    def _out_of_time(self, jobs: Iterable[Watched], now: float) -> list[Outcome]:
        ended: list[Outcome] = [
            (wait, wait.timed_out(job.last_seen))
            for job in jobs
            for wait in job.waits
            if now >= wait.deadline
        ]
        for wait, _ in ended:
            self.discard(wait)
        return ended

    def watches(self, job_id: str) -> bool:
        """Return whether somebody waits for a job."""
        return key_of(job_id) in self._watched

    def last_seen(self, wait: Wait) -> str:
        """Say how the job of a wait was found when it was looked at last."""
        return self._watched[key_of(wait.job_id)].last_seen
