"""Results in object storage, through the XCom backend of Airflow's common.io provider."""

from __future__ import annotations

import json
import os
import textwrap
from collections import Counter
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from dag_runs import run_elsewhere

from airflow_provider_apiframe.delivery.failure import Failure
from airflow_provider_apiframe.delivery.result import ImageJobResult
from airflow_provider_apiframe.sandbox.server import Sandbox

SOURCE = """
    from airflow.providers.common.compat.sdk import DAG, task
    from airflow_provider_apiframe.operators.flux import FluxGenerateOperator
    from airflow_provider_apiframe.operators.variants import image_variants
    from airflow_provider_apiframe.sensors.job import ApiframeJobSensor

    waits = {"poll_interval": 0.05, "retries": 1, "retry_delay": 0}

    @task
    def seen(values):
        return list(values)

    with DAG("response_lost", schedule=None):
        FluxGenerateOperator(task_id="poster", prompt="a", multiple_outputs=False, **waits)

    with DAG("keys", schedule=None):
        poster = FluxGenerateOperator(task_id="poster", prompt="a", **waits)
        ApiframeJobSensor(task_id="collect", job_id=poster.output["job_id"], poke_interval=0.05)
        seen(poster.output["image_urls"])

    with DAG("whole", schedule=None, default_args={"multiple_outputs": False}):
        poster = FluxGenerateOperator(task_id="poster", prompt="a", **waits)
        FluxGenerateOperator(task_id="deferred", prompt="b", deferrable=True, **waits)
        mapped = FluxGenerateOperator.partial(task_id="mapped", **waits).expand(prompt=["c", "d"])
        submit = FluxGenerateOperator(
            task_id="submit", prompt="e", wait_for_completion=False, **waits
        )
        collect = ApiframeJobSensor(
            task_id="collect", job_id=submit.output["job_id"], poke_interval=0.05,
            save_to="IMAGES/",
        )
        image_variants(collect.output, {"story": "20x40", "feed": "40x40"}, task_id="resize")
        FluxGenerateOperator(
            task_id="again", prompt="f", flux_params={"input_images": [poster.output]}, **waits
        )
        seen(mapped.output)

        @task
        def urls(result):
            return result["image_urls"]

        urls(poster.output)
"""


class Left(NamedTuple):
    """What the runs left: DAG id -> task id -> states, tries, results; and objects in the store.

    Those that say why a try failed are counted apart: from Airflow 3.4 on a retry leaves them.
    """

    runs: dict[str, dict[str, Any]]
    objects: dict[str, Counter[str]]
    failures: int
    jobs_paid: int

    def results(self, dag_id: str, task_id: str) -> list[Any]:
        """The task's results, whole, wherever Airflow keeps them."""
        values = self.runs[dag_id][task_id]["results"]
        # Airflow 3 reads the object in a task only.
        paths = [isinstance(value, str) and value.startswith("file://") for value in values]
        return [
            json.loads(Path(value.removeprefix("file://")).read_bytes()) if is_path else value
            for value, is_path in zip(values, paths, strict=True)
        ]


@pytest.fixture(scope="module")
def left(airflow_database, tmp_path_factory) -> Left:
    store, images = tmp_path_factory.mktemp("xcoms"), tmp_path_factory.mktemp("images")
    file = Path(os.environ["AIRFLOW_HOME"]) / "dags" / "xcom_backend.py"
    file.write_text(textwrap.dedent(SOURCE).replace("IMAGES", str(images)))
    with Sandbox(latency=0.05) as sandbox:
        sandbox.faults.next("generate", drop=True, applied=True)
        connection = {"host": sandbox.url, "password": sandbox.api_key, "extra": {"max_retries": 0}}
        env = {
            "AIRFLOW_CONN_APIFRAME_DEFAULT": json.dumps({"conn_type": "apiframe", **connection}),
            "AIRFLOW__CORE__XCOM_BACKEND": (
                "airflow.providers.common.io.xcom.backend.XComObjectStorageBackend"
            ),
            "AIRFLOW__COMMON_IO__XCOM_OBJECTSTORAGE_PATH": f"file://{store}",
            "AIRFLOW__COMMON_IO__XCOM_OBJECTSTORAGE_THRESHOLD": "0",
        }
        runs = run_elsewhere(file, "response_lost", "keys", "whole", env={**os.environ, **env})
        paid = sandbox.state.jobs_paid
    objects, failures = {dag_id: Counter[str]() for dag_id in runs}, 0
    for path in store.rglob("*"):
        if path.is_file():
            dag_id, _, task_id, *_ = path.relative_to(store).parts
            value = json.loads(path.read_bytes())
            is_failure = isinstance(value, dict) and {*value} == {*Failure.__annotations__}
            failures += is_failure
            objects[dag_id][task_id] += not is_failure
    return Left(runs, objects, failures, paid)


def test_a_result_in_object_storage_is_whole_with_and_without_keys_of_its_own(left):
    for dag_id, tasks in left.runs.items():
        for task_id, task in tasks.items():
            assert {*task["states"]} == {"success"}, (dag_id, task_id)
    for dag_id, task_id in [
        ("keys", "poster"),
        ("keys", "collect"),
        ("whole", "poster"),
        ("whole", "deferred"),
        ("whole", "mapped"),
        ("whole", "collect"),
        ("whole", "again"),
    ]:
        for result in left.results(dag_id, task_id):
            assert {*result} == {*ImageJobResult.__annotations__}
            assert result["status"] == "COMPLETED"


def test_one_image_makes_two_objects_in_place_of_twelve(left):
    # The result, its ten keys, and the job_id before that, which Airflow 3.4 replaces.
    assert left.objects["keys"]["poster"] in (11, 12)
    assert left.objects["keys"]["collect"] == 11
    assert left.objects["whole"]["poster"] == left.objects["whole"]["deferred"] == 2
    assert left.objects["whole"]["mapped"] == 2 * 2
    assert left.objects["whole"]["collect"] == left.objects["whole"]["resize"] == 1


def test_the_image_link_is_no_object_and_leads_to_the_image(left):
    for dag_id, task_id in [("keys", "poster"), ("whole", "deferred"), ("whole", "mapped")]:
        images = [result["image_urls"][0] for result in left.results(dag_id, task_id)]
        assert left.runs[dag_id][task_id]["links"] == images


def test_the_next_task_gets_the_result_and_what_is_in_it(left):
    (poster,) = left.results("whole", "poster")
    assert left.results("whole", "urls") == [poster["image_urls"]]
    assert left.results("whole", "seen") == [left.results("whole", "mapped")]
    (collected,), (submitted,) = left.results("whole", "collect"), left.results("whole", "submit")
    assert collected["job_id"] == submitted["job_id"]
    (image,), (resized,) = collected["images"], left.results("whole", "resize")
    stem = image["uri"].removesuffix(".png")
    assert resized == {"story": f"{stem}-story.png", "feed": f"{stem}-feed.png"}
    (poster,) = left.results("keys", "poster")
    assert left.results("keys", "seen") == [poster["image_urls"]]


def test_a_retry_reconnects_whatever_became_of_the_xcoms(left):
    assert left.runs["response_lost"]["poster"]["tries"] == [2]
    (result,) = left.results("response_lost", "poster")
    assert result["reused"] is True
    assert left.objects["response_lost"]["poster"] == 2
    assert left.failures <= 1  # of the one try that failed in all the runs
    assert left.jobs_paid == 1 + 1 + 6  # one for each task of the three DAGs that submits
