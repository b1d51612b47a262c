"""JobWatcher on a real event loop, against the sandbox."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import logging
import math
import time
import weakref
from collections.abc import Callable, Iterator

import pytest
import requests

from airflow_provider_apiframe.api.async_client import AsyncApiframeClient
from airflow_provider_apiframe.api.errors import (
    AuthenticationError,
    JobTimeoutError,
    NotFoundError,
    UnexpectedResponseError,
)
from airflow_provider_apiframe.api.models import Job
from airflow_provider_apiframe.api.settings import ClientSettings
from airflow_provider_apiframe.polling import watcher as watcher_module
from airflow_provider_apiframe.polling.wait import Wait
from airflow_provider_apiframe.polling.watcher import JobWatcher
from airflow_provider_apiframe.sandbox.server import Sandbox


@pytest.fixture(scope="module")
def _server() -> Iterator[Sandbox]:
    with Sandbox(latency=0.6, api_keys=["afk_other=someone"]) as sandbox:
        yield sandbox


@pytest.fixture
def sandbox(_server: Sandbox) -> Sandbox:
    _server.reset()
    return _server


@pytest.fixture
def settings(sandbox: Sandbox) -> ClientSettings:
    return ClientSettings(api_key=sandbox.api_key, base_url=sandbox.url, requests_per_minute=5000)


@pytest.fixture
def submit(sandbox: Sandbox) -> Callable[..., str]:
    session = requests.Session()

    def submit(prompt: str = "a poster", key: str = sandbox.api_key) -> str:
        body = {"model": "flux-2-flex", "prompt": prompt}
        answer = session.post(
            f"{sandbox.url}/v2/images/generate", json=body, headers={"X-API-Key": key}, timeout=20
        )
        return answer.json()["jobId"]

    return submit


def waiting(job_id: str, *, seconds: float = 30.0, every: float = 0.1) -> Wait:
    return Wait(job_id, time.time() + seconds, every)


def watch(settings: ClientSettings, *waits: Wait) -> list[Job | BaseException]:
    """Wait for all of *waits* on an event loop of their own; errors are returned."""

    async def all_of_them() -> list[Job | BaseException]:
        return await asyncio.gather(
            *(JobWatcher.of(settings).wait(wait) for wait in waits), return_exceptions=True
        )

    return asyncio.run(all_of_them())


async def until(condition: Callable[[], bool]) -> None:
    while not condition():
        await asyncio.sleep(0.01)


def test_all_that_wait_share_the_looks(sandbox, settings, submit):
    job_ids = [submit() for _ in range(30)]
    jobs = watch(settings, *(waiting(job_id) for job_id in job_ids))
    assert [job.id for job in jobs] == job_ids
    assert {job.status for job in jobs} == {"COMPLETED"}
    assert sandbox.state.requests["jobs"] <= 12
    assert sandbox.state.requests.get("job", 0) <= 1


def test_one_that_waits_alone_gets_the_whole_job(sandbox, settings, submit):
    (job,) = watch(settings, waiting(submit("a red poster")))
    assert job.prompt == "a red poster"  # the list leaves it out
    assert "jobs" not in sandbox.state.requests


def test_more_jobs_than_a_page_holds_are_watched(settings, submit):
    job_ids = [submit() for _ in range(230)]
    assert [job.id for job in watch(settings, *(waiting(job_id) for job_id in job_ids))] == job_ids


def test_it_starts_with_the_first_waiter_and_ends_with_the_last(settings, submit, monkeypatch):
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
            assert clients[-1]._client.is_closed

    asyncio.run(twice())
    assert len(clients) == 2


def test_every_event_loop_has_a_watcher_of_its_own_and_is_not_kept_alive(settings, submit):
    loops = []

    async def wait() -> JobWatcher:
        loops.append(weakref.ref(asyncio.get_running_loop()))
        await JobWatcher.of(settings).wait(waiting(submit()))
        return JobWatcher.of(settings)

    first, second = asyncio.run(wait()), asyncio.run(wait())
    assert first is not second
    gc.collect()
    assert [loop() for loop in loops] == [None, None]


def test_connections_with_the_same_key_share_a_watcher_and_other_keys_do_not(settings):
    async def watchers() -> list[JobWatcher]:
        same = ClientSettings(
            api_key=settings.api_key,
            base_url=settings.base_url,
            timeout=5,
            name="another connection",
        )
        other = ClientSettings(api_key="afk_other", base_url=settings.base_url)
        return [JobWatcher.of(each) for each in (settings, same, other)]

    one, same, other = asyncio.run(watchers())
    assert one is same
    assert one is not other


def test_a_job_of_another_user_ends_its_own_wait_and_no_other(settings, submit):
    theirs, ours = submit(key="afk_other"), [submit() for _ in range(3)]
    error, *jobs = watch(settings, waiting(theirs), *(waiting(job_id) for job_id in ours))
    assert isinstance(error, NotFoundError)
    assert f"ApiframeJobSensor(job_id={theirs!r})" in str(error)
    assert [job.id for job in jobs] == ours


def test_a_job_that_cannot_be_read_hides_no_other(sandbox, settings, submit):
    job_ids = [submit() for _ in range(3)]
    jobs = [{"id": job_id, "status": "COMPLETED"} for job_id in job_ids[1:]]
    sandbox.faults.next("job", body={"id": job_ids[0], "status": None}, times=9)
    sandbox.faults.next(
        "jobs", body={"jobs": [{"id": job_ids[0], "status": None}, *jobs], "nextCursor": None}
    )
    error, *found = watch(settings, *(waiting(job_id) for job_id in job_ids))
    assert isinstance(error, UnexpectedResponseError)
    assert [job.id for job in found] == job_ids[1:]


def test_an_id_that_cannot_even_be_sent_hurts_nobody_else(settings, submit):
    job_id = submit()
    error, job = watch(settings, waiting("\ud800"), waiting(job_id))
    assert isinstance(error, UnicodeEncodeError)
    assert job.id == job_id


def test_a_rejected_key_is_told_to_each(sandbox, submit):
    job_ids = [submit() for _ in range(3)]
    settings = ClientSettings(api_key="afk_wrong", base_url=sandbox.url, requests_per_minute=5000)
    assert {type(error) for error in watch(settings, *(waiting(job_id) for job_id in job_ids))} == {
        AuthenticationError
    }


def test_a_key_that_may_not_list_jobs_still_waits(sandbox, settings, submit):
    job_ids = [submit() for _ in range(5)]
    sandbox.faults.next("jobs", status=403, body={"error": "No"}, times=50)
    assert [job.id for job in watch(settings, *(waiting(job_id) for job_id in job_ids))] == job_ids


@pytest.mark.parametrize(
    "fault",
    [{"status": 503}, {"drop": True}, {"retry_after": "1"}, {"body": "<html>"}, {"cut_after": 9}],
)
def test_an_outage_is_ridden_out(sandbox, settings, submit, fault, monkeypatch):
    monkeypatch.setattr("airflow_provider_apiframe.polling.schedule.SHARED_PAUSE", 0.1)
    job_ids = [submit() for _ in range(4)]
    sandbox.faults.next("jobs", times=3, **fault)
    assert [job.id for job in watch(settings, *(waiting(job_id) for job_id in job_ids))] == job_ids


@pytest.mark.parametrize("fault", [{"delay": 15}, {"retry_after": "3600"}, {"status": 503}])
def test_deadlines_are_kept_whatever_the_api_does(sandbox, settings, submit, fault, monkeypatch):
    monkeypatch.setattr(watcher_module, "FIRST_ANSWER", 0.5)
    sandbox.configure(latency=3600)
    job_ids = [submit() for _ in range(3)]
    sandbox.faults.next("any", times=100, **fault)
    waits = [waiting(job_id, seconds=1 + number / 2) for number, job_id in enumerate(job_ids)]
    ended = {}

    async def all_of_them() -> None:
        async def one(wait: Wait) -> None:
            with pytest.raises(JobTimeoutError, match="was not finished at the deadline"):
                await JobWatcher.of(settings).wait(wait)
            ended[wait] = time.time()

        await asyncio.gather(*map(one, waits))

    asyncio.run(all_of_them())
    for wait in waits:
        assert (
            wait.deadline <= ended[wait] <= wait.deadline + 4
        )  # a second, and what a busy machine takes


def test_who_is_cancelled_leaves_the_others_waiting(settings, submit):
    job_ids = [submit() for _ in range(4)]

    async def cancel_two() -> list[Job | BaseException]:
        tasks = [
            asyncio.create_task(JobWatcher.of(settings).wait(waiting(job_id))) for job_id in job_ids
        ]
        await asyncio.sleep(0.2)
        tasks[0].cancel()
        tasks[3].cancel()
        return await asyncio.gather(*tasks, return_exceptions=True)

    first, *jobs, last = asyncio.run(cancel_two())
    assert [type(each) for each in (first, last)] == [asyncio.CancelledError] * 2
    assert [job.id for job in jobs] == job_ids[1:3]


def test_who_is_cancelled_no_longer_sets_the_pace(sandbox, settings, submit):
    sandbox.configure(latency=3600)
    job_ids = [submit() for _ in range(2)]

    async def looks_after_one_left() -> int:
        patient, impatient = (
            asyncio.create_task(JobWatcher.of(settings).wait(waiting(job_id, every=every)))
            for job_id, every in zip(job_ids, (60, 0.05), strict=True)
        )
        await until(lambda: sandbox.state.requests.get("jobs", 0) > 3)
        impatient.cancel()
        await asyncio.wait([impatient])
        before = sum(sandbox.state.requests.values())
        await asyncio.sleep(0.5)
        patient.cancel()
        return sum(sandbox.state.requests.values()) - before

    assert asyncio.run(looks_after_one_left()) <= 1


def test_who_comes_later_does_not_wait_for_the_next_look_of_the_patient(sandbox, settings, submit):
    patient, finished = submit("[stuck]"), submit("[takes: 0]")

    async def come_later() -> Job:
        task = asyncio.create_task(
            JobWatcher.of(settings).wait(waiting(patient, every=60, seconds=90))
        )
        await until(
            lambda: time.time() + 20 < JobWatcher.of(settings)._next_look < math.inf
        )  # it has looked, and rests
        async with asyncio.timeout(10):
            job = await JobWatcher.of(settings).wait(waiting(finished))
        task.cancel()
        return job

    assert asyncio.run(come_later()).id == finished


def test_when_the_last_is_cancelled_nothing_goes_on(sandbox, settings, submit):
    sandbox.configure(latency=3600)
    job_id = submit()

    async def cancel() -> int:
        task = asyncio.create_task(JobWatcher.of(settings).wait(waiting(job_id, every=0.05)))
        await until(lambda: sandbox.state.requests.get("job", 0) > 2)
        task.cancel()
        await asyncio.wait([task])
        assert asyncio.all_tasks() == {asyncio.current_task()}
        return sandbox.state.requests["job"]

    asked = asyncio.run(cancel())
    time.sleep(0.3)
    assert sandbox.state.requests["job"] == asked


def test_the_budget_of_the_connection_is_kept(sandbox, submit):
    sandbox.configure(latency=3600)
    settings = ClientSettings(api_key=sandbox.api_key, base_url=sandbox.url, requests_per_minute=4)
    waits = [waiting(submit(), seconds=3, every=0.05) for _ in range(3)]
    assert {type(error) for error in watch(settings, *waits)} == {JobTimeoutError}
    assert 1 <= sandbox.state.requests.get("jobs", 0) + sandbox.state.requests.get("job", 0) <= 4


def test_the_budget_holds_within_one_look_at_many_pages(sandbox, submit, monkeypatch):
    monkeypatch.setattr(watcher_module, "FIRST_ANSWER", 2.0)
    sandbox.configure(latency=3600, credits=100_000)
    settings = ClientSettings(api_key=sandbox.api_key, base_url=sandbox.url, requests_per_minute=3)
    job_ids = [submit() for _ in range(450)]
    waits = [waiting(job_id, seconds=2) for job_id in job_ids]
    assert {type(error) for error in watch(settings, *waits)} == {JobTimeoutError}
    assert sandbox.state.requests["jobs"] + sandbox.state.requests.get("job", 0) == 3


def test_only_a_few_jobs_are_asked_for_at_once(sandbox, settings, submit, monkeypatch):
    """However many the list does not show, the loop is not busy with them alone."""
    job_ids = [submit() for _ in range(60)]
    sandbox.faults.next("jobs", body={"jobs": []}, times=999)
    most, real = [0], JobWatcher._turn

    async def turn(self):
        most[0] = max(most[0], len(self._asking))
        await real(self)

    monkeypatch.setattr(JobWatcher, "_turn", turn)
    assert [job.id for job in watch(settings, *(waiting(job_id) for job_id in job_ids))] == job_ids
    assert most[0] == watcher_module.AT_ONCE


def test_the_budget_holds_for_jobs_that_the_list_does_not_show(sandbox, submit):
    sandbox.configure(latency=3600)
    sandbox.faults.next("jobs", body={"jobs": []}, times=99)
    settings = ClientSettings(api_key=sandbox.api_key, base_url=sandbox.url, requests_per_minute=3)
    waits = [waiting(submit(), seconds=3) for _ in range(8)]
    assert {type(error) for error in watch(settings, *waits)} == {JobTimeoutError}
    assert sandbox.state.requests["jobs"] + sandbox.state.requests.get("job", 0) == 3


def test_a_bug_in_the_loop_is_told_to_all_and_those_after_them_are_served(
    settings, submit, monkeypatch
):
    job_ids = [submit() for _ in range(3)]

    def broken(self, look):
        monkeypatch.undo()
        raise RuntimeError("a bug")

    monkeypatch.setattr(watcher_module.Schedule, "walk", broken)
    monkeypatch.setattr(
        watcher_module.Schedule, "next_look", lambda self, now, **_: watcher_module.Look(now, now)
    )
    errors = watch(settings, *(waiting(job_id) for job_id in job_ids))
    assert {str(error) for error in errors} == {"a bug"}
    assert [job.id for job in watch(settings, *(waiting(job_id) for job_id in job_ids))] == job_ids


def test_an_answer_that_never_comes_whole_is_given_up(sandbox, settings, submit, monkeypatch):
    monkeypatch.setattr(watcher_module, "LONGEST_REQUEST", 0.5)
    job_ids = [submit() for _ in range(3)]
    sandbox.faults.next("jobs", delay=20)
    start = time.monotonic()
    assert [job.id for job in watch(settings, *(waiting(job_id) for job_id in job_ids))] == job_ids
    assert time.monotonic() - start < 15


def test_a_clock_that_was_set_back_between_two_watches_stops_nobody(settings, submit, monkeypatch):
    async def twice() -> list[Job]:
        first = await JobWatcher.of(settings).wait(waiting(submit()))
        real = time.time
        monkeypatch.setattr(time, "time", lambda: real() - 3600)
        second = await asyncio.gather(
            *(JobWatcher.of(settings).wait(waiting(submit())) for _ in range(3))
        )
        return [first, *second]

    assert {job.status for job in asyncio.run(twice())} == {"COMPLETED"}


def test_a_slot_of_the_budget_that_nobody_used_is_free(sandbox, submit):
    sandbox.configure(latency=3600)
    settings = ClientSettings(api_key=sandbox.api_key, base_url=sandbox.url, requests_per_minute=3)

    async def leave_and_look() -> float:
        tasks = [
            asyncio.create_task(JobWatcher.of(settings).wait(waiting(submit()))) for _ in range(9)
        ]
        await until(lambda: len(JobWatcher.of(settings)._budget._sent) == 3)
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
        now = JobWatcher.of(settings)._now()
        return JobWatcher.of(settings)._budget.free_at(now) - now

    assert asyncio.run(leave_and_look()) <= 60


def test_a_list_that_breaks_in_a_way_nobody_thought_of_leaves_the_jobs_to_be_asked_for(
    settings, submit, monkeypatch
):
    job_ids = [submit() for _ in range(3)]

    async def broken(self, **query):
        raise RecursionError("deep")

    monkeypatch.setattr(AsyncApiframeClient, "list_jobs", broken)
    assert [job.id for job in watch(settings, *(waiting(job_id) for job_id in job_ids))] == job_ids


def test_a_watch_that_is_cancelled_by_somebody_else_leaves_nobody_waiting(
    settings, submit, monkeypatch
):
    job_ids = [submit() for _ in range(3)]

    async def cancelled(self, **query):
        raise asyncio.CancelledError

    monkeypatch.setattr(AsyncApiframeClient, "list_jobs", cancelled)
    assert {type(error) for error in watch(settings, *(waiting(job_id) for job_id in job_ids))} == {
        RuntimeError
    }


def test_what_the_watcher_logs_is_not_put_down_to_the_task_that_came_first(
    sandbox, settings, submit
):
    """Airflow finds out by context variables whose log a line belongs to; this loop works for all."""
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
        asyncio.run(all_of_them())
    finally:
        logger.removeHandler(handler)
    assert seen == {("the triggerer", "schedule")}
