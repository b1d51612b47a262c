from __future__ import annotations

import traceback

import pytest
from airflow.providers.common.compat.sdk import (
    AirflowFailException,
    AirflowSensorTimeout,
    AirflowSkipException,
    TaskDeferred,
)

from airflow_provider_apiframe.api.errors import UnexpectedResponseError
from airflow_provider_apiframe.api.params.request import GenerateRequest
from airflow_provider_apiframe.exceptions import InvalidParameterError
from airflow_provider_apiframe.hooks.apiframe import ApiframeHook
from airflow_provider_apiframe.sensors.job import ApiframeJobSensor
from airflow_provider_apiframe.triggers.job import JobWaitError

FINISHED = {"id": "j", "status": "COMPLETED", "result": "https://cdn.example.com/1.png"}


def sensor(**arguments) -> ApiframeJobSensor:
    return ApiframeJobSensor(**{"task_id": "collect", "poke_interval": 0.05, **arguments})


@pytest.fixture
def submit(connected):
    def submit(prompt: str = "a poster") -> str:
        return ApiframeHook().generate_image(GenerateRequest.parse(prompt=prompt)).job_id

    return submit


def test_it_pokes_until_the_job_is_finished_and_returns_the_images(connected, submit, ti):
    job_id = submit()
    result = sensor(job_id=job_id).execute({"ti": ti})
    assert result["image_urls"] == [f"{connected.cdn_url}/images/{job_id}-1.png"]
    assert (result["status"], result["prompt"], result["credit_cost"]) == (
        "COMPLETED",
        "a poster",
        12,
    )


def test_one_poke_is_one_request(connected, submit):
    connected.configure(latency=3600)
    assert not sensor(job_id=submit()).poke({}).is_done
    assert connected.state.requests["job"] == 1


def test_a_status_it_does_not_know_is_not_the_end(connected, submit):
    job_id = submit()
    connected.faults.next("job", body={"id": job_id, "status": "Upscaling"})
    assert not sensor(job_id=job_id).poke({}).is_done


def test_an_outage_is_waited_out(connected, connect, submit, ti):
    connect(password=connected.api_key, host=connected.url, extra={"max_retries": 0})
    job_id = submit()
    connected.faults.next("job", status=503, times=3)
    assert sensor(job_id=job_id).execute({"ti": ti})["status"] == "COMPLETED"


@pytest.mark.parametrize("deferrable", [False, True])
def test_a_failed_job_fails_without_retry_because_looking_again_cannot_help(
    deferrable, connected, submit, ti
):
    job_id = submit()
    connected.faults.next("job", body={"id": job_id, "status": "FAILED", "error": "no luck"})
    with pytest.raises(AirflowFailException, match="no luck"):
        sensor(job_id=job_id, deferrable=deferrable).execute({"ti": ti})


def test_an_unknown_job_fails_without_retry_and_says_whose_key_is_needed(connected, ti):
    with pytest.raises(AirflowFailException, match="another user"):
        sensor(job_id="00000000-0000-4000-8000-000000000000").execute({"ti": ti})


@pytest.mark.parametrize("job_id", ["", "None", " ", None, 5])
def test_a_job_id_that_is_none_is_refused_when_the_dag_is_read(job_id):
    with pytest.raises(InvalidParameterError, match="task 'collect': job_id="):
        sensor(job_id=job_id)


def partial_sensor(**arguments):
    return ApiframeJobSensor.partial(task_id="collect", **arguments)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: partial_sensor().expand(job_id=["a", ""]), "job_id=''"),
        (lambda: partial_sensor(job_id="None"), "job_id='None'"),
        (
            lambda: partial_sensor(save_to="s3://bucket/a.png").expand(job_id=["a", "b"]),
            "would write this one file",
        ),
        (lambda: partial_sensor(save_to="posters/").expand(job_id=["a"]), "save_to='posters/'"),
    ],
)
def test_the_literals_of_mapped_sensors_are_checked_when_the_dag_is_read(make, said):
    with pytest.raises(InvalidParameterError, match="task 'collect'") as caught:
        make()
    assert said in str(caught.value)


@pytest.mark.parametrize("job_id", ["", "None", " "])
def test_a_job_id_that_rendered_to_nothing_is_named(job_id, connected, ti):
    op = sensor(job_id="{{ ti.xcom_pull('submit') }}")
    op.job_id = job_id  # as rendering does
    with pytest.raises(AirflowFailException, match="job_id="):
        op.execute({"ti": ti})
    assert connected.state.requests == {}


def test_a_rate_limit_does_not_hold_a_poke_up(connected, submit):
    job_id = submit()
    connected.faults.next("job", retry_after="3600")
    assert not sensor(job_id=job_id).poke({}).is_done
    assert connected.state.requests["job"] == 1


def test_an_unusable_answer_is_left_to_airflows_retry_which_costs_nothing(connected, submit):
    job_id = submit()
    connected.faults.next("job", body="<html>")
    with pytest.raises(UnexpectedResponseError) as caught:
        sensor(job_id=job_id).poke({})
    assert (caught.value.job_id, caught.value.raw) == (job_id, "<html>")


def test_deferrable_it_returns_a_job_that_is_finished_already_without_deferring(
    connected, submit, ti
):
    job_id = submit()
    sensor(job_id=job_id).execute({"ti": ti})
    assert sensor(job_id=job_id, deferrable=True).execute({"ti": ti})["job_id"] == job_id


def test_deferrable_it_defers_otherwise(connected, submit, ti):
    connected.configure(latency=3600)
    job_id = submit()
    with pytest.raises(TaskDeferred) as deferred:
        sensor(job_id=job_id, deferrable=True).execute({"ti": ti})
    assert deferred.value.trigger.job_id == job_id
    assert not deferred.value.kwargs


def test_it_resumes_with_the_job_in_the_event(ti):
    result = sensor(job_id="j", deferrable=True).execute_complete(
        {"ti": ti}, {"status": "finished", "job": FINISHED}
    )
    assert result["image_urls"] == ["https://cdn.example.com/1.png"]


def test_never_fail_skips_a_deferred_wait_too(ti):
    op = sensor(job_id="j", deferrable=True)
    op.never_fail = True
    with pytest.raises(AirflowSkipException):
        op.execute_complete({"ti": ti}, {"status": "error", "message": "no key"})


@pytest.mark.parametrize(
    ("soft_fail", "event", "expected"),
    [
        (False, {"status": "timeout", "message": "late"}, AirflowSensorTimeout),
        (True, {"status": "timeout", "message": "late"}, AirflowSkipException),
        (False, {"status": "error", "message": "broken"}, JobWaitError),
        (True, {"status": "error", "message": "broken"}, JobWaitError),
        (
            False,
            {"status": "finished", "job": FINISHED | {"status": "FAILED"}},
            AirflowFailException,
        ),
        (
            True,
            {"status": "finished", "job": FINISHED | {"status": "FAILED"}},
            AirflowSkipException,
        ),
        (False, None, JobWaitError),
    ],
)
def test_a_deferred_wait_ends_as_the_other_modes_do(soft_fail, event, expected, ti):
    with pytest.raises(expected):
        sensor(job_id="j", deferrable=True, soft_fail=soft_fail).execute_complete({"ti": ti}, event)


def test_an_error_of_a_dag_file_ends_in_the_line_that_makes_the_sensor():
    with pytest.raises(InvalidParameterError) as caught:
        ApiframeJobSensor(task_id="collect", job_id="")
    assert traceback.extract_tb(caught.value.__traceback__)[-1].filename == __file__
