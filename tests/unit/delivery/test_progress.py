from __future__ import annotations

import logging
from datetime import datetime

import pytest
from airflow.providers.common.compat.sdk import TaskDeferred
from task_lives import Store

from airflow_provider_apiframe.api.models import Job
from airflow_provider_apiframe.delivery.progress import MIN_SECONDS, ProgressRecord
from airflow_provider_apiframe.hooks.apiframe import ApiframeHook
from airflow_provider_apiframe.operators.flux import FluxGenerateOperator
from airflow_provider_apiframe.sensors.job import ApiframeJobSensor


class Notes(Store):
    """A store that remembers all the progress that was written to it."""

    def __init__(self) -> None:
        super().__init__()
        self.written: list[tuple[str, object]] = []

    def set(self, key: str, value: object) -> None:
        super().set(key, value)
        if key == "apiframe_progress":
            self.written.append((value["status"], value["progress"]))


class Broken(Store):
    def __init__(self) -> None:
        super().__init__()
        self.calls = 0

    def set(self, key: str, value: object) -> None:
        if key == "apiframe_progress":
            self.calls += 1
            raise RuntimeError("the API server is away")
        super().set(key, value)


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def job(status: str, progress: object = None) -> Job:
    return Job(id="6f2c", status=status, progress=progress)


def test_a_new_status_is_written_at_once_and_a_percentage_now_and_then():
    store, clock = Notes(), Clock()
    record = ProgressRecord(store, clock=clock)
    for seconds, seen in [
        (0, job("QUEUED")),
        (0.1, job("PROCESSING", 0)),
        (2, job("PROCESSING", 10)),
        (4, job("PROCESSING", 20)),
        (0.1 + MIN_SECONDS, job("PROCESSING", 30)),
        (7, job("PROCESSING", 40)),
        (60, job("PROCESSING", 30)),
        (120, job("PROCESSING", 30)),
        (120.1, job("COMPLETED", 100)),
    ]:
        clock.now = seconds
        record.write(seen)
    assert store.written == [
        ("QUEUED", None),
        ("PROCESSING", 0),
        ("PROCESSING", 30),
        ("COMPLETED", 100),
    ]
    at = datetime.fromisoformat(store.get("apiframe_progress")["at"])
    assert at.tzinfo is not None


@pytest.mark.parametrize("progress", [-1, 101, float("nan"), float("inf")])
def test_a_percentage_that_is_none_is_left_out(progress):
    store = Notes()
    ProgressRecord(store).write(job("PROCESSING", progress))
    assert store.written == [("PROCESSING", None)]


def test_a_status_without_end_is_cut():
    store = Notes()
    ProgressRecord(store).write(job("X" * 100_000))
    assert store.written == [("X" * 40, None)]


def test_a_task_that_polls_writes_how_its_job_is(connected, ti):
    store = Notes()
    # A poll shows what is said here, however fast the machine is; the next one, the job's end.
    connected.faults.next("job", body={"id": "6f2c", "status": "PROCESSING"})
    task = FluxGenerateOperator(task_id="poster", prompt="a poster", poll_interval=0.05)
    task.execute({"ti": ti, "task_state_store": store})
    assert statuses(store) == ["QUEUED", "PROCESSING", "COMPLETED"]


def test_a_task_that_defers_writes_before_and_after(connected, ti):
    connected.configure(latency=3600)
    store = Notes()
    task = FluxGenerateOperator(task_id="poster", prompt="a poster", deferrable=True)
    with pytest.raises(TaskDeferred):
        task.execute({"ti": ti, "task_state_store": store})
    assert store.written == [("QUEUED", None)]
    finished = {"id": "6f2c", "status": "COMPLETED", "result": "https://example.com/1.png"}
    event = {"status": "finished", "job": finished}
    task.execute_complete({"ti": ti, "task_state_store": store}, event)
    assert store.written[1:] == [("COMPLETED", None)]


@pytest.mark.parametrize("deferrable", [False, True])
def test_the_sensor_writes_what_its_pokes_show(connected, ti, deferrable):
    job_id = ApiframeHook().generate_image(prompt="a poster").job_id
    for status in ("QUEUED", "PROCESSING"):
        connected.faults.next("job", body={"id": job_id, "status": status})
    store = Notes()
    sensor = ApiframeJobSensor(
        task_id="collect", job_id=job_id, poke_interval=0.05, deferrable=deferrable
    )
    if deferrable:
        with pytest.raises(TaskDeferred):
            sensor.execute({"ti": ti, "task_state_store": store})
        assert statuses(store) == ["QUEUED"]
    else:
        sensor.execute({"ti": ti, "task_state_store": store})
        assert statuses(store) == ["QUEUED", "PROCESSING", "COMPLETED"]


def statuses(store):
    return [status for status, _ in store.written]


def test_a_store_that_is_away_is_told_of_once_and_asked_once(connected, ti, caplog):
    caplog.set_level(logging.WARNING)
    connected.configure(latency=0.5)
    store = Broken()
    task = FluxGenerateOperator(task_id="poster", prompt="a poster", poll_interval=0.05)
    result = task.execute({"ti": ti, "task_state_store": store})
    assert result["status"] == "COMPLETED"
    assert store.calls == caplog.text.count("The progress is no longer kept") == 2
