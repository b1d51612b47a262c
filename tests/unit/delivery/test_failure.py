from __future__ import annotations

import json
import logging

import pytest
from airflow.providers.common.compat.sdk import (
    AirflowFailException,
    AirflowSensorTimeout,
    AirflowSkipException,
    TaskDeferred,
)

from airflow_provider_apiframe.api.errors import ApiframeError, JobTimeoutError
from airflow_provider_apiframe.delivery.failure import MAX_REASON_CHARACTERS
from airflow_provider_apiframe.exceptions import InvalidParameterError
from airflow_provider_apiframe.hooks.apiframe import ApiframeHook
from airflow_provider_apiframe.operators.flux import FluxGenerateOperator
from airflow_provider_apiframe.sensors.job import ApiframeJobSensor
from airflow_provider_apiframe.triggers.job import JobWaitError
from airflow_provider_apiframe.version_compat import mask_secret


def operator(**arguments) -> FluxGenerateOperator:
    return FluxGenerateOperator(
        **{"task_id": "poster", "prompt": "a poster", "poll_interval": 0.05, **arguments}
    )


def sensor(**arguments) -> ApiframeJobSensor:
    return ApiframeJobSensor(**{"task_id": "collect", "poke_interval": 0.05, **arguments})


@pytest.mark.parametrize(
    ("arguments", "raised", "said"),
    [
        ({"prompt": "[fail: NSFW content detected]"}, AirflowFailException, "NSFW content"),
        ({"prompt": "[fail: no luck]"}, ApiframeError, "no luck"),
        ({"timeout": 0.01}, JobTimeoutError, "not finished at the deadline"),
        ({"save_to": "/dev/null/images/"}, ApiframeError, "not saved"),
    ],
)
def test_a_try_without_its_image_says_why_and_which_job(connected, ti, arguments, raised, said):
    if "timeout" in arguments:
        connected.configure(latency=3600)
    with pytest.raises(raised):
        operator(**arguments).execute({"ti": ti})
    assert ti.xcoms["failure"]["job_id"] == connected.state.jobs[0].id
    assert said in ti.xcoms["failure"]["reason"]
    assert json.loads(json.dumps(ti.xcoms["failure"])) == ti.xcoms["failure"]


def test_before_a_job_is_accepted_there_is_none_to_name(connected, ti):
    connected.configure(credits=0)
    with pytest.raises(AirflowFailException) as caught:
        operator().execute({"ti": ti})
    assert ti.xcoms == {"failure": {"job_id": None, "reason": str(caught.value)}}


def test_a_parameter_that_rendered_to_nonsense_is_the_reason(connected, ti):
    task = operator()
    task.flux_params = {"steps": "80"}  # as rendering does
    with pytest.raises(InvalidParameterError):
        task.execute({"ti": ti})
    assert "steps='80'" in ti.xcoms["failure"]["reason"]


def test_success_and_deferral_are_no_failures(connected, ti):
    operator().execute({"ti": ti})
    connected.configure(latency=3600)
    with pytest.raises(TaskDeferred):
        operator(deferrable=True, prompt="another").execute({"ti": ti})
    assert "failure" not in ti.xcoms


@pytest.mark.parametrize("make", [operator, lambda: sensor(job_id="6f2c", deferrable=True)])
def test_a_wait_on_the_triggerer_that_broke_names_its_job(make, ti):
    event = {"status": "error", "job_id": "6f2c", "message": "Waiting broke: no key"}
    with pytest.raises(JobWaitError):
        make().execute_complete({"ti": ti}, event)
    assert ti.xcoms["failure"] == {"job_id": "6f2c", "reason": "Waiting broke: no key [job 6f2c]"}


def test_the_sensor_tells_of_a_job_that_failed(connected, ti):
    job_id = ApiframeHook().generate_image(prompt="[fail: no luck]").job_id
    with pytest.raises(AirflowFailException):
        sensor(job_id=job_id).execute({"ti": ti})
    assert ti.xcoms["failure"]["job_id"] == job_id
    assert "no luck" in ti.xcoms["failure"]["reason"]


@pytest.mark.parametrize(
    ("soft_fail", "raised"), [(False, AirflowSensorTimeout), (True, AirflowSkipException)]
)
def test_the_sensor_tells_of_its_timeout_also_when_it_is_skipped(connected, ti, soft_fail, raised):
    connected.configure(latency=3600)
    job_id = ApiframeHook().generate_image(prompt="a slow one").job_id
    with pytest.raises(raised):
        sensor(job_id=job_id, timeout=0.1, soft_fail=soft_fail).execute({"ti": ti})
    assert ti.xcoms["failure"]["job_id"] == job_id
    assert "out" in ti.xcoms["failure"]["reason"]


def test_a_bug_is_no_failure_of_ours(connected, ti, monkeypatch):
    def broken(self: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(FluxGenerateOperator, "_request", broken)
    with pytest.raises(ZeroDivisionError):
        operator().execute({"ti": ti})
    assert ti.xcoms == {}


def test_without_xcoms_nothing_is_pushed(connected, ti):
    with pytest.raises(AirflowFailException):
        operator(prompt="[fail: NSFW content]", do_xcom_push=False).execute({"ti": ti})
    assert ti.xcoms == {}


def test_the_reason_is_short_and_holds_no_secret(connected, ti):
    mask_secret("the-password-of-the-storage")
    text = f"{'x' * 30} {connected.api_key} the-password-of-the-storage {'y' * 3000}"
    with pytest.raises(ApiframeError):
        operator(prompt=f"[fail: {text[:1900]}]").execute({"ti": ti})
    reason = ti.xcoms["failure"]["reason"]
    assert len(reason) == MAX_REASON_CHARACTERS
    assert reason.endswith("y…")
    assert connected.api_key not in reason
    assert "the-password-of-the-storage" not in reason


def test_a_push_that_fails_leaves_the_error_as_it_is(connected, ti, monkeypatch, caplog):
    def refused(key: str, value: object) -> None:
        if key == "failure":
            raise RuntimeError("the API server is away")

    monkeypatch.setattr(ti, "xcom_push", refused)
    caplog.set_level(logging.WARNING)
    with pytest.raises(AirflowFailException, match="NSFW content"):
        operator(prompt="[fail: NSFW content detected]").execute({"ti": ti})
    assert "could not be kept for the gallery: the API server is away" in caplog.text
