"""When to look at which jobs: the decisions of waiting, without I/O, for one job as for thousands.

A task that waits for its own job follows a :class:`Schedule`, and so does the loop that watches the jobs of a whole triggerer.
All times are seconds since the epoch, by the caller's clock.

- A job is looked at in the interval of its most impatient waiter, from the moment on that it may be finished.
- A look comes earlier when enough jobs should be finished by then: by the progress that the API reports, or by the time that
  jobs of the model took lately.
- Jobs are looked at together, in pages of the list. One that is alone is asked for by its id, and so is one that the list does
  not show: it may be another user's, or deleted.
- The list shows the newest jobs first, so that with many waiting the old ones, which finish first, are on its last page. Where
  a walk through it takes many pages, most looks are for COMPLETED jobs only, newest first, until a page brings nothing new.
- Looks become rarer where they would exceed a number of requests per minute, and after errors. A deadline is kept all the same.
"""

from __future__ import annotations

import logging
import math
from collections import defaultdict, deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from airflow_provider_apiframe.api.errors import ApiframeError, UnusableAnswerError
from airflow_provider_apiframe.api.models import Job, JobPage
from airflow_provider_apiframe.api.protocol import BACKOFF_CAP, RETRY_AFTER_CAP
from airflow_provider_apiframe.api.waiting import Wait, goes_on

log = logging.getLogger(__name__)

LEAST_INTERVAL = 0.05  # seconds; keeps a poll_interval near 0 from becoming a busy loop
EARLIEST_SHARE = 0.25  # of the interval; a look before its time comes no sooner after the last one
WORTH_A_REQUEST = 10  # jobs; a look before its time must be expected to find as many with each request
CHEAP_PAGES = 2  # requests of a walk through the whole list that are worth it at every look
UNUSABLE_IN_A_ROW = 5  # a proxy's error page with status 200 passes; an API that changed its answers does not
LEFT_OUT_IN_A_ROW = 3  # lists; a new job may be late in the list, one that is never there has to be asked for by its id
WITHOUT_LIST = 300.0  # seconds that jobs are asked for one by one after the list could not be used

Outcome = tuple[Wait, Job | Exception]
"""How a wait ended: with the finished job, in whatever state, or with the error to raise."""


class Budget:
    """Spaces requests so that no 60 seconds hold more than *per_minute*."""

    def __init__(self, per_minute: int) -> None:
        self._sent: deque[float] = deque(maxlen=per_minute)

    @property
    def per_minute(self) -> int:
        """How many requests 60 seconds may hold."""
        return self._sent.maxlen or 0

    def change(self, per_minute: int) -> None:
        """Allow another number from now on."""
        if per_minute != self.per_minute:
            self._sent = deque(self._sent, maxlen=per_minute)

    def reserve(self, now: float) -> float:
        """Return when the next request may be sent, and count it."""
        at = now if len(self._sent) < self.per_minute else max(now, self._sent[0] + 60)
        self._sent.append(at)
        return at


class Durations:
    """How long the jobs of each model took lately, by the API's own clock."""

    KEPT = 50
    KNOWN_FROM = 5  # jobs; fewer say little about what the next one needs

    def __init__(self) -> None:
        self._seconds: defaultdict[str | None, deque[float]] = defaultdict(lambda: deque(maxlen=self.KEPT))
        self._shortest: dict[str | None, float] = {}
        self._least: dict[str | None, float] = {}

    def note(self, job: Job) -> None:
        """Learn from a finished job. One that failed says nothing about the others."""
        if job.status == "COMPLETED" and job.created and job.completed:
            known = self._seconds[job.model]
            known.append(max(0.0, (job.completed - job.created).total_seconds()))
            self._shortest[job.model] = min(known)
            if len(known) >= self.KNOWN_FROM:
                self._least[job.model] = min(known) / 2

    def shortest(self, model: str | None) -> float:
        """Return the shortest time, infinite when no job of the model was seen."""
        return self._shortest.get(model, math.inf)

    def least(self, model: str | None) -> float:
        """Return the seconds below which no job need be asked for: half of the shortest, which leaves room for a lighter one."""
        return self._least.get(model, 0.0)


@dataclass(eq=False, slots=True)
class _Watched:
    """A job that is waited for, as far as it is known."""

    job_id: str
    added: float
    waits: list[Wait] = field(default_factory=list)
    interval: float = math.inf  # of the most impatient wait
    deadline: float = math.inf  # the first of the waits
    last_seen: str = "not looked at yet"
    looked: float | None = None  # when
    created: float | None = None  # by the API's clock
    model: str | None = None
    eta: float | None = None  # when it should be finished, by its progress
    eta_was_wrong: bool = False
    page: int = 1  # of the list where it was seen
    missed: bool = False  # by the last walk through the list
    left_out: int = 0  # by so many lists in a row that should have shown it
    asked: bool = False  # for by its id, and not answered yet
    failures: int = 0
    unusable: int = 0
    resume_at: float = 0.0

    def changed(self) -> None:
        """Note that the waits changed."""
        self.interval = max(min(wait.poll_interval for wait in self.waits), LEAST_INTERVAL)
        self.deadline = min(wait.deadline for wait in self.waits)

    @property
    def by_id(self) -> bool:
        return self.missed or self.left_out == LEFT_OUT_IN_A_ROW


@dataclass(frozen=True, slots=True)
class Look:
    """The next thing to do: ask for one job, or walk through the list.

    :param at: when.
    :param job_id: the job to ask for; None is a walk through the list.
    :param completed_only: whether the walk is through the COMPLETED jobs only.
    """

    at: float
    job_id: str | None = None
    completed_only: bool = False


class Walk:
    """A walk through the list of jobs, newest first, in search of those that are waited for.

    :ivar query: the arguments of the next page's request.
    :ivar over: whether no other page is worth its request.
    """

    def __init__(self, watched: Iterable[_Watched], *, completed_only: bool) -> None:
        self.completed_only = completed_only
        self.query: dict[str, object] = {"limit": 100, "status": "COMPLETED" if completed_only else None}
        self.over = False
        self.pages = 0
        self.finished = 0
        self.unseen = {_key(job.job_id): job for job in watched}
        self._in_vain = 0
        self._reached = math.inf  # when the last job on the last page was created

    def took(self, page: JobPage) -> list[tuple[_Watched, Job]]:
        """Return which jobs of *page* are waited for, and decide whether to go on."""
        seen = [(watched, job) for job in page.jobs if (watched := self.unseen.get(_key(job.id)))]
        if self.completed_only:
            seen = [(watched, job) for watched, job in seen if job.finished]
        for watched, _ in seen:
            del self.unseen[_key(watched.job_id)]
        self.pages += 1
        self.finished += sum(job.finished for _, job in seen)
        self._in_vain = 0 if seen else self._in_vain + 1
        self.query["cursor"] = page.next_cursor
        self.over = not self.unseen or not self._goes_on(page)
        return seen

    def _goes_on(self, page: JobPage) -> bool:
        times = [job.created.timestamp() for job in page.jobs if job.created]
        self._reached = -math.inf if page.next_cursor is None else min(times, default=self._reached)
        if page.next_cursor is None or not times:
            return False
        if self.completed_only:
            return not self._in_vain
        if len(self.unseen) == 1:  # one request as well, and a sure one
            return False
        known = [job.created for job in self.unseen.values() if job.created is not None]
        if len(known) < len(self.unseen):
            return self._in_vain * WORTH_A_REQUEST < len(self.unseen)
        pages_left = (self._reached - min(known)) / max(max(times) - min(times), 1e-3)
        return 0 <= pages_left < len(self.unseen)

    def left_out(self, job: _Watched) -> bool:
        """Return whether the walk came past the place where the list would have shown *job*."""
        return (math.inf if job.created is None else job.created) > self._reached


class Schedule:
    """Decides when to look at which of the jobs that are waited for. What was seen is told to it; it says which waits ended.

    :param requests_per_minute: how many requests looking may take.
    :param durations: how long jobs take; shared by schedules that know the same jobs.
    """

    def __init__(self, *, requests_per_minute: float = math.inf, durations: Durations | None = None) -> None:
        self.requests_per_minute = requests_per_minute
        self.durations = durations or Durations()
        self._watched: dict[str, _Watched] = {}
        self._walked = self._walked_whole = -math.inf
        self._paced_until = 0.0
        self._clock_behind = 0.0  # seconds that the API's clock is ahead of ours
        self._failures = self._unusable = 0
        self._resume_at = 0.0
        self._list_from = 0.0

    # Who waits

    def add(self, wait: Wait, now: float) -> float:
        """Look at a job from now on, until its wait ends. Return when its first look is due at the latest."""
        job = self._watched.setdefault(_key(wait.job_id), _Watched(wait.job_id, now))
        job.waits.append(wait)
        job.changed()
        return min(self._in_time(job, self._walked), wait.deadline)

    def discard(self, wait: Wait) -> None:
        """Stop looking at a job for the sake of this wait; nothing happens when it ended already."""
        job = self._watched.get(_key(wait.job_id))
        if job and wait in job.waits:
            job.waits.remove(wait)
            if job.waits:
                job.changed()
            else:
                del self._watched[_key(wait.job_id)]

    # When to look

    def next_look(self, now: float) -> Look:
        """Return the next look; never, when every job is being asked for or none is waited for."""
        together = [job for job in self._watched.values() if not job.by_id]
        pages = max((job.page for job in together), default=1)
        if len(together) <= pages or now < self._list_from:
            together = []
        alone = (job for job in self._watched.values() if not job.asked and (job.by_id or not together))
        looks = [Look(now if job.missed else self._due([job], job.looked), job.job_id) for job in alone]
        if together:
            looks.append(self._next_walk(together, pages))
        return min(looks, key=lambda look: look.at, default=Look(math.inf))

    def _next_walk(self, jobs: Sequence[_Watched], pages: int) -> Look:
        if pages <= CHEAP_PAGES:
            return Look(self._due(jobs, self._walked, takes=pages, paced_until=self._paced_until))
        at = self._due(jobs, self._walked, paced_until=self._paced_until)
        # Half of the requests for whole walks, half for those through what is COMPLETED.
        whole = at >= self._walked_whole + 2 * self._seconds_for(pages) or at >= min(job.deadline for job in jobs)
        return Look(at, completed_only=not whole)

    def _due(self, jobs: Sequence[_Watched], last: float | None, *, takes: int = 1, paced_until: float = 0.0) -> float:
        """Return when to look at *jobs* together, the last time having been *last*, with a look that *takes* so many requests."""
        last = -math.inf if last is None else last
        at = max(min(self._in_time(job, last) for job in jobs), paced_until)
        expected = sorted(when for job in jobs if last < (when := self._expected(job)) < at)
        if expected:
            enough = min(takes * WORTH_A_REQUEST, len(expected))
            at = min(at, max(expected[enough - 1], last + EARLIEST_SHARE * min(job.interval for job in jobs)))
        return min(max(at, self._resume_at), min(job.deadline for job in jobs))

    def _in_time(self, job: _Watched, last: float) -> float:
        """Return when to look at a job that nothing special is known about."""
        if job.looked is None:
            return max(job.added, last + job.interval)
        due = max(job.looked + job.interval, job.resume_at)
        return due if job.created is None else max(due, job.created + self.durations.least(job.model) - self._clock_behind)

    def _expected(self, job: _Watched) -> float:
        """Return when a job should be finished; infinite when that is not known, or did not come true."""
        if job.failures or job.created is None or job.looked is None:
            return math.inf
        when = job.eta or job.created + self.durations.shortest(job.model) - self._clock_behind
        return when if when > job.looked else math.inf

    def _seconds_for(self, requests: float) -> float:
        return requests * 60 / self.requests_per_minute

    # What was seen

    def asking(self, job_id: str) -> None:
        """Note that a job is being asked for: no other look at it until :meth:`saw` or :meth:`failed` tells the answer."""
        self._watched[_key(job_id)].asked = True

    def saw(self, job_id: str, job: Job, now: float) -> list[Outcome]:
        """Note how a job was found, and return the waits that ended with it."""
        watched = self._watched.get(_key(job_id))
        return self._saw(watched, job, now) if watched else []

    def _saw(self, watched: _Watched, job: Job, now: float) -> list[Outcome]:
        if job.finished:
            self.durations.note(job)
            del self._watched[_key(watched.job_id)]
            return [(wait, job) for wait in watched.waits]
        watched.last_seen, watched.model, watched.looked = job.status, job.model, now
        watched.missed = watched.asked = False
        watched.failures = watched.unusable = 0
        if job.created:
            watched.created = job.created.timestamp()
            self._clock_behind = max(self._clock_behind, watched.created - now)
            self._estimate(watched, job, now)
        return self._out_of_time([watched], now)

    def _estimate(self, watched: _Watched, job: Job, now: float) -> None:
        if watched.eta is not None and now >= watched.eta:
            watched.eta_was_wrong = True
        age = now + self._clock_behind - (watched.created or now)
        known = not watched.eta_was_wrong and 0 < (job.progress or 0) < 100
        watched.eta = now + age * (100 / (job.progress or 100) - 1) if known else None

    def failed(self, job_id: str, error: Exception, now: float) -> list[Outcome]:
        """Note that a job could not be read, and return the waits that ended: all of the job's, when asking again cannot help."""
        job = self._watched.get(_key(job_id))
        if job is None:
            return []
        job.unusable = job.unusable + 1 if isinstance(error, UnusableAnswerError) else 0
        if not isinstance(error, ApiframeError) or not error.transient or job.unusable == UNUSABLE_IN_A_ROW:
            del self._watched[_key(job_id)]
            if isinstance(error, ApiframeError):
                error.adding(goes_on(job.job_id))
            return [(wait, error) for wait in job.waits]
        log.warning("Job %s could not be read, asking again: %s", job.job_id, error)
        job.last_seen, job.looked = str(error), now
        job.missed = job.asked = False
        job.failures += 1
        job.resume_at = now + _pause(job.failures, job.interval, error)
        if error.status_code == 429:  # all of the account's requests are too many, not just this one
            self._resume_at = max(self._resume_at, job.resume_at)
        return self._out_of_time([job], now)

    # Walks through the list

    def walk(self, look: Look) -> Walk:
        """Start the walk that *look* asks for."""
        return Walk([job for job in self._watched.values() if not job.by_id], completed_only=look.completed_only)

    def read(self, walk: Walk, page: JobPage, now: float) -> list[Outcome]:
        """Note what a page of the walk shows, and return the waits that ended."""
        self._failures = self._unusable = 0
        found = [(watched, job) for watched, job in walk.took(page) if self._watched.get(_key(job.id)) is watched]
        for watched, _ in found:
            watched.page, watched.left_out = walk.pages, 0
        ended = [outcome for watched, job in found for outcome in self._saw(watched, job, now)]
        return ended + self._walked_through(walk, now) if walk.over else ended

    def _walked_through(self, walk: Walk, now: float) -> list[Outcome]:
        requests = walk.pages if walk.completed_only else walk.pages + len(walk.unseen)
        in_vain = max(0.0, requests - walk.finished / WORTH_A_REQUEST)
        unseen = [job for job in walk.unseen.values() if self._watched.get(_key(job.job_id)) is job]
        self._walked = now
        self._paced_until = now + self._seconds_for(in_vain)
        if walk.completed_only:
            self._paced_until = now + 2 * self._seconds_for(in_vain)
            for job in unseen:
                job.looked = now
            return self._out_of_time(unseen, now)
        self._walked_whole = now
        for job in unseen:
            job.missed, job.page = True, walk.pages
            job.left_out += walk.left_out(job)
        return []

    def walk_failed(self, walk: Walk, error: ApiframeError, now: float) -> list[Outcome]:
        """Note that the list could not be read, and return the waits whose time is up.

        No wait ends for another reason: when the list cannot be used, jobs are asked for one by one.
        """
        jobs = [job for job in walk.unseen.values() if self._watched.get(_key(job.job_id)) is job]
        self._walked = now
        self._failures += 1
        self._unusable = self._unusable + 1 if isinstance(error, UnusableAnswerError) else 0
        if not error.transient or self._unusable == UNUSABLE_IN_A_ROW:
            log.warning("The list of jobs cannot be used, asking for %d jobs one by one: %s", len(jobs), error)
            self._list_from = now + WITHOUT_LIST
            self._unusable = 0
        else:
            log.warning("The list of jobs could not be read, asking again: %s", error)
            interval = min((job.interval for job in jobs), default=LEAST_INTERVAL)
            self._resume_at = now + _pause(self._failures, interval, error)
        for job in jobs:
            job.last_seen = str(error)
        return self._out_of_time(jobs, now)

    def _out_of_time(self, jobs: Iterable[_Watched], now: float) -> list[Outcome]:
        ended: list[Outcome] = [
            (wait, wait.timed_out(job.last_seen)) for job in jobs for wait in job.waits if now >= wait.deadline
        ]
        for wait, _ in ended:
            self.discard(wait)
        return ended

    def last_seen(self, wait: Wait) -> str:
        """Say how the job of a wait was found when it was looked at last."""
        return self._watched[_key(wait.job_id)].last_seen


def _key(job_id: str) -> str:
    return job_id.strip().lower()  # the API writes UUIDs in lower case and takes both


def _pause(failures: int, interval: float, error: ApiframeError) -> float:
    """Return the seconds to pause after so many failures in a row: doubling, and at least what the API asks for."""
    doubling = interval * 2.0 ** min(failures - 1, 10)
    asked = getattr(error, "retry_after", None) or 0.0
    return max(min(doubling, BACKOFF_CAP), interval, min(asked, RETRY_AFTER_CAP))
