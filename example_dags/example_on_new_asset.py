"""A DAG that runs when an image is there: the event of the asset says where it lies.

The first DAG makes a poster and saves it; its outlet is the asset ``apiframe-posters``. The second
one is scheduled on that asset and reads the image from the event: no task passes anything on, and
the two DAGs may belong to two teams.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from airflow.providers.common.compat.sdk import DAG, Asset, ObjectStoragePath, Param, task

from airflow_provider_apiframe.operators.flux import FluxGenerateOperator

posters = Asset("apiframe-posters")

with DAG(
    "example_new_poster",
    schedule=None,
    params={
        "headline": Param("NEW IN", title="Headline", type="string", minLength=1, maxLength=60),
        # A local folder, so that the example runs without a bucket. With several workers `look` may
        # run where the poster is not, and fail.
        "output": Param(
            "/tmp/apiframe-posters/",
            title="Where the poster is saved",
            description="A folder, such as s3://bucket/posters/. A local one is seen by the second "
            "DAG only where both run on one machine",
            type="string",
            pattern="/$",
        ),
    },
    tags=["example", "apiframe"],
    doc_md=__doc__,
):
    FluxGenerateOperator(
        task_id="poster",
        prompt='A poster with bold text reading "{{ params.headline }}", screen print, two colors',
        flux_params={"aspect_ratio": "3:4", "seed": 11, "output_format": "png"},
        save_to="{{ params.output }}",
        outlets=[posters],
        retries=3,
    )

with DAG(
    "example_on_new_asset",
    schedule=[posters],
    start_date=datetime(2026, 1, 1, tzinfo=UTC),  # Airflow 2 wants one of all that it schedules
    tags=["example", "apiframe"],
    doc_md=__doc__,
):

    @task(retries=3)
    def look(**context: Any) -> list[dict[str, Any]]:
        """Open each new poster; Airflow 2 calls its assets datasets."""
        events = context.get("triggering_asset_events") or context["triggering_dataset_events"]
        found = []
        for event in (event for of_one_asset in events.values() for event in of_one_asset):
            path = ObjectStoragePath(event.extra["uri"])
            found.append({**event.extra, "bytes": path.stat().st_size})
            print(f"New poster: {path}, seed {event.extra['seed']}")
        return found

    look()
