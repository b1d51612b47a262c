"""A batch as ``airflow dags test`` runs it, on the installed Airflow."""

from __future__ import annotations

import json

import pytest

HEAD = """
    from airflow.providers.common.compat.sdk import DAG, Asset, AssetAlias, task
    from airflow_provider_apiframe.operators.batch import (
        FluxGenerateBatchOperator, ImageGenerateBatchOperator,
    )

    SMALL = {"aspect_ratio": "custom", "width": 256, "height": 256, "output_format": "jpg"}
"""


def test_a_catalogue_gets_its_images_in_one_task(connected, run_dag, tmp_path):
    products = {f"sku-{number}": f"a mug, number {number}" for number in range(4)}
    run = run_dag("example_batch", conf={"products": products, "output": f"{tmp_path}/"})
    assert run.states("images") == run.states("publish") == ["success"]
    assert {*run.xcom("publish")} == {*products}
    assert connected.state.jobs_paid == 4
    result = run.xcom("images")
    assert (result["total"], result["succeeded"], result["credit_cost"]) == (4, 4, 48)
    assert run.xcom("images", "succeeded") == 4
    assert run.xcom("images", "manifest") == result["manifest"]


@pytest.mark.parametrize("deferrable", [False, True])
def test_a_batch_goes_on_wave_by_wave(deferrable, connected, run_dag, tmp_path):
    run = run_dag(
        f"batch_waves_{deferrable}",
        f"""{HEAD}
    with DAG("batch_waves_{deferrable}", schedule=None):
        FluxGenerateBatchOperator(
            task_id="images",
            requests=[{{"prompt": f"a mug {{n}}", "id": f"{{n}}"}} for n in range(7)],
            flux_params=SMALL, save_to="{tmp_path}/", poll_interval=0.05, max_active=3,
            deferrable={deferrable},
        )
    """,
    )
    assert run.states("images") == ["success"]
    result = run.xcom("images")
    assert (result["succeeded"], result["reused"]) == (7, 0)
    assert connected.state.jobs_created == 7
    with open(result["manifest"].removeprefix("file://")) as file:
        lines = [json.loads(line) for line in file]
    assert [line["id"] for line in lines] == [str(number) for number in range(7)]


def test_a_retry_of_a_batch_makes_what_failed_and_no_more(connected, run_dag, tmp_path):
    run = run_dag(
        "batch_retried",
        f"""{HEAD}
    from datetime import timedelta
    with DAG("batch_retried", schedule=None):
        FluxGenerateBatchOperator(
            task_id="images",
            requests=[{{"prompt": "a mug"}}, {{"prompt": "[fail: No available capacity]"}}],
            flux_params=SMALL, save_to="{tmp_path}/", poll_interval=0.05, min_success=1.0,
            retries=2, retry_delay=timedelta(seconds=0),
        )
    """,
    )
    assert run.states("images") in (["failed"], ["up_for_retry"])
    tries = run.tries("images")[0]
    assert connected.state.jobs_created == 1 + tries
    assert connected.state.jobs_paid == 1


def test_the_outlets_events_name_the_manifest(assets, connected, run_dag, tmp_path):
    run = run_dag(
        "batch_with_events",
        f"""{HEAD}
    catalogue, latest = Asset("catalogue"), AssetAlias("latest-catalogue")
    with DAG("batch_with_events", schedule=None):
        images = FluxGenerateBatchOperator(
            task_id="images", requests=[{{"prompt": "a mug"}}, {{"prompt": "a cap"}}],
            flux_params=SMALL, save_to="{tmp_path}/", poll_interval=0.05,
            outlets=[catalogue, latest],
        )

        @task(inlets=[catalogue, latest])
        def seen(*, inlet_events):
            return [
                dict(list(inlet_events[catalogue])[-1].extra),
                dict(list(inlet_events[latest])[-1].extra),
            ]

        images >> seen()
    """,
    )
    extra, named = run.xcom("seen")
    assert (
        extra
        == named
        == {
            "uri": run.xcom("images")["manifest"],
            "requests": "2",
            "succeeded": "2",
            "failed": "0",
            "unfinished": "0",
            "credits": "24",
        }
    )


def test_a_wrong_request_is_an_import_error_that_names_it(import_errors):
    text = import_errors(
        f"""{HEAD}
    with DAG("batch_wrong", schedule=None):
        FluxGenerateBatchOperator(
            task_id="images", save_to="/tmp/x/",
            requests=[{{"prompt": "a mug"}}, {{"prompt": "a cap", "flux_params": {{"sed": 7}}}}],
        )
    """
    )
    assert "index 1" in text
    assert "did you mean 'seed'" in text


def test_mapped_batches_write_a_manifest_each(connected, run_dag, tmp_path):
    run = run_dag(
        "batch_mapped",
        f"""{HEAD}
    with DAG("batch_mapped", schedule=None):
        FluxGenerateBatchOperator.partial(
            task_id="images", flux_params=SMALL, save_to="{tmp_path}/", poll_interval=0.05,
        ).expand(requests=[[{{"prompt": "a mug"}}], [{{"prompt": "a cap"}}, {{"prompt": "a pen"}}]])
    """,
    )
    results = run.xcoms("images")
    assert [result["succeeded"] for result in results] == [1, 2]
    assert len({result["manifest"] for result in results}) == 2


def test_an_image_of_another_task_that_is_not_there_is_not_left_out(connected, run_dag, tmp_path):
    run = run_dag(
        "batch_without_reference",
        f"""{HEAD}
    with DAG("batch_without_reference", schedule=None):
        @task
        def photo():
            return None

        FluxGenerateBatchOperator(
            task_id="images", save_to="{tmp_path}/", poll_interval=0.05,
            requests=[{{"prompt": "a mug"}},
                      {{"prompt": "a cap", "flux_params": {{"input_images": photo()}}}}],
        )
    """,
    )
    assert run.states("images") == ["failed"]
    assert connected.state.jobs_created == 0


def test_params_of_mapped_batches_are_the_models(connected, run_dag, tmp_path):
    run = run_dag(
        "batch_mapped_params",
        f"""{HEAD}
    with DAG("batch_mapped_params", schedule=None, params={{"seed": 1}}):
        ImageGenerateBatchOperator.partial(
            task_id="images", model="flux-2-flex", params={{**SMALL, "seed": 7}},
            save_to="{tmp_path}/", poll_interval=0.05,
        ).expand(requests=[[{{"prompt": "a mug"}}], [{{"prompt": "a cap"}}]])
    """,
    )
    assert run.states("images") == ["success"] * 2
    assert [job.input["fluxParams"]["seed"] for job in connected.state.jobs] == [7, 7]
