"""What is counted of an image's credits when processes die and tasks are cleared."""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import Stats
from task_lives import Killed, Store, Task, die

from airflow_provider_apiframe.api.errors import ApiframeError
from airflow_provider_apiframe.delivery import metrics
from airflow_provider_apiframe.operators import base
from airflow_provider_apiframe.sensors.job import ApiframeJobSensor

PRICE = 12  # of an image with flux-2-flex in the sandbox


@pytest.fixture
def counted(monkeypatch) -> list[int]:
    """The credits that went to Airflow's metrics."""
    seen: list[int] = []
    monkeypatch.setattr(Stats, "incr", lambda stat, count, **_: seen.append(count), raising=False)
    return seen


class LosingStore(Store):
    """A store that is away, or whose process is gone, when it is asked for what was counted."""

    def __init__(self, reading: type[BaseException] | None, writing: type[BaseException] | None):
        super().__init__()
        self.reading, self.writing = reading, writing

    def get(self, key: str, default: Any = None) -> Any:
        if self.reading and key == metrics.COUNTED_KEY:
            raise self.reading("the store is away")
        return super().get(key, default)

    def set(self, key: str, value: Any) -> None:
        if self.writing and key == metrics.COUNTED_KEY:
            raise self.writing("the store is away")
        super().set(key, value)


def said(caplog, capfd) -> str:
    return caplog.text + "".join(capfd.readouterr())


@pytest.mark.parametrize("deferrable", [False, True])
def test_a_try_that_airflow_never_heard_of_is_counted_once(connected, counted, deferrable):
    task = Task(Store(), deferrable=deferrable)
    first = task.run()  # delivers; then the process dies before Airflow hears of it
    again = task.run()
    assert (again["job_id"], again["reused"]) == (first["job_id"], True)
    assert counted == [PRICE]


def test_without_a_store_such_a_try_is_counted_twice(connected, counted):
    """As docs/what-costs.md says: nothing else outlives the process."""
    task = Task(None)
    task.run()
    task.run()
    assert counted == [PRICE, PRICE]


@pytest.mark.parametrize("step", ["report_saved_images", "push_multiple_outputs"])
def test_a_process_that_dies_before_everything_is_told_counts_nothing(
    connected, counted, monkeypatch, step
):
    task = Task(None)
    with monkeypatch.context() as dying:
        dying.setattr(base, step, die)
        with pytest.raises(Killed):
            task.run()
    task.run()
    assert counted == [PRICE]


def test_a_process_that_dies_between_counting_and_recording_counts_twice_and_never_nothing(
    connected, counted
):
    store = LosingStore(None, Killed)
    task = Task(store)
    with pytest.raises(Killed):
        task.run()
    store.writing = None
    task.run()
    task.run()
    assert counted == [PRICE, PRICE]


def test_a_store_that_cannot_be_asked_or_told_keeps_no_image_back(
    connected, counted, caplog, capfd
):
    assert Task(LosingStore(OSError, OSError)).run()["status"] == "COMPLETED"
    assert counted == [PRICE]
    text = said(caplog, capfd)
    assert "was counted before cannot be read" in text
    assert "could not be recorded" in text


def test_a_cleared_task_that_makes_a_new_image_counts_both(connected, counted):
    task = Task(Store())
    task.run()
    task.clear()
    task.run()
    assert counted == [PRICE, PRICE]


def keeping(store: Store | None) -> Task:
    return Task(store, regenerate_on_clear=False)


with_and_without_store = pytest.mark.parametrize(
    "store", [Store, lambda: None], ids=["store", "no store"]
)


def test_a_cleared_task_that_keeps_its_image_counts_it_once(connected, counted):
    task = keeping(Store())
    task.run()
    task.clear()
    task.run()
    assert counted == [PRICE]


def test_without_its_store_such_a_task_counts_it_once_more(connected, counted):
    """As docs/what-costs.md says: nothing tells whether it was delivered before the clear."""
    task = keeping(None)
    task.run()
    task.clear()
    task.run()
    assert counted == [PRICE, PRICE]


def test_a_clear_that_forgets_what_was_recorded_counts_once_more(connected, counted):
    """Airflow 3.4 discards a task's state when it is cleared."""
    store = Store()
    task = keeping(store)
    task.run()
    task.clear()
    store.values.clear()
    task.run()
    assert counted == [PRICE, PRICE]


@with_and_without_store
def test_an_image_that_was_not_delivered_before_the_clear_is_counted_after_it(
    connected, counted, store
):
    task = keeping(store())
    with pytest.raises(Killed):
        task.run(kill="at the end")
    task.clear()
    assert task.run()["reused"] is True
    assert counted == [PRICE]


@with_and_without_store
@pytest.mark.parametrize("kill", ["after the POST", "at the end"])
def test_an_image_that_is_made_after_the_clear_and_found_by_a_retry_is_counted(
    connected, counted, store, kill
):
    task = keeping(store())
    with pytest.raises(Killed):
        task.run(kill="before the POST")
    task.clear()
    with pytest.raises(Killed):
        task.run(kill=kill)
    assert task.run()["reused"] is True
    assert counted == [PRICE]


@with_and_without_store
def test_an_image_that_takes_the_place_of_a_failed_one_after_the_clear_is_counted(
    connected, counted, store
):
    task = keeping(store())
    connected.configure(fail_rate=1)
    with pytest.raises(ApiframeError):
        task.run()
    connected.configure(fail_rate=0)
    task.clear()
    with pytest.raises(Killed):
        task.run(kill="at the end")
    task.run()
    assert counted == [PRICE]


def test_a_sensor_that_delivers_again_counts_once(connected, counted, ti):
    job_id = Task(None, wait_for_completion=False).run()["job_id"]
    context = {"ti": ti, "task_state_store": Store()}
    for _ in range(2):
        ApiframeJobSensor(task_id="collect", job_id=job_id, poke_interval=0.05).execute(context)
    assert counted == [PRICE]


def test_a_job_is_not_taken_for_another_one_that_was_counted(counted):
    store = Store()
    for job_id in ("one", "other"):
        job = SimpleNamespace(id=job_id, credit_cost=3, model="flux-2-flex")
        metrics.report_credits(job, dag_id="d", task_id="poster", store=store)
    assert counted == [3, 3]


@pytest.mark.parametrize("cost", [-1, -0.4, math.nan, math.inf, -math.inf])
def test_a_cost_that_no_image_has_is_not_counted(counted, cost):
    job = SimpleNamespace(id="one", credit_cost=cost, model="flux-2-flex")
    metrics.report_credits(job, dag_id="d", task_id="poster", store=Store())
    assert counted == []


def test_metrics_that_cannot_be_told_keep_no_image_back_and_are_told_by_the_next_try(
    connected, counted, monkeypatch, caplog, capfd
):
    def refuse(*args: Any, **kwargs: Any) -> None:
        raise ValueError("the collector is away")

    task = Task(Store())
    with monkeypatch.context() as broken:
        broken.setattr(Stats, "incr", refuse, raising=False)
        assert task.run()["status"] == "COMPLETED"
    assert "the collector is away" in said(caplog, capfd)
    task.run()
    assert counted == [PRICE]
