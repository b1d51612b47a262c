from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable
from configparser import InterpolationSyntaxError

import pytest
from airflow.triggers.base import TriggerEvent

from airflow_provider_apiframe.api.params.request import GenerateRequest
from airflow_provider_apiframe.api.settings import ClientSettings
from airflow_provider_apiframe.hooks.apiframe import ApiframeHook
from airflow_provider_apiframe.hooks.connection import ConnectionNotFoundError
from airflow_provider_apiframe.polling import report
from airflow_provider_apiframe.polling.wait import Wait
from airflow_provider_apiframe.polling.watcher import JobWatcher
from airflow_provider_apiframe.triggers import base, request_share
from airflow_provider_apiframe.triggers.job import (
    MIN_DEFERRAL_SECONDS,
    ApiframeJobTrigger,
    job_from_event,
    was_reused,
)


def events_of(trigger: ApiframeJobTrigger) -> list[TriggerEvent]:
    async def collect() -> list[TriggerEvent]:
        return [event async for event in trigger.run()]

    return asyncio.run(collect())


def trigger(job_id: str, seconds: float = 30, poll_interval: float = 0.05) -> ApiframeJobTrigger:
    return ApiframeJobTrigger(job_id, "apiframe_default", time.time() + seconds, poll_interval)


@pytest.fixture
def job_id(connected) -> str:
    return ApiframeHook().generate_image(GenerateRequest.parse(prompt="a poster")).job_id


def airflow_round_trip(value):
    """Through the serializer that this Airflow uses for a trigger's arguments."""
    try:
        from airflow.sdk.serde import deserialize, serialize
    except ImportError:
        from airflow.serialization.serialized_objects import BaseSerialization

        return BaseSerialization.deserialize(BaseSerialization.serialize(value))
    return deserialize(serialize(value))


def test_its_row_survives_airflows_serializer_and_json():
    path, arguments = trigger("j").serialize()
    assert path == "airflow_provider_apiframe.triggers.job.ApiframeJobTrigger"
    assert json.loads(json.dumps(arguments)) == airflow_round_trip(arguments) == arguments
    assert ApiframeJobTrigger(**arguments).serialize() == (path, arguments)


def test_its_row_holds_scalars_only():
    _, arguments = trigger("j").serialize()
    assert {name: type(value) for name, value in arguments.items()} == {
        "job_id": str,
        "apiframe_conn_id": str,
        "deadline": float,
        "poll_interval": float,
    }


def test_it_fires_once_with_the_finished_job(connected, job_id):
    (event,) = events_of(trigger(job_id))
    assert json.loads(json.dumps(event.payload)) == event.payload
    job = job_from_event(event.payload)
    assert (job.id, job.status, job.image_urls) == (
        job_id,
        "COMPLETED",
        [f"{connected.cdn_url}/images/{job_id}-1.png"],
    )


def test_a_passed_deadline_still_delivers_a_job_that_is_finished(connected, job_id):
    events_of(trigger(job_id))
    (event,) = events_of(trigger(job_id, seconds=-5))
    assert event.payload["status"] == "finished"


def test_a_passed_deadline_of_an_unfinished_job_says_how_to_collect_it(connected, job_id):
    connected.faults.next("job", body={"id": job_id, "status": "PROCESSING"})
    (event,) = events_of(trigger(job_id, seconds=-5))
    assert (event.payload["status"], event.payload["job_id"]) == ("timeout", job_id)
    assert f"ApiframeJobSensor(job_id={job_id!r})" in event.payload["message"]


def test_an_outage_is_ridden_out(connected, job_id):
    connected.faults.next("job", status=503, times=2)
    connected.faults.next("job", drop=True)
    (event,) = events_of(trigger(job_id))
    assert event.payload["status"] == "finished"


def test_a_key_that_is_really_revoked_ends_in_a_timeout_that_says_so(connected, job_id):
    connected.faults.next("any", status=401, body={"error": "Invalid API key"}, times=99)
    (event,) = events_of(trigger(job_id, seconds=0.2))
    assert event.payload["status"] == "timeout"
    assert "rejected the API key" in event.payload["message"]


def test_whatever_breaks_the_wait_the_task_learns_the_job_id(connected, job_id, monkeypatch):
    async def broken(self, wait):
        raise RuntimeError("a bug, met with afk_0123")

    monkeypatch.setattr(JobWatcher, "wait", broken)
    (event,) = events_of(trigger(job_id))
    assert event.payload["status"] == "error"
    assert "a bug, met with afk_***. It was accepted" in event.payload["message"]
    assert f"ApiframeJobSensor(job_id={job_id!r})" in event.payload["message"]


@pytest.fixture
def no_pause(monkeypatch):
    """What the trigger sleeps away takes no time."""
    real = asyncio.sleep
    monkeypatch.setattr(base, "sleep", lambda _: real(0))


def test_a_connection_that_cannot_be_read_for_a_while_is_ridden_out(
    connected, job_id, no_pause, monkeypatch
):
    real, errors = ApiframeHook.async_settings, [ConnectionNotFoundError("x"), OSError("down")]

    async def settings(self):
        if errors:
            raise errors.pop()
        return await real(self)

    monkeypatch.setattr(ApiframeHook, "async_settings", settings)
    (event,) = events_of(trigger(job_id))
    assert event.payload["status"] == "finished"


def test_a_connection_that_stays_away_ends_in_a_timeout_that_names_it_without_secrets(
    connected, job_id, no_pause, monkeypatch
):
    async def broken(self):
        raise RuntimeError("the secrets backend is down, asked with afk_0123")

    monkeypatch.setattr(ApiframeHook, "async_settings", broken)
    (event,) = events_of(trigger(job_id, seconds=0.05))
    assert event.payload["status"] == "timeout"
    assert "the secrets backend is down, asked with afk_***" in event.payload["message"]


def test_a_wait_says_how_the_job_is(connected, job_id, monkeypatch, caplog, capfd):
    monkeypatch.setattr(base, "LOOK_SECONDS", 0.02)
    monkeypatch.setattr(report, "REPORT_SECONDS", 0.02)
    body = {"id": job_id, "status": "PROCESSING", "progress": 10}
    connected.faults.next("job", body=body, times=5)
    events_of(trigger(job_id))
    said = caplog.text + "".join(capfd.readouterr())
    assert said.count(f"Waiting for job {job_id}: PROCESSING, 10 %") > 1


def test_a_wait_says_soon_that_the_job_began(connected, job_id, monkeypatch, caplog, capfd):
    monkeypatch.setattr(base, "LOOK_SECONDS", 0.02)
    body = {"id": job_id, "status": "PROCESSING", "progress": 10}
    connected.faults.next("job", body=body, times=5)
    events_of(trigger(job_id))
    # Some versions write to the console, some tell pytest, some do both.
    places = (caplog.text, "".join(capfd.readouterr()))
    line = f"Waiting for job {job_id}: PROCESSING, 10 %"
    assert max(said.count(line) for said in places) == 1


def test_an_echo_of_the_key_does_not_reach_the_event(connected, job_id):
    connected.faults.next(
        "job", body={"id": job_id, "status": "FAILED", "error": f"refused for {connected.api_key}"}
    )
    (event,) = events_of(trigger(job_id))
    assert event.payload["job"]["error"] == "refused for ***"


def test_a_missing_connection_is_reported(connected, job_id, monkeypatch):
    monkeypatch.delenv("AIRFLOW_CONN_APIFRAME_DEFAULT")
    (event,) = events_of(ApiframeJobTrigger(job_id, "nowhere", time.time() + 0.05, 1))
    assert event.payload["status"] == "timeout"
    assert "no connection 'nowhere'" in event.payload["message"]


def test_the_row_that_airflow_stores_holds_the_arguments_and_no_key(connected):
    from airflow.models.trigger import Trigger

    waiting = trigger("j")
    row = Trigger.from_object(waiting)
    assert (row.classpath, dict(row.kwargs)) == waiting.serialize()
    assert connected.api_key not in str(row.kwargs)


def test_on_kill_says_which_job_goes_on_and_how_to_collect_it(caplog, capfd):
    asyncio.run(trigger("j-1").on_kill())
    said = caplog.text + "".join(capfd.readouterr())
    assert "it goes on, and is paid for" in said
    assert "ApiframeJobSensor(job_id='j-1') collects it" in said


def test_the_prompt_is_passed_on_where_the_list_of_jobs_leaves_it_out(connected):
    connected.configure(latency=0.5)
    hook = ApiframeHook()
    job_ids = [
        hook.generate_image(GenerateRequest.parse(prompt="a poster")).job_id for _ in range(4)
    ]
    triggers = [
        ApiframeJobTrigger(job_id, "apiframe_default", time.time() + 30, 0.1, prompt="a fox")
        for job_id in job_ids
    ]
    for each in triggers:
        _, arguments = each.serialize()
        assert json.loads(json.dumps(arguments)) == airflow_round_trip(arguments) == arguments
        assert ApiframeJobTrigger(**arguments).prompt == "a fox"

    async def all_events() -> list[list[TriggerEvent]]:
        async def of(each):
            return [event async for event in each.run()]

        return await asyncio.gather(*map(of, triggers))

    for (event,) in asyncio.run(all_events()):
        assert job_from_event(event.payload).prompt == "a fox"
    assert connected.state.requests["jobs"] > 0
    (event,) = events_of(triggers[0])
    assert (
        job_from_event(event.payload).prompt == "a poster"
    )  # asked for by its id the API says it itself


def test_a_key_that_was_replaced_while_the_job_ran_is_taken_from_the_connection(
    connected, connect, job_id, monkeypatch
):
    real, read = ApiframeHook.async_settings, []
    connect(password="afk_revoked", host=connected.url)

    async def settings(self):
        read.append(await real(self))
        connect(
            password=connected.api_key, host=connected.url
        )  # somebody does, after the first look at the connection
        return read[-1]

    monkeypatch.setattr(ApiframeHook, "async_settings", settings)
    monkeypatch.setattr(base, "LOOK_SECONDS", 0.02)
    monkeypatch.setattr(report, "REPORT_SECONDS", 0.02)
    (event,) = events_of(trigger(job_id))
    assert event.payload["status"] == "finished"
    assert read[0].api_key == "afk_revoked"
    assert {each.api_key for each in read[1:]} == {connected.api_key}


def test_that_an_earlier_try_submitted_the_job_is_passed_on(connected, job_id):
    reused = ApiframeJobTrigger(job_id, "apiframe_default", time.time() + 30, 0.05, reused=True)
    _, arguments = reused.serialize()
    assert arguments["reused"] is True
    assert json.loads(json.dumps(arguments)) == airflow_round_trip(arguments) == arguments
    (event,) = events_of(ApiframeJobTrigger(**arguments))
    assert was_reused(event.payload)
    (event,) = events_of(trigger(job_id))
    assert not was_reused(event.payload)
    assert not was_reused(None)


# The event is held back until the scheduler has heard that the process which deferred is gone


@pytest.fixture
def pauses(monkeypatch) -> list[float]:
    """What the trigger slept away, which takes no time."""
    real, slept = asyncio.sleep, []

    def sleep(seconds: float):
        slept.append(seconds)
        return real(0)

    monkeypatch.setattr(base, "sleep", sleep)
    return slept


def deferred(job_id: str, seconds: float = 30) -> ApiframeJobTrigger:
    """The trigger of a task that defers now, as a triggerer has it."""
    wait = Wait.starting_now(job_id, timeout=seconds, poll_interval=0.05)
    _, arguments = ApiframeJobTrigger.of(wait, "apiframe_default").serialize()
    assert json.loads(json.dumps(arguments)) == airflow_round_trip(arguments) == arguments
    created = ApiframeJobTrigger(**arguments)
    created.trigger_id = 1
    return created


@pytest.mark.parametrize(
    ("seconds", "status"), [(30, "finished"), (0.05, "timeout")], ids=["finished", "timed out"]
)
def test_a_wait_that_ends_soon_fires_once_the_scheduler_knows_of_the_deferral(
    connected, pauses, seconds, status
):
    connected.configure(latency=0 if status == "finished" else 60)
    since = time.time()
    waiting = deferred(ApiframeHook().generate_image(prompt="a poster").job_id, seconds)
    (event,) = events_of(waiting)
    assert event.payload["status"] == status
    assert since + MIN_DEFERRAL_SECONDS <= waiting.not_before <= time.time() + MIN_DEFERRAL_SECONDS
    assert pauses == [pytest.approx(waiting.not_before - time.time(), abs=1)]


def test_a_worker_whose_clock_goes_ahead_holds_nothing_back_for_longer(connected, job_id, pauses):
    waiting = deferred(job_id)
    waiting.not_before += 3600
    events_of(waiting)
    assert pauses == [MIN_DEFERRAL_SECONDS]


def test_a_job_that_takes_longer_is_not_held_back(connected, job_id, pauses):
    waiting = deferred(job_id)
    waiting.not_before = time.time() - 1
    (event,) = events_of(waiting)
    assert event.payload["status"] == "finished"
    assert pauses == [0]


def test_a_restarted_triggerer_does_not_hold_the_event_back_anew(job_id):
    first = deferred(job_id)
    _, arguments = first.serialize()
    assert ApiframeJobTrigger(**arguments).not_before == first.not_before


def test_outside_of_a_triggerer_nothing_is_held_back(connected, job_id, pauses):
    waiting = deferred(job_id)
    waiting.trigger_id = None  # as in `dag.test()`, which has no scheduler
    (event,) = events_of(waiting)
    assert event.payload["status"] == "finished"
    assert pauses == []


# What one triggerer takes of the requests that all may make


@pytest.fixture
def requests_per_minute(connected, connect, job_id, monkeypatch) -> Callable[[int], list[float]]:
    """Call it to wait with a connection that allows so many; returns the limits of the watchers."""
    events_of(trigger(job_id))  # it is finished from here on: one request shows it
    limits = []
    real = JobWatcher.of

    def of(settings: ClientSettings) -> JobWatcher:
        limits.append(settings.requests_per_minute)
        return real(settings)

    monkeypatch.setattr(JobWatcher, "of", of)

    def wait(allowed: int) -> list[float]:
        connect(
            password=connected.api_key,
            host=connected.url,
            extra={"requests_per_minute": allowed},
        )
        (event,) = events_of(trigger(job_id))
        assert event.payload["status"] == "finished"
        return limits

    return wait


@pytest.mark.parametrize(
    ("triggerers", "limit"), [(None, 30), ("1", 30), ("2", 15), ("4", 7), (" 3 ", 10), ("500", 1)]
)
def test_a_triggerer_takes_its_part_of_the_connections_requests(
    triggerers, limit, requests_per_minute, monkeypatch, caplog
):
    if triggerers is not None:
        monkeypatch.setenv("AIRFLOW__APIFRAME__TRIGGERERS", triggerers)
    assert requests_per_minute(30) == [limit]
    assert "triggerers" not in caplog.text


@pytest.mark.parametrize("triggerers", ["0", "-2", "two", "1.5", "", "9" * 5000])
def test_a_number_of_triggerers_that_is_none_ends_no_wait_and_is_named(
    triggerers, requests_per_minute, monkeypatch, caplog, capfd
):
    monkeypatch.setenv("AIRFLOW__APIFRAME__TRIGGERERS", triggerers)
    assert requests_per_minute(30) == [30]
    said = caplog.text + "".join(capfd.readouterr())
    assert f"[apiframe] triggerers='{triggerers[:9]}" in said
    assert "must be a whole number, at least 1. Taken as 1: each triggerer" in said


def test_a_configuration_that_cannot_be_read_ends_no_wait(
    requests_per_minute, monkeypatch, caplog, capfd
):
    real = request_share.conf.get

    def get(section: str, *arguments: object, **keywords: object) -> object:
        if section == "apiframe":
            raise InterpolationSyntaxError("triggerers", section, "'%' must be followed by '%'")
        return real(section, *arguments, **keywords)

    monkeypatch.setattr(request_share.conf, "get", get)
    assert requests_per_minute(30) == [30]
    said = caplog.text + "".join(capfd.readouterr())
    assert "[apiframe] triggerers cannot be read ('%' must be followed by '%'): it must" in said
