from __future__ import annotations

import asyncio
import json
import logging
import time
from types import SimpleNamespace

import pytest

from airflow_provider_apiframe.api.models import Job
from airflow_provider_apiframe.hooks.apiframe import ApiframeHook
from airflow_provider_apiframe.triggers import base
from airflow_provider_apiframe.triggers import progress as progress_module
from airflow_provider_apiframe.triggers.job import ApiframeJobTrigger, job_from_event
from airflow_provider_apiframe.triggers.progress import DeferredProgress

TI = SimpleNamespace(dag_id="a_dag", run_id="a_run", task_id="poster", map_index=-1)


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def pushed(monkeypatch):
    """What triggers pushed, on an Airflow that lets them."""
    pushed: list[tuple[str, str, object]] = []

    async def push(ti, key, value) -> None:
        pushed.append((ti.task_id, value["status"], value["progress"]))

    monkeypatch.setattr(progress_module, "can_push_from_triggers", lambda: True)
    monkeypatch.setattr(progress_module, "push_from_trigger", push)
    monkeypatch.setattr(progress_module, "_next_write_at", 0.0)
    return pushed


def job(status: str = "PROCESSING", progress: float | None = None) -> Job:
    return Job(id="6f2c", status=status, progress=progress)


def run(trigger: ApiframeJobTrigger) -> Job:
    async def payload() -> object:
        trigger.trigger_id = 7  # as on a triggerer, but without the pause at the end
        return await trigger._payload()

    return job_from_event(asyncio.run(payload()))


def trigger(job_id: str, **arguments) -> ApiframeJobTrigger:
    made = ApiframeJobTrigger(job_id, "apiframe_default", time.time() + 30, 0.05, **arguments)
    made.task_instance = TI
    return made


@pytest.mark.parametrize("keeps_progress", [True, False])
def test_a_trigger_shows_how_its_job_is_if_its_task_pushes_xcoms(
    connected, pushed, monkeypatch, keeps_progress
):
    monkeypatch.setattr(base, "LOOK_SECONDS", 0.02)
    job_id = ApiframeHook().generate_image(prompt="a poster").job_id
    body = {"id": job_id, "status": "PROCESSING", "progress": 10}
    connected.faults.next("job", body=body, times=5)
    assert run(trigger(job_id, keeps_progress=keeps_progress)).status == "COMPLETED"
    assert pushed == ([("poster", "PROCESSING", 10)] if keeps_progress else [])


def test_all_triggers_together_write_once_a_second_and_make_up_for_it(pushed):
    clock = Clock()
    triggers = [
        DeferredProgress(SimpleNamespace(task_id=name), clock=clock) for name in ("one", "two")
    ]

    async def look() -> None:
        for each in triggers:
            await each.write(job())

    for _ in range(3):
        asyncio.run(look())
        clock.now += 1
    assert pushed == [("one", "PROCESSING", None), ("two", "PROCESSING", None)]


@pytest.mark.parametrize("error", [RuntimeError("the API server is away"), TimeoutError()])
def test_an_airflow_that_does_not_take_it_is_told_of_once(pushed, monkeypatch, caplog, error):
    caplog.set_level(logging.WARNING)

    async def broken(*args: object) -> None:
        raise error

    monkeypatch.setattr(progress_module, "push_from_trigger", broken)
    clock = Clock()
    shown = DeferredProgress(TI, clock=clock)
    for status in ("QUEUED", "PROCESSING", "PAUSED"):
        asyncio.run(shown.write(job(status)))
        clock.now += 60
    assert caplog.text.count("The progress is no longer shown") == 1


def test_an_airflow_that_never_answers_holds_the_wait_up_only_so_long(
    connected, pushed, monkeypatch
):
    async def hanging(*args: object) -> None:
        await asyncio.sleep(3600)

    monkeypatch.setattr(progress_module, "push_from_trigger", hanging)
    monkeypatch.setattr(progress_module, "MAX_WRITE_SECONDS", 0.1)
    monkeypatch.setattr(base, "LOOK_SECONDS", 0.02)
    job_id = ApiframeHook().generate_image(prompt="a poster").job_id
    connected.faults.next("job", body={"id": job_id, "status": "PROCESSING"}, times=5)
    assert run(trigger(job_id, keeps_progress=True)).status == "COMPLETED"


def test_where_airflow_lets_no_trigger_push_nothing_is_tried(pushed, monkeypatch):
    monkeypatch.setattr(progress_module, "can_push_from_triggers", lambda: False)
    asyncio.run(DeferredProgress(TI).write(job()))
    assert pushed == []


def test_that_it_shows_progress_survives_a_restart_of_the_triggerer():
    _, arguments = trigger("6f2c", keeps_progress=True).serialize()
    assert json.loads(json.dumps(arguments))["keeps_progress"] is True
    assert ApiframeJobTrigger(**arguments).keeps_progress is True
    assert "keeps_progress" not in trigger("6f2c").serialize()[1]
