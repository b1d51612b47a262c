"""What a run leaves for the UI: links, why a task failed, how far its job is."""

from __future__ import annotations

import pytest

HEAD = """
    from airflow.providers.common.compat.sdk import DAG
    from airflow_provider_apiframe.operators.flux import FluxGenerateOperator
    from airflow_provider_apiframe.sensors.job import ApiframeJobSensor

    waits = {"poll_interval": 0.05, "retry_delay": 0}
"""


def page(sandbox, job_id: str) -> str:
    return f"{sandbox.url}/_sandbox/jobs/{job_id}"


def test_each_task_leads_to_its_image_and_to_its_job(connected, run_dag):
    run = run_dag(
        "with_links",
        f"""{HEAD}
    with DAG("with_links", schedule=None):
        poster = FluxGenerateOperator(task_id="poster", prompt="a", **waits)
        FluxGenerateOperator(task_id="deferred", prompt="b", deferrable=True, **waits)
        FluxGenerateOperator.partial(task_id="mapped", **waits).expand(prompt=["c", "d"])
        job_id = poster.output["job_id"]
        ApiframeJobSensor(task_id="collect", job_id=job_id, poke_interval=0.05)
        ApiframeJobSensor(
            task_id="rescheduled", job_id=job_id, poke_interval=0.05, mode="reschedule"
        )
    """,
    )
    for task_id in ("poster", "deferred", "mapped", "collect", "rescheduled"):
        results = run.xcoms(task_id)
        assert run.links(task_id, "Apiframe job") == [
            page(connected, result["job_id"]) for result in results
        ]
        assert run.links(task_id, "Image") == [result["image_urls"][0] for result in results]
        assert run.xcoms(task_id, "_link_ImageLink") == run.links(task_id, "Image")


def test_a_task_that_failed_says_why_and_leads_to_its_job(connected, run_dag):
    run = run_dag(
        "with_failures",
        f"""{HEAD}
    with DAG("with_failures", schedule=None):
        FluxGenerateOperator(task_id="refused", prompt="[fail: NSFW content]", **waits)
        FluxGenerateOperator(
            task_id="late", prompt="[takes: 60]", deferrable=True, timeout=0.2, **waits
        )
        FluxGenerateOperator(
            task_id="wrong", prompt="a", flux_params={{"steps": "{{{{ 80 }}}}"}}, **waits
        )
    """,
    )
    refused, late, wrong = (
        run.xcom(task_id, "failure") for task_id in ("refused", "late", "wrong")
    )
    jobs = {job.input["prompt"]: job.id for job in connected.state.jobs}
    assert refused["job_id"] == jobs["[fail: NSFW content]"]
    assert "NSFW content" in refused["reason"]
    assert late["job_id"] == jobs["[takes: 60]"]
    assert "not finished at the deadline" in late["reason"]
    assert wrong["job_id"] is None
    assert "steps" in wrong["reason"]
    assert run.link("refused", "Apiframe job") == page(connected, refused["job_id"])
    assert run.link("late", "Apiframe job") == page(connected, late["job_id"])
    assert not run.link("wrong", "Apiframe job")
    assert not run.link("refused", "Image")


def test_a_try_that_succeeds_leaves_no_failure_of_the_one_before_it(connected, run_dag):
    connected.faults.next("job", body={"id": "j", "status": "FAILED", "error": "no luck"})
    run = run_dag(
        "failed_once",
        f"""{HEAD}
    with DAG("failed_once", schedule=None):
        FluxGenerateOperator(task_id="poster", prompt="a", retries=1, **waits)
    """,
    )
    assert run.tries("poster") == [2]
    with pytest.raises(AssertionError, match="pushed no failure"):
        run.xcom("poster", "failure")


def test_how_far_the_job_is_lies_in_the_task_state_store(connected, run_dag):
    pytest.importorskip(
        "airflow.models.task_state_store", reason="the task state store came with Airflow 3.3"
    )
    run = run_dag(
        "with_progress",
        f"""{HEAD}
    with DAG("with_progress", schedule=None):
        poster = FluxGenerateOperator(task_id="poster", prompt="a", **waits)
        FluxGenerateOperator(task_id="late", prompt="[takes: 60]", timeout=0.2, **waits)
        job_id = poster.output["job_id"]
        ApiframeJobSensor(task_id="collect", job_id=job_id, poke_interval=0.05)
    """,
    )
    for task_id, status in [("poster", "COMPLETED"), ("collect", "COMPLETED"), ("late", "QUEUED")]:
        progress = run.stored(task_id, "apiframe_progress")
        assert {*progress} == {"status", "progress", "at"}
        assert progress["status"] == status
