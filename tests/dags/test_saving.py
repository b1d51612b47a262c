"""What a task that saves its image tells Airflow."""

from __future__ import annotations

import hashlib

HEAD = """
    from airflow.providers.common.compat.sdk import DAG, Asset, AssetAlias, task
    from airflow_provider_apiframe.operators.flux import FluxGenerateOperator
    from airflow_provider_apiframe.sensors.job import ApiframeJobSensor
"""


def test_the_outlets_events_say_which_image_was_saved(assets, connected, run_dag, tmp_path):
    run = run_dag(
        "saved_with_events",
        f"""{HEAD}
    posters, latest = Asset("posters"), AssetAlias("latest-poster")
    with DAG("saved_with_events", schedule=None):
        poster = FluxGenerateOperator(
            task_id="poster", prompt="a poster", flux_params={{"seed": 7}}, poll_interval=0.05,
            save_to="{tmp_path}/{{n}}.{{ext}}", outlets=[posters, latest],
        )

        @task(inlets=[posters, latest])
        def seen(*, inlet_events):
            events = list(inlet_events[posters])
            named = list(inlet_events[latest])
            return [len(events), dict(events[-1].extra), dict(named[-1].extra)]

        poster >> seen()
    """,
    )
    result = run.xcom("poster")
    count, extra, named = run.xcom("seen")
    assert count == 1
    assert extra == named
    assert extra == {
        "uri": f"file://{tmp_path}/1.png",
        "images": "1",
        "job_id": result["job_id"],
        "model": "flux-2-flex",
        "seed": "7",
        "prompt_sha256": hashlib.sha256(b"a poster").hexdigest(),
        "sha256": result["images"][0]["sha256"],
        "credits": "12",
    }


def test_each_mapped_task_saves_its_own_image(connected, run_dag, tmp_path):
    run = run_dag(
        "saved_mapped",
        f"""{HEAD}
    with DAG("saved_mapped", schedule=None):
        images = FluxGenerateOperator.partial(
            task_id="images", poll_interval=0.05, save_to="{tmp_path}/"
        ).expand(prompt=["a mug", "a cap"])

        @task
        def use(images):
            return [image["images"][0]["uri"] for image in images]

        use(images.output)
    """,
    )
    uris = run.xcom("use")
    assert len({*uris}) == 2
    assert len(list(tmp_path.glob("saved_mapped/*/images-*/*.png"))) == 2


def test_the_lineage_has_the_saved_image_and_no_prompt(connected, run_dag, tmp_path):
    run = run_dag(
        "saved_lineage",
        f"""{HEAD}
    from airflow.providers.common.compat.lineage import hook as lineage

    class Collector:
        outputs = []
        def add_input_asset(self, context, uri): self.outputs.append(["in", uri])
        def add_output_asset(self, context, uri): self.outputs.append(["out", uri])

    class Operator(FluxGenerateOperator):
        def execute(self, context):
            lineage.get_hook_lineage_collector = Collector
            return {{**super().execute(context), "lineage": Collector.outputs}}

    with DAG("saved_lineage", schedule=None):
        Operator(
            task_id="poster", prompt="a poster", poll_interval=0.05,
            save_to="{tmp_path}/poster.{{ext}}",
        )
    """,
    )
    assert run.xcom("poster")["lineage"] == [["out", f"file://{tmp_path}/poster.png"]]
