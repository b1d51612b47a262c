"""A batch operator's arguments, and what its task leaves for people to see."""

from __future__ import annotations

import json
import logging
from typing import Any

import batch_lives as lives
import pytest
from airflow.providers.common.compat.sdk import DAG, AirflowFailException, Stats
from batch_lives import SMALL, BatchTask, requests
from task_lives import Killed, Store

from airflow_provider_apiframe.api.errors import ApiframeError
from airflow_provider_apiframe.delivery.failure import FAILURE_KEY
from airflow_provider_apiframe.delivery.progress import PROGRESS_KEY
from airflow_provider_apiframe.exceptions import InvalidParameterError
from airflow_provider_apiframe.hooks import public_urls
from airflow_provider_apiframe.links import base as links
from airflow_provider_apiframe.links.image import ImageLink
from airflow_provider_apiframe.links.job import ApiframeJobLink
from airflow_provider_apiframe.operators.batch import (
    FluxGenerateBatchOperator,
    ImageGenerateBatchOperator,
)
from airflow_provider_apiframe.submission import batch_run


def operator(**arguments: Any) -> FluxGenerateBatchOperator:
    return FluxGenerateBatchOperator(
        **{
            "task_id": "images",
            "requests": [{"prompt": "a mug"}],
            "save_to": "s3://bucket/",
            **arguments,
        }
    )


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"max_active": 0}, "max_active=0: must be a whole number of jobs, at least 1"),
        ({"max_active": 2.5}, "max_active=2.5"),
        ({"max_active": True}, "max_active=True"),
        ({"min_success": -1}, "min_success=-1"),
        ({"min_success": 1.5}, "a share of them, a float from 0.0 to 1.0"),
        ({"min_success": float("nan")}, "min_success=nan"),
        ({"min_success": True}, "min_success=True"),
        ({"min_success": "1"}, "min_success='1'"),
        ({"min_success": 95}, "min_success=95: must be at most the number of requests, 1 here"),
        ({"save_to": "s3://bucket/poster.png"}, "all images of the batch would have this one name"),
        ({"save_to": None}, "save_to=None: must be text"),
        ({"timeout": 0}, "timeout=0"),
        ({"deferrable": "False"}, "deferrable='False'"),
        ({"provenance": "xmp"}, "provenance='xmp'"),
        ({"requests": []}, "there is no request in it"),
        ({"requests": [{"prompt": ""}]}, "index 0"),
        ({"requests": [{"prompt": "a"}, {"prompt": "a"}]}, "give it another seed, or an id"),
        ({"flux_params": {"sed": 7}}, "did you mean 'seed'"),
        ({"requests": 7}, "requests"),
    ],
)
def test_a_wrong_argument_is_found_while_the_dag_is_parsed(wrong, said):
    with pytest.raises(InvalidParameterError) as error:
        operator(**wrong)
    assert "task 'images'" in str(error.value)
    assert said in str(error.value)


@pytest.mark.parametrize("key", ["webhook_url", "webhook_events"])
def test_a_batch_takes_no_webhooks(key):
    with pytest.raises(InvalidParameterError, match="a batch takes no webhooks"):
        operator(requests=[{"prompt": "a mug", key: "https://example.com"}])


@pytest.mark.parametrize(
    "fine",
    [
        {"requests": "{{ params.requests }}"},
        {"requests": "s3://bucket/requests.csv"},
        {"requests": [{"prompt": "{{ ds }}"}], "flux_params": {"seed": "{{ 7 }}"}},
        {"save_to": "s3://bucket/{job_id}.png"},
        {"save_to": "{{ params.output }}"},
        {"min_success": 0},
        {"min_success": 1.0, "max_active": 1},
        {"min_success": 95, "requests": "s3://bucket/requests.csv"},
    ],
)
def test_what_is_known_only_when_the_task_runs_is_no_import_error(fine):
    operator(**fine)


def test_the_rendered_folder_is_checked_before_anything_is_paid(connected, tmp_path):
    task = BatchTask(tmp_path, requests=requests(2), save_to="{{ x }}")
    real = task._operator

    def rendered() -> Any:
        made = real()
        made.save_to = f"{tmp_path}/poster.png"
        return made

    task._operator = rendered
    with pytest.raises(InvalidParameterError, match="this one name"):
        task.run()
    assert connected.state.jobs_created == 0


@pytest.mark.parametrize("form", [list, json.dumps])
def test_a_batch_that_cannot_make_as_many_images_as_it_needs_is_refused_before_anything_is_paid(
    form, connected, tmp_path
):
    task = BatchTask(tmp_path, requests="{{ x }}", min_success=3)
    real = task._operator

    def rendered() -> Any:
        made = real()
        made.requests = form(requests(2))
        return made

    task._operator = rendered
    with pytest.raises(InvalidParameterError, match="requests, 2 here"):
        task.run()
    assert connected.state.jobs_created == 0


def test_a_file_name_that_asks_for_another_format_is_refused_before_anything_is_paid(
    connected, tmp_path
):
    task = BatchTask(tmp_path, requests=requests(2), save_to=f"{tmp_path}/{{job_id}}.png")
    with pytest.raises(InvalidParameterError, match="output_format is 'jpg'"):
        task.run()
    assert connected.state.jobs_created == 0


def test_a_requests_own_parameters_win_over_the_batchs(connected, tmp_path):
    wanted = [
        {"prompt": "a mug", "flux_params": {"seed": 7}},
        {"prompt": "a cap", "model": "flux-2-pro"},
    ]
    task = BatchTask(tmp_path, requests=wanted, flux_params={**SMALL, "seed": 1})
    task.run()
    made = {job.input["prompt"]: job.input for job in connected.state.jobs}
    assert made["a mug"]["fluxParams"] == {**SMALL, "seed": 7}
    assert made["a cap"]["model"] == "flux-2-pro"
    assert made["a cap"]["fluxParams"]["seed"] == 1


def test_any_model_goes_with_the_other_operator(connected, tmp_path):
    task = BatchTask(tmp_path, requests=[{"prompt": "a mug", "params": {"seed": 7}}])
    task.operator = ImageGenerateBatchOperator
    task.arguments["model"] = "flux-2-flex"
    task.arguments["model_params"] = task.arguments.pop("flux_params")
    result = task.run()
    assert result["credits_by_model"] == {"flux-2-flex": 12}
    assert connected.state.jobs[0].input["fluxParams"] == {**SMALL, "seed": 7}


def test_a_job_with_several_images_gives_all_of_them(connected, tmp_path):
    wanted = [{"prompt": "a mug"}, {"prompt": "a cap", "model": "nano-banana"}]
    task = BatchTask(tmp_path, requests=wanted, model="midjourney", flux_params=None)
    task.operator = ImageGenerateBatchOperator
    task.arguments["model_params"] = task.arguments.pop("flux_params")
    result = task.run()
    assert [len(line["images"]) for line in task.manifest()] == [4, 1]
    assert (result["succeeded"], {*result["credits_by_model"]}) == (
        2,
        {"midjourney", "nano-banana"},
    )
    assert len({image["uri"] for line in task.manifest() for image in line["images"]}) == 5


@pytest.mark.parametrize("of_the_dag", [None, {"headline": "x"}, {"seed": 1}])
def test_params_are_the_models_and_the_dags_stay_airflows(of_the_dag):
    arguments = {"requests": requests(1), "save_to": "s3://bucket/", "model": "flux-2-flex"}
    with DAG("d", schedule=None, params=of_the_dag):
        task = ImageGenerateBatchOperator(task_id="images", **arguments, params={"seed": 7})
        plain = ImageGenerateBatchOperator(task_id="plain", **arguments)
    assert task.model_params == {"seed": 7}
    assert plain.model_params is None
    assert dict(task.params) == (of_the_dag or {})


def test_params_of_the_model_are_checked_while_the_dag_is_parsed():
    with pytest.raises(InvalidParameterError, match="did you mean 'seed'"):
        ImageGenerateBatchOperator(
            task_id="images",
            requests=requests(1),
            save_to="s3://bucket/",
            model="flux-2-flex",
            params={"sed": 7},
        )


def test_the_ids_of_a_wave_that_are_too_long_for_one_row_are_waited_for_in_several(
    connected, tmp_path, monkeypatch
):
    monkeypatch.setattr(batch_run, "MAX_ID_BYTES", 100)  # two ids
    task = BatchTask(tmp_path, requests=requests(5), deferrable=True)
    assert task.run()["succeeded"] == 5
    assert task.deferrals == 3


# What people see


def said(caplog: Any, capfd: Any) -> str:
    return caplog.text + "".join(capfd.readouterr())


@pytest.fixture
def counted(monkeypatch) -> list[tuple[int, Any]]:
    seen: list[tuple[int, Any]] = []
    monkeypatch.setattr(
        Stats, "incr", lambda stat, count, tags, **_: seen.append((count, tags)), raising=False
    )
    return seen


def test_each_image_is_counted_once_over_all_tries(connected, counted, tmp_path):
    task = BatchTask(tmp_path, requests=requests(5), deferrable=True, max_active=2)
    with pytest.raises(Killed):
        task.run(lives.at_the_end())
    task.run()
    assert counted == [(12, {"model": "flux-2-flex", "dag_id": "d", "task_id": "batch"})] * 5


def test_the_manifest_is_pushed_before_anything_is_submitted(connected, tmp_path):
    task = BatchTask(tmp_path, requests=requests(2))
    with pytest.raises(Killed):
        task.run(lives.submitting(1, done=False))
    assert task.xcoms["manifest"] == f"file://{task.manifests[0]}"
    assert [line["status"] for line in task.manifest()] == ["NOT_SUBMITTED"] * 2


def test_the_log_of_a_task_that_succeeds_says_which_requests_failed(
    connected, tmp_path, caplog, capfd
):
    wanted = [{"prompt": "a mug"}, {"prompt": "[fail: NSFW content] a cap"}]
    task = BatchTask(tmp_path, requests=wanted, min_success=1)
    result = task.run()
    text = said(caplog, capfd)
    assert "1 of 2 requests failed, which min_success allows" in text
    assert "The first errors: NSFW content. The manifest has all: " + result["manifest"] in text


def test_the_log_of_a_task_without_failed_requests_warns_of_none(
    connected, tmp_path, caplog, capfd
):
    BatchTask(tmp_path, requests=requests(2)).run()
    assert "requests failed" not in said(caplog, capfd)


def test_a_failed_try_says_why(connected, tmp_path):
    task = BatchTask(tmp_path, requests=requests(2, "[fail: content policy] {}"))
    with pytest.raises(AirflowFailException):
        task.run()
    assert "0 of 2 requests have their images" in task.xcoms[FAILURE_KEY]["reason"]


def test_the_link_leads_to_the_manifests_public_address(connected, tmp_path, monkeypatch):
    public = json.dumps({f"file://{tmp_path}/": "https://cdn.example.com/"})
    monkeypatch.setenv("AIRFLOW__APIFRAME__PUBLIC_URLS", public)
    public_urls._usable_addresses.cache_clear()
    task = BatchTask(tmp_path, requests=requests(2))
    manifest = task.run()["manifest"].rpartition("/")[2]
    assert task.xcoms["_link_ImageLink"] == f"https://cdn.example.com/d/r/batch/{manifest}"
    assert "/_sandbox/jobs/" in task.xcoms["_link_ApiframeJobLink"]


def test_without_a_public_address_there_is_no_link_to_the_manifest(connected, tmp_path):
    task = BatchTask(tmp_path, requests=requests(2))
    task.run()
    assert "_link_ImageLink" not in task.xcoms


def test_airflow_need_not_ask_for_the_link_of_a_batch_that_has_none(
    connected, tmp_path, monkeypatch
):
    asked: list[str] = []
    monkeypatch.setattr(links, "stored_link", lambda _, key: asked.append(key))
    task = BatchTask(tmp_path, requests=requests(2))
    batch = operator(**task.arguments)
    monkeypatch.setattr(task, "_operator", lambda: batch)
    task.run()
    assert ImageLink().get_link(batch, ti_key=None) == ""
    job_page = task.xcoms["_link_ApiframeJobLink"]
    assert ApiframeJobLink().get_link(batch, ti_key=None) == job_page
    assert asked == []


def test_a_worker_that_waits_keeps_how_far_the_batch_is(connected, tmp_path):
    connected.configure(latency=0.3)
    store = Store()
    BatchTask(tmp_path, store, requests=requests(2)).run()
    assert store.get(PROGRESS_KEY)["status"] == "PROCESSING"


def test_on_kill_says_how_many_jobs_go_on(caplog, capfd):
    stopped = operator()
    stopped._waiting = 3
    stopped.on_kill()
    assert "while 3 jobs run" in said(caplog, capfd)


def test_no_secret_is_in_what_a_batch_leaves_behind(connected, tmp_path, caplog, capfd):
    caplog.set_level(logging.DEBUG)
    wanted = [{"prompt": "a mug"}, {"prompt": f"[fail: bad key {connected.api_key}]"}]
    store = Store()
    task = BatchTask(tmp_path, store, requests=wanted, deferrable=True)
    result = task.run()
    left = [json.dumps(result), json.dumps(task.xcoms), *store.values.values()]
    left += [line["error"] or "" for line in task.manifest()]
    assert connected.api_key not in "".join(left)


def test_a_wait_on_the_triggerer_that_broke_saves_what_is_done_and_is_left_to_a_retry(
    connected, tmp_path, monkeypatch
):
    from airflow_provider_apiframe.polling.watcher import JobWatcher

    task = BatchTask(tmp_path, requests=requests(4), deferrable=True)
    real, calls = JobWatcher.wait, []

    async def wait(self: Any, wait: Any) -> Any:
        calls.append(wait)
        if len(calls) == 4:
            raise RuntimeError("a bug")
        return await real(self, wait)

    monkeypatch.setattr(JobWatcher, "wait", wait)
    with pytest.raises(ApiframeError, match="a bug") as error:
        task.run()
    assert error.value.transient
    before = len(task.images)
    assert task.run()["succeeded"] == 4
    assert before <= 3
    assert connected.state.jobs_created == 4
