"""What a manifest's line, and the value of a batch, keep of what the API says."""

from __future__ import annotations

import json

import pytest

from airflow_provider_apiframe.api.models import Job
from airflow_provider_apiframe.delivery.batch_lines import polled
from airflow_provider_apiframe.delivery.batch_result import (
    OTHER_MODELS,
    BatchFailedError,
    build_batch_result,
    check_success,
)
from airflow_provider_apiframe.delivery.manifest import ManifestLine
from airflow_provider_apiframe.submission.batch_plan import Step, step_of

LINK = "https://cdn.example/a.jpg"


def line(index: int = 0, **values: object) -> ManifestLine:
    return ManifestLine(
        index=index,
        request={"prompt": "a mug"},
        key=f"{index:064x}",
        **{"model": "flux-2-flex", **values},
    )


def test_a_job_that_has_its_image_is_no_failure_whatever_it_says_besides():
    job = Job(id="j-1", status="COMPLETED", result=LINK, error="one of two was left out")
    kept = polled(line(job_id="j-1"), job)
    assert (kept.error, kept.image_urls) == (None, [LINK])


def test_a_line_is_small_whatever_the_api_says():
    job = Job(id="j-1", status="x" * 10**6, model="m" * 10**6, error="e" * 10**6, result=[LINK])
    job = job.model_copy(update={"result": [LINK, *["https://cdn.example/" + "x" * 40_000] * 99]})
    kept = polled(line(), job)
    assert kept.image_urls == [LINK]
    assert len(kept.as_json()) < 40_000


@pytest.mark.parametrize("cost", ["1e999", "-1e999", "NaN"])
def test_a_cost_that_is_no_number_keeps_no_manifest_from_being_written(cost):
    job = Job.model_validate(json.loads(f'{{"id": "j", "status": "FAILED", "creditCost": {cost}}}'))
    assert json.loads(polled(line(), job).as_json())["credit_cost"] is None


def test_a_job_whose_only_link_is_too_long_to_keep_is_not_waited_for_for_ever():
    job = Job(id="j-1", status="COMPLETED", result="https://cdn.example/" + "x" * 40_000)
    kept = polled(line(job_id="j-1"), job)
    assert step_of(kept, 0) is Step.NOTHING
    assert "more than 32,000 characters" in kept.error


def test_the_value_is_small_whatever_the_number_of_models_and_the_sum_is_kept():
    lines = [
        line(index, model=f"{index}-{'m' * 1000}", credit_cost=index + 1) for index in range(500)
    ]
    result = build_batch_result(lines, manifest="s3://b/m.jsonl", reused=0)
    assert len(json.dumps(result)) < 30_000
    assert len(result["credits_by_model"]) == 101
    assert result["credits_by_model"][OTHER_MODELS] == sum(range(1, 401))
    assert sum(result["credits_by_model"].values()) == result["credit_cost"] == sum(range(1, 501))


def test_errors_that_differ_in_the_number_of_the_request_alone_are_told_once():
    lines = [
        line(index, error=f"POST returned 400: {what} (request id {index}).")
        for index, what in enumerate(["Not allowed", "Not allowed", "Too long"])
    ]
    result = build_batch_result(lines, manifest="s3://b/m.jsonl", reused=0)
    with pytest.raises(BatchFailedError) as failed:
        check_success(lines, result, 1)
    assert str(failed.value).count("Not allowed") == 1
    assert "Too long" in str(failed.value)
