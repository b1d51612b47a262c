from __future__ import annotations

import asyncio
import json
import time
from typing import Any

import pytest
from airflow.triggers.base import TriggerEvent
from cryptography.fernet import Fernet

from airflow_provider_apiframe.api.models import Job
from airflow_provider_apiframe.delivery.naming import MAX_PATH
from airflow_provider_apiframe.hooks.apiframe import ApiframeHook
from airflow_provider_apiframe.hooks.connection import ConnectionNotFoundError
from airflow_provider_apiframe.polling import report
from airflow_provider_apiframe.polling.watcher import JobWatcher
from airflow_provider_apiframe.submission.batch_run import MAX_ID_BYTES, MAX_WAVE
from airflow_provider_apiframe.triggers import base
from airflow_provider_apiframe.triggers.base import MIN_DEFERRAL_SECONDS
from airflow_provider_apiframe.triggers.batch import ApiframeBatchTrigger, BatchEvent, _small

MYSQL_TEXT = 65_535  # bytes


def events_of(trigger: ApiframeBatchTrigger) -> list[TriggerEvent]:
    async def collect() -> list[TriggerEvent]:
        return [event async for event in trigger.run()]

    return asyncio.run(collect())


def trigger(job_ids: list[str], seconds: float = 30, **options: Any) -> ApiframeBatchTrigger:
    return ApiframeBatchTrigger(job_ids, "apiframe_default", time.time() + seconds, 0.05, **options)


def event_of(waiting: ApiframeBatchTrigger) -> BatchEvent:
    (event,) = events_of(waiting)
    assert json.loads(json.dumps(event.payload)) == event.payload
    return BatchEvent.read(event.payload)


def submit(*prompts: str) -> list[str]:
    hook = ApiframeHook()
    return [hook.generate_image(prompt=prompt).job_id for prompt in prompts]


def airflow_round_trip(value):
    """Through the serializer that this Airflow uses for a trigger's arguments."""
    try:
        from airflow.sdk.serde import deserialize, serialize
    except ImportError:
        from airflow.serialization.serialized_objects import BaseSerialization

        return BaseSerialization.deserialize(BaseSerialization.serialize(value))
    return deserialize(serialize(value))


def test_its_row_survives_airflows_serializer_and_json():
    waiting = trigger(["j-1", "j-2"], carried={"reused": 3, "newest_before": None})
    path, arguments = waiting.serialize()
    assert path == "airflow_provider_apiframe.triggers.batch.ApiframeBatchTrigger"
    assert json.loads(json.dumps(arguments)) == airflow_round_trip(arguments) == arguments
    assert ApiframeBatchTrigger(**arguments).serialize() == (path, arguments)


@pytest.mark.parametrize("length", [36, MAX_ID_BYTES // MAX_WAVE - 4])
def test_the_row_of_the_largest_wave_fits_the_smallest_column(length, monkeypatch):
    from airflow.models import crypto
    from airflow.models.trigger import Trigger

    fernet = Fernet(Fernet.generate_key())
    for module in (crypto, __import__("airflow.models.trigger", fromlist=["_"])):
        if hasattr(module, "get_fernet"):
            monkeypatch.setattr(module, "get_fernet", lambda: fernet)
    ids = [f"{number:0{length}}" for number in range(MAX_WAVE)]
    carried = {
        "reused": 9999,
        "newest_before": "2026-11-26T15:00:00.000+00:00",
        "unheard": True,
        "unsure": True,
        # The longest path that a storage takes, in letters that JSON escapes.
        "manifest": f"s3://{'c' * 50}@{'b' * 63}/{'Ж' * (MAX_PATH // 2)}",
        "requests": "0" * 64,
    }
    waiting = trigger(ids, not_before=time.time(), keeps_progress=True, carried=carried)
    row = Trigger.from_object(waiting)
    assert dict(row.kwargs)["job_ids"] == ids
    assert len(row.encrypted_kwargs) < MYSQL_TEXT


def test_its_row_holds_no_key(connected):
    assert connected.api_key not in str(trigger(["j-1"]).serialize())


def test_it_fires_once_with_all_jobs_in_their_order(connected):
    job_ids = submit("a mug", "[fail: No capacity]", "[cancel]", "a cap")
    (event,) = events_of(trigger(job_ids, carried={"reused": 1}))
    told = BatchEvent.read(event.payload)
    assert [job.id for job in told.jobs] == job_ids
    assert [job.status for job in told.jobs] == ["COMPLETED", "FAILED", "CANCELLED", "COMPLETED"]
    assert [len(job.image_urls) for job in told.jobs] == [1, 0, 0, 1]
    assert told.jobs[1].error == "No capacity"
    assert (told.carried, told.broken) == ({"reused": 1}, None)
    assert set(event.payload["jobs"][0]) == {
        "id",
        "status",
        "model",
        "result",
        "error",
        "credit_cost",
        "created_at",
        "completed_at",
    }


def test_at_the_deadline_the_others_are_told_with_what_was_seen_last(connected, monkeypatch):
    monkeypatch.setattr(base, "LOOK_SECONDS", 0.02)
    done, stuck = submit("a mug", "[stuck]")
    told = event_of(trigger([stuck, done], seconds=0.5))
    assert [job.is_terminal for job in told.jobs] == [False, True]
    assert "not finished at the deadline (last seen: " in told.jobs[0].error
    assert told.broken is None


def test_an_echo_of_the_key_does_not_reach_the_event(connected):
    (job_id,) = submit(f"[fail: refused for {connected.api_key}]")
    told = event_of(trigger([job_id]))
    assert told.jobs[0].error == "refused for ***"


def test_a_job_without_a_link_keeps_its_raw_result(connected):
    connected.configure(result_form="none")
    (job_id,) = submit("a mug")
    told = event_of(trigger([job_id], seconds=2))
    assert told.jobs[0].status == "COMPLETED"
    assert "holds no link to an image" in told.jobs[0].error


def test_what_the_api_makes_endless_does_not_make_the_event_endless():
    links = [f"https://cdn.example/{number}/{'x' * 9_000}" for number in range(1_000)]
    names = ("id", "status", "model", "error", "created_at", "completed_at")
    small = _small("j-1", Job(result=links, **dict.fromkeys(names, "x" * 10**6)))
    assert small["id"] == "j-1"
    assert small["result"] == links[:3]
    assert len(json.dumps(small)) < 40_000
    assert Job.model_validate(small).image_urls == links[:3]


def test_whatever_breaks_the_wait_the_task_learns_what_has_ended(connected, monkeypatch):
    job_ids = submit("a mug", "a cap")
    real = JobWatcher.wait

    async def wait(self, wait):
        if wait.job_id == job_ids[1]:
            raise RuntimeError("a bug, met with afk_0123")
        return await real(self, wait)

    monkeypatch.setattr(JobWatcher, "wait", wait)
    told = event_of(trigger(job_ids))
    assert "a bug, met with afk_***" in str(told.broken)
    assert told.broken.transient
    assert told.jobs[0].status == "COMPLETED"
    assert told.jobs[1].status == "UNKNOWN"


@pytest.mark.parametrize("event", [None, {}, {"jobs": 7}, {"jobs": [{"id": ""}]}, {"jobs": [None]}])
def test_an_event_that_cannot_be_read_is_a_wait_that_broke(event):
    told = BatchEvent.read(event)
    assert "cannot be read" in str(told.broken)
    assert told.jobs == ()


def test_a_connection_that_stays_away_ends_at_the_deadline(connected, monkeypatch):
    async def away(self):
        raise ConnectionNotFoundError("apiframe_default")

    monkeypatch.setattr(ApiframeHook, "async_settings", away)
    told = event_of(trigger(["j-1", "j-2"], seconds=0.05))
    assert [job.status for job in told.jobs] == ["UNKNOWN"] * 2
    assert "no connection 'apiframe_default'" in told.jobs[0].error


def test_a_key_that_was_replaced_is_taken_from_the_connection(connected, connect, monkeypatch):
    job_ids = submit("a mug", "a cap")
    real, read = ApiframeHook.async_settings, []
    connect(password="afk_revoked", host=connected.url)

    async def settings(self):
        read.append(await real(self))
        connect(password=connected.api_key, host=connected.url)
        return read[-1]

    monkeypatch.setattr(ApiframeHook, "async_settings", settings)
    monkeypatch.setattr(base, "LOOK_SECONDS", 0.02)
    monkeypatch.setattr(report, "REPORT_SECONDS", 0.02)
    told = event_of(trigger(job_ids))
    assert [job.status for job in told.jobs] == ["COMPLETED"] * 2
    assert read[0].api_key == "afk_revoked"


def test_the_log_says_how_many_images_are_done(connected, monkeypatch, caplog, capfd):
    monkeypatch.setattr(base, "LOOK_SECONDS", 0.02)
    monkeypatch.setattr(report, "REPORT_SECONDS", 0.02)
    job_ids = submit("a mug", "[stuck]")
    event_of(trigger(job_ids, seconds=1, done_before=640, total=1000))
    assert "641 of 1000 images are done" in caplog.text + "".join(capfd.readouterr())


def test_the_progress_of_the_whole_batch_is_shown_while_it_is_deferred(connected, monkeypatch):
    monkeypatch.setattr(base, "LOOK_SECONDS", 0.02)
    shown = []

    class Progress:
        async def write(self, job):
            shown.append((job.status, job.progress))

    monkeypatch.setattr(ApiframeBatchTrigger, "_progress", lambda self: Progress())
    event_of(trigger(submit("a mug", "[stuck]"), seconds=0.5, done_before=50, total=100))
    assert ("PROCESSING", 51) in shown


def test_it_is_held_back_as_any_deferral_is(connected, monkeypatch):
    slept, real = [], asyncio.sleep

    def sleep(seconds: float):
        slept.append(seconds)
        return real(0)

    monkeypatch.setattr(base, "sleep", sleep)
    waiting = ApiframeBatchTrigger.starting_now(
        submit("a mug"), "apiframe_default", timeout=30, poll_interval=0.05
    )
    waiting.trigger_id = 1
    events_of(waiting)
    (pause,) = slept
    assert 0 < pause <= MIN_DEFERRAL_SECONDS


def test_on_kill_says_how_many_jobs_go_on(caplog, capfd):
    asyncio.run(trigger(["j-1", "j-2"]).on_kill())
    said = caplog.text + "".join(capfd.readouterr())
    assert "while 2 jobs run" in said
    assert "an automatic retry collects them" in said
