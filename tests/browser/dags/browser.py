"""The DAGs that the browser looks at."""

from __future__ import annotations

import os
from typing import Any

from airflow.sdk import DAG, task

from airflow_provider_apiframe.operators.flux import FluxGenerateOperator
from airflow_provider_apiframe.operators.review import review_images

SAVED = f"{os.environ['AIRFLOW_HOME']}/saved/"

with DAG("poster", schedule=None, params={"prompt": "A poster"}):
    FluxGenerateOperator(
        task_id="poster", prompt="{{ params.prompt }}", deferrable=True, poll_interval=0.5
    )

with DAG("campaign", schedule=None, params={"prompts": ["A shoe"]}):

    @task
    def plan(params: dict[str, Any]) -> list[str]:
        return list(params["prompts"])

    FluxGenerateOperator.partial(
        task_id="images", poll_interval=0.5, save_to=SAVED, map_index_template="{{ task.prompt }}"
    ).expand(prompt=plan())

with DAG("without_images", schedule=None):

    @task
    def nothing() -> None:
        pass

    nothing()

with DAG("approval", schedule=None, params={"prompt": "A poster"}):
    chosen = review_images(
        2, prompt="{{ params.prompt }}", rounds=2, save_to=SAVED, poll_interval=0.5
    )

    @task
    def publish(prompt: str, image: int) -> str:
        return f"image {image} of {prompt}"

    publish(chosen["prompt"], chosen["image"])

# Its tasks never run: a test says what they made.
with DAG("many", schedule=None):
    FluxGenerateOperator.partial(task_id="images", pool="closed").expand(
        prompt=[f"Poster number {number}" for number in range(500)]
    )
