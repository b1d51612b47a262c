"""Submit now, collect later: the first task only orders the image, a sensor waits for it, the next
task reads the links.

Between the two the DAG can do other work, and the sensor can be retried as often as needed: polling
a job is free. With ``save_to="s3://bucket/windows/"`` the sensor keeps the images where all workers
see them; their links die.
"""

from __future__ import annotations

from airflow.providers.common.compat.sdk import DAG, task

from airflow_provider_apiframe.operators.flux import FluxGenerateOperator
from airflow_provider_apiframe.sensors.job import ApiframeJobSensor

with DAG(
    "example_submit_then_collect", schedule=None, tags=["example", "apiframe"], doc_md=__doc__
):
    submit = FluxGenerateOperator(
        task_id="submit",
        prompt="A tidy shop window at dusk, warm light, 35mm photograph",
        flux_params={"aspect_ratio": "16:9", "output_format": "jpg", "output_quality": 90},
        wait_for_completion=False,
        retries=3,
    )

    collect = ApiframeJobSensor(
        task_id="collect",
        job_id=submit.output["job_id"],
        mode="reschedule",
        poke_interval=5,
        retries=3,
    )

    @task
    def use(image_urls: list[str], credit_cost: float | None) -> None:
        print(f"{len(image_urls)} image(s) for {credit_cost} credits: {', '.join(image_urls)}")

    use(collect.output["image_urls"], collect.output["credit_cost"])
