"""JobWatcher against the sandbox, on an event loop whose time jumps (see ``conftest.py``)."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import logging
import re
import time
import weakref
from collections.abc import Callable

import pytest
import requests

from airflow_provider_apiframe.api.async_client import AsyncApiframeClient
from airflow_provider_apiframe.api.errors import (
    JobTimeoutError,
)
from airflow_provider_apiframe.api.models import Job
from airflow_provider_apiframe.api.settings import ClientSettings
from airflow_provider_apiframe.polling import watcher as watcher_module
from airflow_provider_apiframe.polling.wait import Wait
from airflow_provider_apiframe.polling.watcher import JobWatcher
from airflow_provider_apiframe.sandbox.server import Sandbox
from airflow_provider_apiframe.triggers.request_share import for_one_triggerer

START = 1_800_000_000.0  # of the clock
IMAGE = {"images": ["https://cdn.example/a.png"]}


@pytest.fixture
def settings(sandbox: Sandbox) -> ClientSettings:
    return ClientSettings(
        api_key=sandbox.api_key, base_url=sandbox.url, verify=False, requests_per_minute=5000
    )


@pytest.fixture
def submit(sandbox: Sandbox) -> Callable[..., str]:
    session = requests.Session()

    def submit(prompt: str = "a poster", key: str = sandbox.api_key) -> str:
        body = {"model": "flux-2-flex", "prompt": prompt}
        response = session.post(
            f"{sandbox.url}/v2/images/generate", json=body, headers={"X-API-Key": key}, timeout=20
        )
        return response.json()["jobId"]

    return submit


def polls(sandbox: Sandbox) -> int:
    """Return how many requests polling has made."""
    return sandbox.state.requests.get("jobs", 0) + sandbox.state.requests.get("job", 0)


def waiting(job_id: str, *, seconds: float = 600.0, every: float = 2.0) -> Wait:
    return Wait(job_id, time.time() + seconds, every)


@pytest.fixture
def watch(run, settings) -> Callable[..., list[Job | BaseException]]:
    """Call it to wait on an event loop of its own; errors are returned."""

    def watch(*waits: Wait, settings: ClientSettings = settings) -> list[Job | BaseException]:
        async def all_of_them() -> list[Job | BaseException]:
            return await asyncio.gather(
                *(JobWatcher.of(settings).wait(wait) for wait in waits), return_exceptions=True
            )

        return run(all_of_them())

    return watch


async def wait_for(settings: ClientSettings, wait: Wait) -> Job:
    return await JobWatcher.of(settings).wait(wait)


async def until(condition: Callable[[], bool]) -> None:
    while not condition():
        await asyncio.sleep(0.01)


def test_all_that_wait_share_the_scans(sandbox, submit, watch):
    job_ids = [submit() for _ in range(30)]
    jobs = watch(*(waiting(job_id) for job_id in job_ids))
    assert [job.id for job in jobs] == job_ids
    assert {job.status for job in jobs} == {"COMPLETED"}
    assert sandbox.state.requests["jobs"] <= 12
    assert sandbox.state.requests.get("job", 0) <= 1


def test_one_that_waits_alone_gets_the_whole_job(sandbox, submit, watch):
    (job,) = watch(waiting(submit("a red poster")))
    assert job.prompt == "a red poster"  # the list leaves it out
    assert "jobs" not in sandbox.state.requests


def test_more_jobs_than_a_page_holds_are_watched(submit, watch):
    job_ids = [submit() for _ in range(230)]
    assert [job.id for job in watch(*(waiting(job_id) for job_id in job_ids))] == job_ids


def test_it_starts_with_the_first_waiter_and_ends_with_the_last(settings, submit, monkeypatch, run):
    clients = []
    real = AsyncApiframeClient.open

    async def noted(settings):
        clients.append(await real(settings))
        return clients[-1]

    monkeypatch.setattr(AsyncApiframeClient, "open", noted)

    async def twice() -> None:
        for _ in range(2):
            wait_for = JobWatcher.of(settings).wait
            await asyncio.gather(*(wait_for(waiting(submit())) for _ in range(5)))
            assert asyncio.all_tasks() == {asyncio.current_task()}
            assert clients[-1]._http.is_closed

    run(twice())
    assert len(clients) == 2


def test_every_event_loop_has_a_watcher_of_its_own_and_is_not_kept_alive(settings, submit, run):
    loops = []

    async def wait() -> JobWatcher:
        loops.append(weakref.ref(asyncio.get_running_loop()))
        await JobWatcher.of(settings).wait(waiting(submit()))
        return JobWatcher.of(settings)

    first, second = run(wait()), run(wait())
    assert first is not second
    gc.collect()
    assert [loop() for loop in loops] == [None, None]


def test_connections_with_the_same_key_share_a_watcher_and_other_keys_do_not(settings, run):
    async def watchers() -> list[JobWatcher]:
        same = ClientSettings(
            api_key=settings.api_key,
            base_url=settings.base_url,
            timeout=5,
            name="another connection",
        )
        other = ClientSettings(api_key="afk_other", base_url=settings.base_url)
        return [JobWatcher.of(each) for each in (settings, same, other)]

    one, same, other = run(watchers())
    assert one is same
    assert one is not other


def test_a_job_of_another_user_times_out_and_holds_up_no_other(clock, submit, watch):
    theirs, ours = submit(key="afk_other"), [submit() for _ in range(3)]
    error, *jobs = watch(waiting(theirs), *(waiting(job_id) for job_id in ours))
    assert isinstance(error, JobTimeoutError)
    assert error.job_id == theirs
    assert "it belongs to another user" in str(error)
    assert 599 <= clock() - START <= 602
    assert [job.id for job in jobs] == ours


def test_a_job_that_cannot_be_read_hides_no_other(sandbox, submit, watch):
    job_ids = [submit() for _ in range(3)]
    sandbox.faults.next("job", body={"id": job_ids[0], "status": None}, times=99)
    jobs = [{"id": job_id, "status": "COMPLETED", "result": IMAGE} for job_id in job_ids[1:]]
    page = {"jobs": [{"id": job_ids[0], "status": None}, *jobs], "nextCursor": None}
    sandbox.faults.next("jobs", body=page, times=99)
    error, *found = watch(*(waiting(job_id, seconds=60) for job_id in job_ids))
    assert isinstance(error, JobTimeoutError)
    assert "valid string" in str(error)
    assert [job.id for job in found] == job_ids[1:]


def test_an_id_that_cannot_even_be_sent_hurts_nobody_else(submit, watch):
    job_id = submit()
    error, job = watch(waiting("\ud800"), waiting(job_id))
    assert isinstance(error, UnicodeEncodeError)
    assert job.id == job_id


def test_a_revoked_key_is_told_to_each_at_the_deadline(sandbox, submit, watch):
    job_ids = [submit() for _ in range(3)]
    wrong = ClientSettings(api_key="afk_wrong", base_url=sandbox.url)
    for error in watch(*(waiting(job_id) for job_id in job_ids), settings=wrong):
        assert isinstance(error, JobTimeoutError)
        assert "last seen: Apiframe rejected the API key" in str(error)
    assert polls(sandbox) <= 3 * (6 + 600 / 30)


def test_that_the_key_is_rejected_can_be_told_while_jobs_are_waited_for(
    sandbox, settings, submit, run
):
    async def say() -> list[bool]:
        watcher = JobWatcher.of(settings)
        sandbox.faults.next("job", status=401, times=3)
        task = asyncio.create_task(watcher.wait(waiting(submit())))
        await asyncio.sleep(1)
        rejected = watcher.key_rejected
        await task
        return [rejected, watcher.key_rejected]

    assert run(say()) == [True, False]


def test_a_key_that_may_not_list_jobs_still_waits(sandbox, submit, watch):
    job_ids = [submit() for _ in range(5)]
    sandbox.faults.next("jobs", status=403, body={"error": "No"}, times=50)
    assert [job.id for job in watch(*(waiting(job_id) for job_id in job_ids))] == job_ids


@pytest.mark.parametrize(
    "fault",
    [
        {"status": 503},
        {"drop": True},
        {"retry_after": "1"},
        {"body": "<html>"},
        {"cut_after": 9},
        {"status": 401},
        {"status": 403},
        {"status": 403, "body": "<html>"},
        {"status": 404},
        {"status": 302, "headers": {"Location": "/elsewhere"}},
        {"status": 400},
        {"status": 409},
        {"status": 421},
        {"status": 425},
    ],
)
@pytest.mark.parametrize("count", [1, 4])
def test_whatever_the_api_answers_for_a_while_is_ridden_out(sandbox, submit, watch, fault, count):
    job_ids = [submit() for _ in range(count)]
    sandbox.faults.next("any", times=6, **fault)
    assert [job.id for job in watch(*(waiting(job_id) for job_id in job_ids))] == job_ids


def test_a_completed_job_is_polled_again_until_its_images_are_there(sandbox, submit, watch):
    job_ids = [submit() for _ in range(3)]
    without = {"jobs": [{"id": job_id, "status": "COMPLETED"} for job_id in job_ids]}
    sandbox.faults.next("jobs", body=without)
    sandbox.faults.next("job", body={"id": job_ids[0], "status": "COMPLETED", "result": None})
    jobs = watch(*(waiting(job_id) for job_id in job_ids))
    assert all(job.image_urls for job in jobs)


def test_what_was_last_seen_of_a_job_can_be_told_while_it_is_waited_for(settings, submit, run):
    async def say() -> list[str]:
        watcher, wait = JobWatcher.of(settings), waiting(submit(), every=1)
        task = asyncio.create_task(watcher.wait(wait))
        said = [watcher.last_seen(wait)]
        await asyncio.sleep(0.1)
        said.append(watcher.last_seen(wait))
        await asyncio.sleep(5)
        said.append(watcher.last_seen(wait))
        await task
        return said

    before, first, later = run(say())
    assert before == "not waited for"
    assert first.startswith("QUEUED")
    assert re.fullmatch(r"PROCESSING, \d+ %", later)


@pytest.mark.parametrize("fault", [{"retry_after": "3600"}, {"status": 503}])
def test_deadlines_are_kept_whatever_the_api_does(sandbox, settings, submit, run, clock, fault):
    sandbox.configure(latency=3600)
    job_ids = [submit() for _ in range(3)]
    sandbox.faults.next("any", times=100, **fault)
    ended = {}

    async def one(job_id: str, seconds: float) -> None:
        with pytest.raises(JobTimeoutError, match="was not finished at the deadline"):
            await JobWatcher.of(settings).wait(waiting(job_id, seconds=seconds))
        ended[seconds] = clock() - START

    async def all_of_them() -> None:
        await asyncio.gather(*(one(job_id, 60 + n) for n, job_id in enumerate(job_ids)))

    run(all_of_them())
    assert all(seconds - 0.1 <= at <= seconds + 1 for seconds, at in ended.items())


def test_a_deadline_is_kept_while_a_response_hangs(sandbox, settings, submit, monkeypatch):
    """On real time: a request that hangs is no point to which the clock could jump."""
    monkeypatch.setattr(watcher_module, "FIRST_RESPONSE", 0.1)
    monkeypatch.setattr(watcher_module, "LAST_RESPONSE", 0.1)
    job_id = submit("[stuck]")
    sandbox.faults.next("any", delay=15)
    start = time.monotonic()
    with pytest.raises(JobTimeoutError):
        asyncio.run(wait_for(settings, waiting(job_id, seconds=0.2)))
    assert 0.2 <= time.monotonic() - start < 5


def test_who_is_cancelled_leaves_the_others_waiting(settings, submit, run):
    job_ids = [submit() for _ in range(4)]

    async def cancel_two() -> list[Job | BaseException]:
        tasks = [
            asyncio.create_task(JobWatcher.of(settings).wait(waiting(job_id))) for job_id in job_ids
        ]
        await asyncio.sleep(3)
        tasks[0].cancel()
        tasks[3].cancel()
        return await asyncio.gather(*tasks, return_exceptions=True)

    first, *jobs, last = run(cancel_two())
    assert [type(each) for each in (first, last)] == [asyncio.CancelledError] * 2
    assert [job.id for job in jobs] == job_ids[1:3]


def test_who_is_cancelled_no_longer_sets_the_pace(sandbox, settings, submit, run):
    sandbox.configure(latency=3600)
    job_ids = [submit() for _ in range(2)]

    async def polls_after_one_left() -> int:
        patient, impatient = (
            asyncio.create_task(JobWatcher.of(settings).wait(waiting(job_id, every=every)))
            for job_id, every in zip(job_ids, (60, 0.5), strict=True)
        )
        await until(lambda: polls(sandbox) > 3)
        impatient.cancel()
        await asyncio.wait([impatient])
        before = polls(sandbox)
        await asyncio.sleep(50)
        patient.cancel()
        return polls(sandbox) - before

    assert run(polls_after_one_left()) <= 1


def test_who_comes_later_does_not_wait_for_the_next_poll_of_the_patient(
    sandbox, settings, submit, run, clock
):
    patient, finished = submit("[stuck]"), submit("[takes: 0]")

    async def come_later() -> float:
        task = asyncio.create_task(JobWatcher.of(settings).wait(waiting(patient, every=60)))
        await until(lambda: polls(sandbox) > 0)
        await asyncio.sleep(5)
        came = clock()
        await JobWatcher.of(settings).wait(waiting(finished))
        task.cancel()
        return clock() - came

    assert run(come_later()) < 3


def test_when_the_last_is_cancelled_nothing_goes_on(sandbox, settings, submit, run):
    sandbox.configure(latency=3600)
    job_id = submit()

    async def cancel() -> None:
        task = asyncio.create_task(JobWatcher.of(settings).wait(waiting(job_id, every=0.5)))
        await until(lambda: polls(sandbox) > 2)
        task.cancel()
        await asyncio.wait([task])
        before = polls(sandbox)
        assert asyncio.all_tasks() == {asyncio.current_task()}
        await asyncio.sleep(60)
        assert polls(sandbox) == before

    run(cancel())


def test_the_rate_limit_of_the_connection_is_kept(sandbox, submit, watch):
    sandbox.configure(latency=3600)
    settings = ClientSettings(api_key=sandbox.api_key, base_url=sandbox.url, requests_per_minute=4)
    waits = [waiting(submit(), seconds=50, every=0.05) for _ in range(3)]
    errors = watch(*waits, settings=settings)
    assert {type(error) for error in errors} == {JobTimeoutError}
    assert polls(sandbox) == 4


@pytest.mark.parametrize("shares", [(98, 2), (50, 50), (100, 0)])
def test_two_triggerers_keep_the_rate_limit_of_the_connection_together(
    sandbox, submit, run, clock, monkeypatch, shares
):
    """However the jobs are spread: each triggerer is a process with a watcher of its own."""
    monkeypatch.setenv("AIRFLOW__APIFRAME__TRIGGERERS", "2")
    sandbox.configure(latency=3600, credits=100_000)
    settings = ClientSettings(api_key=sandbox.api_key, base_url=sandbox.url, requests_per_minute=30)
    sent: list[float] = []
    for name in ("get_job", "list_jobs"):
        real = getattr(AsyncApiframeClient, name)

        def noted(*arguments, real=real, **keywords):
            sent.append(clock())
            return real(*arguments, **keywords)

        monkeypatch.setattr(AsyncApiframeClient, name, noted)

    async def wait() -> list[Job | BaseException]:
        watchers = [JobWatcher(for_one_triggerer(settings)) for _ in shares]
        return await asyncio.gather(
            *(
                watcher.wait(waiting(submit(), seconds=300))
                for watcher, count in zip(watchers, shares, strict=True)
                for _ in range(count)
            ),
            return_exceptions=True,
        )

    assert {type(error) for error in run(wait())} == {JobTimeoutError}
    busiest = max(sum(start <= other < start + 60 for other in sent) for start in sent)
    assert busiest <= 30
    assert busiest >= (28 if all(shares) else 14)  # and the limit is used


def test_the_rate_limit_holds_within_one_scan_of_many_pages(sandbox, submit, watch):
    sandbox.configure(latency=3600, credits=100_000)
    settings = ClientSettings(api_key=sandbox.api_key, base_url=sandbox.url, requests_per_minute=3)
    job_ids = [submit() for _ in range(450)]
    errors = watch(*(waiting(job_id, seconds=50) for job_id in job_ids), settings=settings)
    assert {type(error) for error in errors} == {JobTimeoutError}
    assert polls(sandbox) == 3


def test_only_a_few_jobs_are_polled_by_id_at_once(sandbox, submit, watch, monkeypatch):
    """However many the list does not show, the loop is not busy with them alone."""
    job_ids = [submit() for _ in range(60)]
    sandbox.faults.next("jobs", body={"jobs": []}, times=999)
    now = most = 0
    real = AsyncApiframeClient.get_job

    async def get_job(self, job_id, *, retry):
        nonlocal now, most
        now += 1
        most = max(most, now)
        await asyncio.sleep(0.1)
        try:
            return await real(self, job_id, retry=retry)
        finally:
            now -= 1

    monkeypatch.setattr(AsyncApiframeClient, "get_job", get_job)
    fast = ClientSettings(api_key=sandbox.api_key, base_url=sandbox.url, requests_per_minute=10**9)
    jobs = watch(*(waiting(job_id) for job_id in job_ids), settings=fast)
    assert [job.id for job in jobs] == job_ids
    assert most == watcher_module.MAX_IN_FLIGHT


def test_the_rate_limit_holds_for_jobs_that_the_list_does_not_show(sandbox, submit, watch):
    sandbox.configure(latency=3600)
    sandbox.faults.next("jobs", body={"jobs": []}, times=99)
    settings = ClientSettings(api_key=sandbox.api_key, base_url=sandbox.url, requests_per_minute=3)
    errors = watch(*(waiting(submit(), seconds=50) for _ in range(8)), settings=settings)
    assert {type(error) for error in errors} == {JobTimeoutError}
    assert polls(sandbox) == 3


def test_a_bug_in_the_loop_is_told_to_all_and_those_after_them_are_served(
    submit, monkeypatch, watch
):
    job_ids = [submit() for _ in range(3)]

    def broken(self, now, *, by_id):
        monkeypatch.undo()
        raise RuntimeError("a bug")

    monkeypatch.setattr(watcher_module.Schedule, "next_poll", broken)
    errors = watch(*(waiting(job_id) for job_id in job_ids))
    assert {str(error) for error in errors} == {"a bug"}
    assert [job.id for job in watch(*(waiting(job_id) for job_id in job_ids))] == job_ids


def test_a_response_that_never_comes_whole_is_given_up(
    sandbox, settings, submit, clock, monkeypatch
):
    """On real time, as above."""
    monkeypatch.setattr(watcher_module, "MAX_REQUEST_SECONDS", 0.2)
    job_id = submit()
    clock.advance(10)
    sandbox.faults.next("job", delay=20)
    start = time.monotonic()
    assert asyncio.run(wait_for(settings, waiting(job_id, every=0.05))).id == job_id
    assert time.monotonic() - start < 10


def test_a_clock_that_was_set_back_between_two_watches_stops_nobody(
    settings, submit, monkeypatch, run
):
    async def twice() -> list[Job]:
        first = await JobWatcher.of(settings).wait(waiting(submit()))
        real = time.time
        monkeypatch.setattr(time, "time", lambda: real() - 3600)
        second = await asyncio.gather(
            *(JobWatcher.of(settings).wait(waiting(submit())) for _ in range(3))
        )
        return [first, *second]

    assert {job.status for job in run(twice())} == {"COMPLETED"}


def test_a_slot_of_the_rate_limit_that_nobody_used_is_free(sandbox, submit, run):
    sandbox.configure(latency=3600)
    settings = ClientSettings(api_key=sandbox.api_key, base_url=sandbox.url, requests_per_minute=3)

    async def leave() -> float:
        tasks = [
            asyncio.create_task(JobWatcher.of(settings).wait(waiting(submit()))) for _ in range(9)
        ]
        await until(lambda: polls(sandbox) == 3)
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
        now = asyncio.get_running_loop().time()
        return JobWatcher.of(settings)._schedule.limiter.next_slot(now) - now

    assert run(leave()) <= 60


def test_a_list_that_breaks_in_a_way_nobody_thought_of_leaves_the_jobs_to_be_polled_by_id(
    submit, monkeypatch, watch
):
    job_ids = [submit() for _ in range(3)]

    async def broken(self, **query):
        raise RecursionError("deep")

    monkeypatch.setattr(AsyncApiframeClient, "list_jobs", broken)
    assert [job.id for job in watch(*(waiting(job_id) for job_id in job_ids))] == job_ids


def test_a_watch_that_is_cancelled_by_somebody_else_leaves_nobody_waiting(
    submit, monkeypatch, watch
):
    job_ids = [submit() for _ in range(3)]

    async def cancelled(self, **query):
        raise asyncio.CancelledError

    monkeypatch.setattr(AsyncApiframeClient, "list_jobs", cancelled)
    assert {type(error) for error in watch(*(waiting(job_id) for job_id in job_ids))} == {
        RuntimeError
    }


def test_what_the_watcher_logs_is_not_put_down_to_the_task_that_came_first(
    sandbox, settings, submit, run
):
    """Airflow tells by context variables whose log a line belongs to; this loop works for all."""
    task = contextvars.ContextVar("task", default="the triggerer")
    seen = set()

    class Noting(logging.Handler):
        def emit(self, record):
            seen.add((task.get(), record.name.rpartition(".")[2]))

    job_ids = [submit() for _ in range(3)]
    sandbox.faults.next("jobs", status=503)

    async def wait(job_id: str) -> None:
        task.set(job_id)
        await JobWatcher.of(settings).wait(waiting(job_id))

    async def all_of_them() -> None:
        await asyncio.gather(*map(wait, job_ids))

    logger = logging.getLogger("airflow_provider_apiframe")
    handler = Noting()
    logger.addHandler(handler)
    try:
        run(all_of_them())
    finally:
        logger.removeHandler(handler)
    assert seen == {("the triggerer", "schedule")}
