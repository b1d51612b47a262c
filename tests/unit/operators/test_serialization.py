"""What Airflow stores of a DAG. The DAG processor writes it, and workers read the file again."""

from __future__ import annotations

import datetime
import json
import os
import shutil
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import DAG, Asset, ObjectStoragePath
from dag_runs import dag_bag

from airflow_provider_apiframe.api.params.flux import FluxParams
from airflow_provider_apiframe.operators.flux import FluxGenerateOperator
from airflow_provider_apiframe.operators.variants import image_variants
from airflow_provider_apiframe.sensors.job import ApiframeJobSensor

try:
    from airflow.serialization.serialized_objects import DagSerialization
except ImportError:  # before Airflow 3.2
    from airflow.serialization.serialized_objects import SerializedDAG as DagSerialization

KEY = "afk_5ec4e7c0ffee5ec4e7c0ffee5ec4e7c0ffee5ec4e7"
FLUX_FIELDS = {
    "prompt",
    "model",
    "flux_params",
    "save_to",
    "save_conn_id",
    "webhook_url",
    "apiframe_conn_id",
}
SENSOR_FIELDS = {"job_id", "save_to", "save_conn_id", "apiframe_conn_id"}
VARIANTS_FIELDS = {"result", "variants", "save_to", "save_conn_id"}


def every_argument() -> dict[str, Any]:
    arguments: dict[str, Any] = {
        "model": "flux-2-flex",
        "apiframe_conn_id": "studio",
        "wait_for_completion": True,
        "deferrable": True,
        "poll_interval": 3,
        "timeout": 30,
        "regenerate_on_clear": False,
        "max_credits": 20,
        "save_to": "s3://bucket/{{ ds }}/",
        "save_conn_id": "aws",
        "provenance": "c2pa",
        "webhook_url": "https://example.com/{{ run_id }}",
        "webhook_events": ["completed"],
        "multiple_outputs": True,
        "outlets": [Asset("posters")],
        "retries": 3,
    }
    with suppress(ImportError):  # before Airflow 3.3
        from airflow_provider_apiframe.policies.retry import ApiframeRetryPolicy

        arguments["retry_policy"] = ApiframeRetryPolicy()
    return arguments


def dag_of_everything() -> DAG:
    arguments = every_argument()
    partial = FluxGenerateOperator.partial
    with DAG("everything", schedule=None, start_date=datetime.datetime(2026, 1, 1)) as dag:
        poster = FluxGenerateOperator(
            task_id="poster",
            prompt="a poster of {{ ds }}",
            flux_params={"steps": 30, "seed": "{{ 7 }}"},
            **arguments,
        )
        mapped = partial(task_id="mapped", flux_params={"steps": 30}, **arguments).expand(
            prompt=["a mug", "a cap"]
        )
        partial(task_id="whole", multiple_outputs=False).expand_kwargs(
            [{"prompt": "a mug", "flux_params": {"seed": 1}}]
        )
        FluxGenerateOperator(
            task_id="edited",
            prompt="edit it",
            flux_params={
                "input_images": [
                    poster.output,
                    "s3://bucket/a.png",
                    ObjectStoragePath("s3://bucket/b.png"),
                ]
            },
        )
        ApiframeJobSensor(
            task_id="sensor",
            job_id=poster.output["job_id"],
            save_to="s3://bucket/",
            save_conn_id="aws",
            provenance="c2pa",
            deferrable=True,
        )
        ApiframeJobSensor.partial(task_id="sensors", save_to="s3://bucket/").expand(job_id=["a"])
        sizes = {"story": "20x40", "banner": {"size": "10x10", "format": "{{ 'webp' }}"}}
        image_variants(poster.output, sizes, task_id="variants")
        image_variants(mapped.output, sizes, task_id="all_variants", multiple_outputs=False)
    return dag


def stored(dag: DAG) -> str:
    """The row that the DAG processor writes."""
    return json.dumps(DagSerialization.to_dict(dag))


def test_what_is_stored_has_every_task_with_its_template_fields():
    read = DagSerialization.from_dict(json.loads(stored(dag_of_everything())))
    fields = {task.task_id: {*task.template_fields} for task in read.tasks}
    assert fields == {
        **dict.fromkeys(("poster", "mapped", "whole", "edited"), FLUX_FIELDS),
        **dict.fromkeys(("sensor", "sensors"), SENSOR_FIELDS),
        **dict.fromkeys(("variants", "all_variants"), VARIANTS_FIELDS),
    }
    poster = read.get_task("poster")
    assert poster.prompt == "a poster of {{ ds }}"
    assert poster.flux_params == {"steps": 30, "seed": "{{ 7 }}"}
    assert poster.save_to == "s3://bucket/{{ ds }}/"
    assert poster.ui_color == FluxGenerateOperator.ui_color
    assert poster.task_type == "FluxGenerateOperator"
    assert poster.downstream_task_ids == {"edited", "sensor", "variants"}
    assert read.get_task("mapped").downstream_task_ids == {"all_variants"}


def test_what_is_stored_is_the_same_each_time_or_each_parse_would_be_a_new_version_of_the_dag():
    first, second = stored(dag_of_everything()), stored(dag_of_everything())
    assert first == second
    assert " object at 0x" not in first


def test_what_is_stored_holds_no_secret_of_a_connection(monkeypatch):
    secret = json.dumps({"conn_type": "apiframe", "password": KEY})
    for conn_id in ("APIFRAME_DEFAULT", "STUDIO", "AWS", "C2PA_DEFAULT"):
        monkeypatch.setenv(f"AIRFLOW_CONN_{conn_id}", secret)
    assert KEY not in stored(dag_of_everything())


def in_partial(flux_params: FluxParams) -> Any:
    return FluxGenerateOperator.partial(task_id="posters", flux_params=flux_params).expand(
        prompt=["a mug"]
    )


def in_expand(flux_params: FluxParams) -> Any:
    return FluxGenerateOperator.partial(task_id="posters", prompt="a mug").expand(
        flux_params=[flux_params]
    )


def in_expand_kwargs(flux_params: FluxParams) -> Any:
    return FluxGenerateOperator.partial(task_id="posters").expand_kwargs(
        [{"prompt": "a mug", "flux_params": flux_params}]
    )


def in_expand_of_a_tuple(flux_params: FluxParams) -> Any:
    return FluxGenerateOperator.partial(task_id="posters", prompt="a mug").expand(
        flux_params=(flux_params,)
    )


@pytest.mark.parametrize("make", [in_partial, in_expand, in_expand_of_a_tuple, in_expand_kwargs])
def test_flux_params_of_mapped_tasks_are_stored_as_their_values(make: Callable[..., Any]):
    with DAG("mapped", schedule=None) as dag:
        make(FluxParams(steps=10, seed=7))
    row = stored(dag)
    assert "output_quality" not in row  # nor anything else that was not set
    assert '"steps": 10' in row
    assert '"seed": 7' in row


def test_the_folder_that_a_dag_lies_in_is_in_none_of_our_tasks(tmp_path):
    examples = Path(os.environ["AIRFLOW_HOME"]) / "dags"
    rows = []
    for host in ("parser", "worker"):
        (tmp_path / host).mkdir()
        bag = dag_bag(Path(shutil.copy(examples / "example_marketing_assets.py", tmp_path / host)))
        assert not bag.import_errors
        (dag,) = bag.dags.values()
        tasks = [task["__var"] for task in DagSerialization.to_dict(dag)["dag"]["tasks"]]
        # Airflow 3.0 names the functions of @task after the folder.
        rows.append([task for task in tasks if "apiframe" in task["_task_module"]])
    assert rows[0] == rows[1]
    assert {task["task_id"] for task in rows[0]} == {"images", "image_variants"}
    assert str(tmp_path) not in json.dumps(rows)
