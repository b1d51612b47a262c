"""The decisions of waiting, driven by a small world of jobs: no sockets, no sleeping."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from itertools import islice, pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_provider_apiframe.api.errors import (
    ApiframeError,
    AuthenticationError,
    BlockedByProxyError,
    ConflictError,
    InvalidRequestError,
    JobTimeoutError,
    NotFoundError,
    PermissionDeniedError,
    RateLimitedError,
    RequestRefusedError,
    ServiceUnavailableError,
    UnexpectedResponseError,
)
from airflow_provider_apiframe.api.models import Job, JobPage
from airflow_provider_apiframe.polling.durations import Durations
from airflow_provider_apiframe.polling.pending import MAX_IMAGE_POLLS
from airflow_provider_apiframe.polling.poll import PollKind
from airflow_provider_apiframe.polling.rate_limit import RateLimiter
from airflow_provider_apiframe.polling.scan import ListScan
from airflow_provider_apiframe.polling.schedule import Schedule
from airflow_provider_apiframe.polling.wait import Wait

T0 = 1_800_000_000.0
RESPONSE = 0.05  # seconds that a request takes


Fault = Callable[[], ApiframeError | None]


def no_fault() -> None:
    return None


def unavailable() -> ApiframeError:
    return ServiceUnavailableError("answered 503", status_code=503)


def forbidden() -> ApiframeError:
    return PermissionDeniedError("answered 403", status_code=403)


def unusable() -> ApiframeError:
    return UnexpectedResponseError("not JSON", raw="<html>", transient=True)


def unauthorized() -> ApiframeError:
    return AuthenticationError("Apiframe rejected the API key", status_code=401)


FINAL_LOOKING = [
    unauthorized,
    forbidden,
    unusable,
    lambda: BlockedByProxyError("answered 403: <html>", status_code=403),
    lambda: NotFoundError("answered 404", status_code=404),
    lambda: InvalidRequestError("answered 400", status_code=400),
    lambda: ConflictError("answered 409", status_code=409),
    lambda: RequestRefusedError("answered 302", status_code=302),
]


def iso(time: float) -> str:
    return datetime.fromtimestamp(time, UTC).isoformat()


@dataclass
class Made:
    """A job of the world: when it came, how long it takes, and how it ends.

    Times are seconds after T0.
    """

    name: str
    at: float = 0.0
    takes: float = 15.0
    ends: str = "COMPLETED"
    progress: bool = False
    listed: bool = True
    exists: bool = True
    model: str = "flux-2-flex"
    images_after: float = 0.0  # seconds from its end until it shows its images
    list_images: bool = True
    _seen: dict[object, Job] = field(default_factory=dict, repr=False)

    def status(self, now: float) -> str:
        return self.ends if now - T0 - self.at >= self.takes else "PROCESSING"

    def seen(self, now: float) -> Job:
        age, status = now - T0 - self.at, self.status(now)
        running = status == "PROCESSING"
        progress = int(100 * age / self.takes) if running and self.progress else None
        images = status == "COMPLETED" and age >= self.takes + self.images_after
        key = status, progress, images
        if key not in self._seen:  # most polls show what the one before has shown
            self._seen[key] = Job(
                id=self.name,
                model=self.model,
                status=status,
                progress=progress,
                created_at=iso(T0 + self.at),
                completed_at=None if running else iso(T0 + self.at + self.takes),
                result={"images": [f"https://cdn.example/{self.name}.png"]} if images else None,
            )
        return self._seen[key]


def position(job: Made) -> tuple[float, str]:
    """Return where the list has a job."""
    return job.at, job.name


@dataclass
class World:
    """An API with some jobs, and what a loop does that follows a schedule on it."""

    jobs: list[Made]
    requests_per_minute: int = 120
    clock_ahead: float = 0.0  # the API's clock, of ours
    faults: dict[float, Fault] = field(
        default_factory=dict
    )  # from when on -> what everything answers
    list_fault: Fault = no_fault
    job_faults: dict[str, Fault] = field(default_factory=dict)
    requests: list[float] = field(default_factory=list)
    polled: list[tuple[float, str]] = field(
        default_factory=list
    )  # when, and for which job by its id; "" is a page
    ended: dict[Wait, tuple[float, object]] = field(default_factory=dict)
    _oldest_first: list[Made] = field(default_factory=list)

    def _fault(self, now: float) -> ApiframeError | None:
        since = [start for start in self.faults if start <= now - T0]
        return self.faults[max(since)]() if since else None

    def _get(self, job_id: str, now: float) -> Job:
        if fault := self._fault(now) or self.job_faults.get(job_id, no_fault)():
            raise fault
        for job in self.jobs:
            if job.name == job_id and job.exists and job.at <= now - T0 + 1e-6:
                return self._shifted(job.seen(now))
        raise NotFoundError("404")

    def _page(
        self, now: float, limit: int, cursor: str | None = None, status: str | None = None
    ) -> JobPage:
        if fault := self._fault(now) or self.list_fault():
            raise fault
        if len(self._oldest_first) != len(self.jobs):
            self._oldest_first = sorted(self.jobs, key=position)
        at, _, name = (cursor or "inf ").partition(" ")
        end = bisect_left(self._oldest_first, (float(at), name), key=position)
        found = (
            job
            for job in reversed(self._oldest_first[:end])
            if job.listed and job.exists and job.at <= now - T0 + 1e-6
            if status in (None, job.status(now))
        )
        page = list(islice(found, limit))
        more = f"{page[-1].at!r} {page[-1].name}" if next(found, None) else None
        return JobPage(jobs=[self._listed(job, now) for job in page], next_cursor=more)

    def _listed(self, job: Made, now: float) -> Job:
        seen = self._shifted(job.seen(now))
        return seen if job.list_images else seen.model_copy(update={"result": None})

    def _shifted(self, job: Job) -> Job:
        if not self.clock_ahead:
            return job
        times = {"created_at": job.created, "completed_at": job.completed}
        return job.model_copy(
            update={
                name: time and iso(time.timestamp() + self.clock_ahead)
                for name, time in times.items()
            }
        )

    def watch(
        self,
        waits: dict[Wait, float] | list[Wait],
        *,
        until: float = math.inf,
    ) -> World:
        """Follow a schedule until all of *waits* ended.

        They start at the second given, or with their jobs.
        """
        made = {job.name: job.at for job in self.jobs}
        starts = (
            dict(waits)
            if isinstance(waits, dict)
            else {wait: made.get(wait.job_id.lower(), 0.0) for wait in waits}
        )
        schedule = Schedule(self.requests_per_minute)
        coming = sorted(starts, key=lambda wait: starts[wait])
        now = T0

        def end(outcomes) -> None:
            for wait, outcome in outcomes:
                assert wait not in self.ended
                self.ended[wait] = (now - T0, outcome)

        while len(self.ended) < len(starts) and now - T0 < until:
            assert len(self.requests) < 20_000
            poll = schedule.next_poll(now)
            while coming and T0 + starts[coming[0]] <= max(poll.at, now + 1e-6):
                now = max(now, T0 + starts[coming[0]])
                if schedule.add(coming.pop(0), now) < poll.at:
                    poll = schedule.next_poll(now)
            now = max(now, poll.at)
            self.requests.append(now - T0)
            if poll.kind is PollKind.JOB:
                schedule.mark_in_flight(poll.job_id, now)
                now += RESPONSE
                self.polled.append((now - T0, poll.job_id))
                try:
                    end(schedule.record_job(poll.job_id, self._get(poll.job_id, now), now))
                except ApiframeError as error:
                    end(schedule.record_error(poll.job_id, error, now))
            else:
                query = schedule.next_page(poll, now)
                now += RESPONSE
                self.polled.append((now - T0, ""))
                try:
                    page = self._page(now, **query)
                except ApiframeError as error:
                    end(schedule.record_scan_error(error, now))
                else:
                    end(schedule.record_page(page, now))
        return self

    def lags(self) -> list[float]:
        """Seconds from the end of each job to the end of its wait."""
        over = {job.name: job.at + job.takes for job in self.jobs}
        return [
            at - over[wait.job_id]
            for wait, (at, outcome) in self.ended.items()
            if isinstance(outcome, Job)
        ]

    def busiest_minute(self) -> int:
        return max(
            sum(start <= other < start + 60 for other in self.requests) for start in self.requests
        )


def wait_for(job: Made | str, *, deadline: float = 600.0, every: float = 2.0) -> Wait:
    return Wait(job if isinstance(job, str) else job.name, T0 + deadline, every)


def batch(
    count: int, *, over: float = 1.0, start: float = 0.0, name: str = "job", **kind
) -> list[Made]:
    return [
        Made(f"{name}-{number:04}", at=start + over * number / count, **kind)
        for number in range(count)
    ]


# Requests and lag


def test_many_jobs_share_the_pages_of_the_list():
    means = []
    for takes in range(140, 160):  # a batch ends anywhere between two polls; nothing tells when
        world = World(batch(200, takes=takes / 10))
        world.watch([wait_for(job) for job in world.jobs])
        lags = world.lags()
        assert len(lags) == 200
        assert len(world.requests) <= 30  # 0.15 per image; one poll per job would take 1,600
        assert max(lags) <= 2.0 + 3 * RESPONSE
        means.append(sum(lags) / 200)
    assert sum(means) / len(means) <= 1.0


@pytest.mark.parametrize("progress", [True, False])
def test_jobs_that_keep_coming_cost_little_each(progress):
    world = World(batch(400, over=120, progress=progress))
    world.watch({wait_for(job): job.at + 1 for job in world.jobs})
    assert len(world.requests) <= 0.3 * 400
    assert sum(world.lags()) / 400 <= 1.2


def test_the_progress_that_the_api_reports_brings_the_poll_to_the_moment():
    world = World([Made("job", progress=True, takes=15)])
    world.watch([wait_for("job", every=2)])
    assert world.lags()[0] <= 0.4


def test_progress_that_promises_too_much_costs_one_poll():
    """It stands at 99 % for a minute: each poll would make the next one come early."""
    stuck = Made("job", takes=80)
    world = World([stuck])
    world._get = lambda job_id, now: stuck.seen(now).model_copy(update={"progress": 99})
    world.watch([wait_for("job", every=2)])
    assert len(world.requests) <= 80 / 2 + 2


def test_a_batch_is_found_finished_without_waiting_for_the_interval_when_the_model_is_known():
    earlier = batch(10, name="earlier")
    world = World([*earlier, *batch(100, over=0.5, start=30)])
    world.watch([wait_for(job, every=10) for job in world.jobs])
    lags = world.lags()[10:]
    assert sum(lags) / 100 <= 2.5  # with polls every 10 s and nothing known it would be 5 s


def test_an_end_that_is_expected_and_does_not_come_costs_one_poll():
    world = World([Made("quick"), Made("slow", at=20, takes=80)])
    world.watch([wait_for(job, every=4) for job in world.jobs])
    polls = [at for at, job_id in world.polled if job_id == "slow"]
    assert len(polls) <= 80 / 4 + 2


def test_jobs_that_get_quicker_are_learned_from_at_once():
    durations = Durations()
    for _ in range(50):
        durations.record(Made("slow", takes=60).seen(T0 + 60))
    assert durations.fastest() == {"flux-2-flex": 60}
    durations.record(Made("quick", takes=4).seen(T0 + 4))
    assert durations.fastest() == {"flux-2-flex": 4}


def test_failed_jobs_and_other_models_say_nothing_about_how_long_a_job_takes():
    durations = Durations()
    durations.record(Made("refused", takes=1, ends="FAILED").seen(T0 + 1))
    durations.record(Made("other", takes=1, model="flux-2-max").seen(T0 + 1))
    assert durations.fastest() == {"flux-2-max": 1}


@pytest.mark.parametrize("ahead", [-30.0, -2.0, 2.0, 30.0])
def test_a_clock_of_the_api_that_is_wrong_costs_no_news(ahead):
    jobs = [Made(f"job-{number}", at=20 * number) for number in range(8)]
    world = World(jobs, clock_ahead=ahead).watch([wait_for(job) for job in jobs])
    assert max(world.lags()) <= 2.0 + 2 * RESPONSE


# The rate limit


@pytest.mark.parametrize("count", [1, 20, 200, 500, 2000])
@pytest.mark.parametrize("per_minute", [30, 120])
def test_requests_stay_within_the_rate_limit_however_many_jobs_wait(count, per_minute):
    world = World(batch(count, takes=10_000), requests_per_minute=per_minute)
    world.watch([wait_for(job, deadline=5000) for job in world.jobs], until=240)
    assert world.busiest_minute() <= per_minute
    assert len(world.ended) == 0


def test_two_thousand_jobs_are_delivered_within_the_rate_limit_and_soon():
    world = World(batch(2000, over=8))
    world.watch([wait_for(job) for job in world.jobs])
    lags = world.lags()
    assert len(lags) == 2000
    assert world.busiest_minute() <= 120
    assert sum(lags) / 2000 <= 2.5


def test_among_very_many_one_that_failed_is_found_too():
    jobs = batch(1500, takes=300)
    jobs[700].ends, jobs[700].takes = "FAILED", 20
    world = World(jobs).watch([wait_for(job) for job in jobs], until=60)
    (failed,) = world.ended.values()
    assert failed[1].status == "FAILED"
    assert (
        failed[0] - 20 <= 2 * 15 * 60 / 120 + 10
    )  # two scans of 15 pages at 120 requests a minute


def test_a_deadline_among_very_many_shows_whether_the_job_failed():
    jobs = batch(1500, takes=300)
    jobs[700].ends, jobs[700].takes = "FAILED", 39.9 - jobs[700].at
    failed = wait_for(jobs[700], deadline=40)
    world = World(jobs).watch(
        [failed, *(wait_for(job) for job in jobs if job is not jobs[700])], until=45
    )
    at, outcome = world.ended[failed]
    assert isinstance(outcome, Job)
    assert 40 <= at <= 41.5


def test_requests_are_spread_over_the_minute_instead_of_used_up_at_its_start():
    world = World(batch(2000, takes=10_000))
    world.watch([wait_for(job, deadline=5000, every=0.5) for job in world.jobs], until=240)
    assert world.busiest_minute() <= 120
    assert max(later - earlier for earlier, later in pairwise(world.requests)) <= 6


def test_a_rate_limit_never_lets_more_through_in_any_sixty_seconds():
    limiter, sent = RateLimiter(3), []
    for now in (0, 1, 2, 3, 60, 61.5, 62):
        at = limiter.next_slot(now)
        limiter.record(at)
        sent.append(at)
    assert sent == [0, 1, 2, 60, 61, 62, 120]


def test_a_rate_limit_that_changes_keeps_what_was_sent():
    limiter = RateLimiter(3)
    for _ in range(3):
        limiter.record(0)
    limiter.per_minute = 1
    assert limiter.next_slot(1) == 60
    limiter.per_minute = 4
    assert limiter.next_slot(1) == 1


# Alone or together


def test_a_job_that_waits_alone_is_polled_by_its_id():
    world = World(batch(3)).watch([wait_for("job-0001")])
    assert {job_id for _, job_id in world.polled} == {"job-0001"}


def test_a_job_that_is_not_found_is_polled_until_its_deadline_and_holds_up_no_other():
    world = World([*batch(30), Made("gone", exists=False)])
    gone = wait_for("gone", deadline=100)
    world.watch([gone, *(wait_for(job) for job in world.jobs[:30])])
    at, error = world.ended.pop(gone)
    assert isinstance(error, JobTimeoutError)
    assert "last seen: 404" in str(error)
    assert 100 <= at <= 101
    assert len([at for at, job_id in world.polled if job_id == "gone"]) <= 10
    assert max(world.lags()) <= 2 + 4 * RESPONSE


def test_a_job_that_is_not_found_at_first_is_delivered():
    """A 404 right after the submit was accepted: the API may not know it everywhere yet."""
    answers = iter([NotFoundError("404")] * 3)
    world = World([Made("job")], job_faults={"job": lambda: next(answers, None)})
    world.watch([wait_for("job")])
    assert len(world.lags()) == 1


def test_a_job_that_the_list_never_shows_is_polled_by_its_id():
    world = World([*batch(30), Made("hidden", listed=False)])
    world.watch([wait_for(job) for job in world.jobs])
    assert len(world.lags()) == 31
    assert max(world.lags()) <= 2 + 4 * RESPONSE
    assert len(world.requests) <= 35


def test_jobs_behind_the_pages_of_another_pipeline_are_found():
    """Hundreds of newer jobs hide ours; reading past them is cheaper than polling each."""
    others = batch(450, start=1, name="other", takes=10_000)
    world = World([*batch(150, takes=40), *others])
    world.watch({wait_for(job): 2.0 for job in world.jobs[:150]})
    assert len(world.lags()) == 150
    assert len(world.requests) <= 150
    assert sum(job_id != "" for _, job_id in world.polled) < 10


@pytest.mark.parametrize("page", [["other"], ["other", "other"], []])
def test_a_scan_ends_even_if_the_list_does_not(page):
    """An API that gives the same page for every cursor, a job twice, or empty pages."""
    world = World([*batch(40), Made("other", at=2, takes=10_000)])
    shown = [job.seen(T0 + 3) for job in world.jobs if job.name in page for _ in page]
    world._page = lambda now, **query: JobPage(jobs=shown, next_cursor="again")
    world.watch([wait_for(job, every=10) for job in world.jobs[:40]])
    assert len(world.lags()) == 40
    assert len(world.requests) <= 40 * 6


def test_a_job_that_a_page_shows_twice_ends_once():
    world = World(batch(3, takes=1))
    real = world._page
    world._page = lambda now, **query: JobPage(
        jobs=[job for job in real(now, **query).jobs for _ in "12"]
    )
    world.watch([wait_for(job) for job in world.jobs])
    assert len(world.lags()) == 3


def test_two_old_jobs_far_down_the_list_are_polled_one_by_one():
    world = World(
        [
            *batch(2, name="old", takes=70),
            *batch(3000, over=60, start=1, name="other", takes=10_000),
        ]
    )
    world.watch({wait_for(job): 62.0 for job in world.jobs[:2]})
    assert len(world.lags()) == 2
    assert len(world.requests) <= 16


def test_the_last_one_that_is_missing_is_polled_by_its_id():
    """The next page might not show it."""
    world = World(batch(101)).watch([wait_for(job) for job in batch(101)], until=4)
    assert {job_id for _, job_id in world.polled} == {"", "job-0000"}


def test_a_list_that_does_not_know_the_filter_tells_nothing_wrong():
    scan = ListScan(PollKind.COMPLETED_JOBS, ["job-0000", "job-0001"], started=T0)
    done, running = Made("job-0000", takes=0).seen(T0), Made("job-0001").seen(T0)
    assert scan.record_page(JobPage(jobs=[running, done], next_cursor=None)) == [done]


def test_upper_case_ids_are_the_same_jobs():
    world = World([Made("ab-1"), Made("ab-2"), Made("ab-3")])
    world.watch([wait_for(name) for name in ("AB-1", "Ab-2", "ab-3")])
    assert sorted(outcome.id for _, outcome in world.ended.values()) == ["ab-1", "ab-2", "ab-3"]
    assert {job_id for _, job_id in world.polled} == {""} | {
        job_id for _, job_id in world.polled if job_id.lower() in ("ab-1", "ab-2", "ab-3")
    }


def test_two_waits_for_one_job_end_together_and_the_more_impatient_sets_the_pace():
    patient, impatient = wait_for("job", every=60), wait_for("job", every=1)
    world = World([Made("job")]).watch([patient, impatient])
    (one, _), (other, _) = world.ended.values()
    assert one == other <= 16 + 2 * RESPONSE


def test_who_stops_waiting_leaves_the_others_alone():
    schedule = Schedule()
    here, gone = wait_for("job", every=5), wait_for("job", every=1)
    for wait in (here, gone):
        schedule.add(wait, T0)
    schedule.record_job("job", Made("job").seen(T0), T0)
    assert schedule.next_poll(T0).at == T0 + 1
    schedule.discard(gone)
    schedule.discard(gone)
    assert schedule.next_poll(T0).at == T0 + 5
    assert schedule.record_job("job", Made("job", takes=0).seen(T0), T0)[0][0] is here
    assert schedule.next_poll(T0).at == math.inf


def test_a_response_that_comes_when_nobody_waits_any_more_is_nothing():
    schedule = Schedule()
    wait = wait_for("job")
    schedule.add(wait, T0)
    schedule.mark_in_flight("job", T0)
    schedule.discard(wait)
    assert schedule.record_job("job", Made("job", takes=0).seen(T0), T0) == []
    assert schedule.record_error("job", unavailable(), T0) == []


def test_a_job_is_not_polled_for_twice_at_once():
    schedule = Schedule()
    schedule.add(wait_for("job"), T0)
    schedule.mark_in_flight("job", T0)
    assert schedule.next_poll(T0).at == math.inf


# When things go wrong


@pytest.mark.parametrize("count", [1, 30])
def test_an_outage_is_ridden_out_with_ever_rarer_polls(count):
    world = World(batch(count), faults={3: unavailable, 300: no_fault})
    world.watch([wait_for(job) for job in world.jobs])
    during = [at for at in world.requests if 3 <= at < 300]
    assert len(during) <= 6 + 300 / 30
    assert all(isinstance(outcome, Job) for _, outcome in world.ended.values())
    assert max(at for at, _ in world.ended.values()) <= 300 + 30 + 1


@pytest.mark.parametrize("count", [1, 30])
def test_a_retry_after_is_obeyed_by_everybody(count):
    world = World(
        batch(count),
        faults={3: lambda: RateLimitedError("answered 429", retry_after=60), 20: no_fault},
    )
    world.watch([wait_for(job) for job in world.jobs])
    (first, *_) = during = [at for at in world.requests if 3 <= at < first_after(world, 3) + 60]
    assert during == [first]
    assert len(world.lags()) == count


def test_a_retry_after_for_one_job_is_obeyed_for_all():
    answers = iter([RateLimitedError("answered 429", retry_after=30)])
    world = World(
        [*batch(20), Made("hidden", listed=False)],
        job_faults={"hidden": lambda: next(answers, None)},
    )
    world.watch([wait_for(job) for job in world.jobs])
    refused = next(at for at, job_id in world.polled if job_id == "hidden")
    assert not [at for at, _ in world.polled if refused < at < refused + 30]
    assert len(world.lags()) == 21


def test_after_an_outage_the_next_one_is_polled_anew():
    world = World(
        batch(30, takes=90), faults={3: unavailable, 50: no_fault, 70: unavailable, 71: no_fault}
    )
    world.watch([wait_for(job) for job in world.jobs])
    assert [at for at in world.requests if 71 < at < 75]


def test_one_wrong_page_costs_a_scan_and_not_a_request_for_each_job():
    world = World(batch(300))
    real, wrong = world._page, iter([JobPage(jobs=[], next_cursor=None)])
    world._page = lambda now, **query: next(wrong, None) or real(now, **query)
    world.watch([wait_for(job) for job in world.jobs])
    assert len(world.lags()) == 300
    assert len(world.requests) <= 60
    assert max(world.lags()) <= 4


@pytest.mark.parametrize(("old", "ago"), [(30, 60), (300, 600)])
def test_old_jobs_behind_a_burst_of_new_ones_are_seen_in_the_list(old, ago):
    """The first page spans a second, and ends a minute or ten before the jobs on the next one."""
    before, burst = batch(old, takes=ago + 10, name="old"), batch(100, over=1.5, start=ago)
    world = World([*before, *burst])
    world.watch({wait_for(job, deadline=2000): ago + 2.0 for job in world.jobs})
    assert len(world.lags()) == old + 100
    assert sum(job_id != "" for _, job_id in world.polled) <= 15
    assert max(world.lags()) <= 6


@pytest.mark.parametrize(
    "told", [lambda at: iso(at)[:19] + "+00:00", lambda at: iso(at)[:19], lambda at: "soon"]
)
def test_times_that_say_little_do_not_turn_scans_into_polls_of_each_job(told):
    world = World(batch(500))
    real = world._shifted
    world._shifted = lambda job: real(job).model_copy(
        update={"created_at": told(job.created.timestamp())}
    )
    world.watch([wait_for(job) for job in world.jobs])
    assert len(world.lags()) == 500
    assert len(world.requests) <= 120


def test_the_trouble_of_a_patient_one_does_not_stop_the_impatient():
    answers = iter([RateLimitedError("answered 429")])
    world = World(
        [Made("patient", takes=9999), Made("quick", at=5)],
        job_faults={"patient": lambda: next(answers, None)},
    )
    world.watch([wait_for("patient", every=3600), wait_for("quick")], until=60)
    assert world.lags()[0] <= 3
    world = World(
        [*batch(3, takes=9999), Made("quick", at=5)], faults={0: unavailable, 4: no_fault}
    )
    world.watch(
        [*(wait_for(job, every=3600) for job in world.jobs[:3]), wait_for("quick")], until=60
    )
    assert world.lags()[0] <= 3


def test_a_key_that_is_rejected_for_a_while_loses_no_job():
    world = World(batch(20), faults={2: unauthorized, 60: no_fault})
    world.watch([wait_for(job) for job in world.jobs])
    assert len(world.lags()) == 20
    assert len([at for at in world.requests if 2 <= at < 60]) <= 12


def test_a_revoked_key_ends_in_timeouts_that_say_so_after_few_requests():
    world = World(batch(20), faults={2: unauthorized})
    world.watch([wait_for(job, deadline=300) for job in world.jobs])
    assert len([at for at in world.requests if at < 299]) <= 6 + 300 / 30 + 3
    for at, error in world.ended.values():
        assert isinstance(error, JobTimeoutError)
        assert "last seen: Apiframe rejected the API key" in str(error)
        assert 300 <= at <= 300 + 21 * RESPONSE


def test_a_key_that_only_the_list_rejects_leaves_the_jobs_to_be_polled_by_id():
    world = World(batch(50), list_fault=unauthorized)
    world.watch([wait_for(job) for job in world.jobs])
    assert len(world.lags()) == 50


def test_a_page_that_always_fails_is_read_ever_more_rarely_and_the_jobs_are_polled_by_id():
    world = World(batch(150, takes=100))
    real = world._page
    world._page = lambda now, **query: (
        real(now, **query) if query.get("cursor") is None else _raise(unavailable())
    )
    world.watch([wait_for(job) for job in world.jobs], until=300)
    assert sum(job_id == "" and at <= 120 for at, job_id in world.polled) <= 30
    assert len(world.lags()) == 150


def _raise(error: ApiframeError):
    raise error


def first_after(world: World, start: float) -> float:
    return min(at for at in world.requests if at >= start)


@pytest.mark.parametrize(
    "fault", [unavailable, lambda: RateLimitedError("answered 429", retry_after=3600)]
)
@pytest.mark.parametrize("count", [1, 30])
def test_deadlines_are_kept_through_an_outage(fault, count):
    world = World(batch(count), faults={3: fault})
    world.watch([wait_for(job, deadline=100 + number) for number, job in enumerate(world.jobs)])
    for wait, (at, error) in world.ended.items():
        assert isinstance(error, JobTimeoutError)
        assert "last seen: answered" in str(error)
        assert 0 <= at - (wait.deadline - T0) <= 0.5


def test_a_deadline_gets_a_last_poll():
    world = World([Made("job", takes=99.9)]).watch([wait_for("job", deadline=100, every=60)])
    assert [outcome.status for _, outcome in world.ended.values()] == ["COMPLETED"]


@pytest.mark.parametrize("count", [1, 30])
def test_a_deadline_that_passed_before_still_gets_a_poll(count):
    world = World(batch(count, takes=0.0, over=0)).watch(
        [wait_for(job, deadline=-50) for job in batch(count, over=0)]
    )
    assert {outcome.status for _, outcome in world.ended.values()} == {"COMPLETED"}
    world = World(batch(count, over=0)).watch(
        [wait_for(job, deadline=-50) for job in batch(count, over=0)]
    )
    assert all(isinstance(outcome, JobTimeoutError) for _, outcome in world.ended.values())
    assert all("last seen: PROCESSING" in str(outcome) for _, outcome in world.ended.values())


def test_one_job_that_cannot_be_read_slows_down_nobody_else():
    world = World([*batch(30), Made("broken", listed=False)], job_faults={"broken": unavailable})
    world.watch([wait_for("broken", deadline=100), *(wait_for(job) for job in world.jobs[:30])])
    assert len(world.lags()) == 30
    assert max(world.lags()) <= 2 + 4 * RESPONSE


@pytest.mark.parametrize("fault", [forbidden, unusable])
def test_where_the_list_cannot_be_used_jobs_are_polled_one_by_one(fault):
    world = World(batch(8), list_fault=fault)
    world.watch([wait_for(job, every=5) for job in world.jobs])
    assert len(world.lags()) == 8
    pages = sum(job_id == "" for _, job_id in world.polled)
    assert pages == (1 if fault is forbidden else 5)
    assert world.busiest_minute() <= 120


@pytest.mark.parametrize("fault", FINAL_LOOKING)
@pytest.mark.parametrize("count", [1, 3])
def test_an_error_that_looks_final_is_ridden_out(fault, count):
    """The submit was accepted and is paid for: an odd response ends nothing."""
    world = World(batch(count), faults={2: fault, 40: no_fault})
    world.watch([wait_for(job) for job in world.jobs])
    assert len(world.lags()) == count
    assert max(world.lags()) <= 25 + 30 + 2


def test_an_error_that_stays_ends_the_waits_for_that_job_only_and_at_the_deadline():
    world = World(batch(2), job_faults={"job-0000": forbidden}, list_fault=forbidden)
    here, too, other = wait_for("job-0000"), wait_for("job-0000"), wait_for("job-0001")
    world.watch([here, too, other])
    for wait in (here, too):
        assert "last seen: answered 403" in str(world.ended[wait][1])
    assert world.ended[other][1].status == "COMPLETED"
    assert world.ended[other][0] <= 18


def test_unusable_responses_are_ridden_out_however_many_come_in_a_row():
    answers = iter([unusable()] * 8)
    world = World([Made("job")], job_faults={"job": lambda: next(answers, None)})
    world.watch([wait_for("job")])
    assert len(world.lags()) == 1


# COMPLETED, but the images are not there yet


@pytest.mark.parametrize("count", [1, 3, 150])
def test_a_completed_job_without_images_is_polled_until_they_are_there(count):
    world = World(batch(count, images_after=4.0))
    world.watch([wait_for(job, every=5) for job in world.jobs])
    assert len(world.lags()) == count
    assert all(outcome.image_urls for _, outcome in world.ended.values())


@pytest.mark.parametrize("every", [2, 60])
def test_a_completed_job_whose_images_never_come_is_returned_as_it_is_after_some_seconds(every):
    world = World([Made("job", images_after=math.inf)])
    world.watch([wait_for("job", every=every, deadline=600)])
    ((_, job),) = world.ended.values()
    assert (job.status, job.image_urls) == ("COMPLETED", [])
    polls = [at for at, _ in world.polled if at > 15]
    assert len(polls) == MAX_IMAGE_POLLS
    assert 9 <= polls[-1] - polls[0] <= 12


def test_a_completed_job_whose_images_never_come_is_returned_as_it_is_at_its_deadline():
    world = World([Made("job", images_after=math.inf)])
    world.watch([wait_for("job", deadline=17)])
    ((at, job),) = world.ended.values()
    assert (job.status, 17 <= at <= 17.2) == ("COMPLETED", True)


def test_images_that_the_list_leaves_out_are_read_by_id():
    world = World(batch(40, list_images=False))
    world.watch([wait_for(job) for job in world.jobs])
    assert all(outcome.image_urls for _, outcome in world.ended.values())
    assert len([at for at, job_id in world.polled if job_id and at > 15]) == 40


def test_what_nobody_thought_of_ends_the_waits_for_that_job_only():
    schedule = Schedule()
    wait, other = wait_for("job"), wait_for("other")
    for each in (wait, other):
        schedule.add(each, T0)
    broken = RuntimeError("?")
    assert schedule.record_error("job", broken, T0) == [(wait, broken)]
    assert schedule.next_poll(T0).job_id == "other"


# Jobs that the list does not show


def test_many_jobs_that_the_list_never_shows_beside_a_long_history_are_delivered_in_time():
    history = batch(5000, over=3600, start=-4000, name="history")
    world = World([*batch(600, listed=False), *history])
    world.watch([wait_for(job) for job in world.jobs[:600]])
    assert len(world.lags()) == 600
    assert max(at for at, _ in world.ended.values()) <= 400  # two a second take 300 s
    assert world.busiest_minute() <= 120


def test_jobs_that_the_list_shows_do_not_wait_for_many_that_it_never_shows():
    world = World([*batch(300), *batch(300, name="hidden", listed=False)])
    world.watch([wait_for(job) for job in world.jobs])
    assert len(world.lags()) == 600
    assert max(world.lags()[:300]) <= 3
    assert max(at for at, _ in world.ended.values()) <= 300


def test_a_list_that_shows_the_jobs_late_is_used_again():
    world = World(batch(200, takes=90))
    real = world._page
    world._page = lambda now, **query: real(now, **query) if now > T0 + 15 else JobPage(jobs=[])
    world.watch([wait_for(job) for job in world.jobs])
    assert len(world.lags()) == 200
    assert len(world.requests) <= 300  # polls by id every 2 s would be thousands


# All of it at once


@st.composite
def worlds(draw: st.DrawFn) -> tuple[World, dict[Wait, float]]:
    count = draw(st.integers(1, 40))
    seconds = st.floats(0, 40, allow_nan=False)
    jobs, starts = [], {}
    for number in range(count):
        job = Made(
            f"job-{number}",
            at=draw(seconds),
            takes=draw(st.one_of(seconds, st.just(10_000.0))),
            ends=draw(st.sampled_from(["COMPLETED", "FAILED", "CANCELLED"])),
            progress=draw(st.booleans()),
            listed=draw(st.integers(0, 9)) > 0,
            exists=draw(st.integers(0, 9)) > 0,
            model=draw(st.sampled_from(["flux-2-flex", "flux-2-max"])),
        )
        jobs.append(job)
        every, deadline = draw(st.floats(0.5, 20)), job.at + draw(st.floats(0, 120))
        starts[wait_for(job, deadline=deadline, every=every)] = job.at + draw(st.floats(0, 20))
    others = batch(draw(st.sampled_from([0, 0, 150])), over=40, name="other", takes=5)
    world = World(
        [*jobs, *others],
        requests_per_minute=draw(st.sampled_from([20, 120, 500])),
        clock_ahead=draw(st.sampled_from([0, 5, -5])),
    )
    for start in draw(st.lists(seconds, max_size=2)):
        world.faults |= {
            start: draw(
                st.sampled_from(
                    [unavailable, unusable, lambda: RateLimitedError("429", retry_after=9)]
                )
            ),
            start + 5: no_fault,
        }
    return world, starts


@settings(max_examples=60)
@given(worlds())
def test_every_wait_ends_once_in_time_and_within_the_rate_limit(drawn):
    world, starts = replace(drawn[0], requests=[], polled=[], ended={}), drawn[1]
    world.watch(starts, until=1000)
    jobs = {job.name: job for job in world.jobs}
    assert world.ended.keys() == starts.keys()
    assert world.busiest_minute() <= world.requests_per_minute
    # A limit that is used up is used up: jobs that the list does not show are polled once each at
    # their deadlines, as many a minute as the limit allows. The watcher does not wait for that.
    minutes = math.ceil(len(starts) / 20) if world.requests_per_minute == 20 else 0
    slack = 60 * minutes + 3
    for wait, (at, outcome) in world.ended.items():
        job = jobs[wait.job_id]
        deadline = max(wait.deadline - T0, starts[wait])
        if isinstance(outcome, Job):
            assert outcome.status == job.ends
            assert at >= job.at + job.takes
        else:
            assert isinstance(outcome, JobTimeoutError)
            assert at >= wait.deadline - T0
            assert not job.exists or deadline <= job.at + job.takes + slack + 30
        assert at <= deadline + slack
