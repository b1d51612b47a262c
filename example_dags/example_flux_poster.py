"""One poster with Flux 2 Flex, and a task that gets its link.

Needs the connection ``apiframe_default``. Change the headline when you trigger the DAG. Links die;
``save_to="s3://bucket/posters/"`` keeps the image where all workers see it.
"""

from __future__ import annotations

from airflow.providers.common.compat.sdk import DAG, Param, task

from airflow_provider_apiframe.operators.flux import FluxGenerateOperator

with DAG(
    "example_flux_poster",
    schedule=None,
    params={"headline": Param("SUMMER SALE", type="string", minLength=1, maxLength=60)},
    tags=["example", "apiframe"],
    doc_md=__doc__,
):
    poster = FluxGenerateOperator(
        task_id="poster",
        prompt=(
            'A poster with bold text reading "{{ params.headline }}", modern design, vibrant colors'
        ),
        flux_params={
            "aspect_ratio": "9:16",
            "resolution": "1 MP",
            "steps": 30,
            "guidance": 4.5,
            "output_format": "png",
        },
        retries=3,  # they cost nothing: a retry finds the job again
    )

    @task
    def publish(image_urls: list[str]) -> None:
        print(f"Publishing {image_urls[0]}")

    publish(poster.output["image_urls"])
