"""``@task.flux``: a function writes the prompt, and the task makes the image.

Each product gets a poster of its own: the function is mapped over what another task read. It
returns the arguments of one image, and must return the same on a retry, which then finds its job
again and pays nothing.
"""

from __future__ import annotations

from typing import Any

from airflow.providers.common.compat.sdk import DAG, Param, task

with DAG(
    "example_taskflow",
    schedule=None,
    params={
        # A local folder, so that the example runs without a bucket.
        "output": Param(
            "/tmp/apiframe-taskflow/",
            title="Where the posters are saved",
            description="A folder, such as s3://brand-assets/posters/. A local one is on the "
            "worker that makes the poster, and seen there only",
            type="string",
            pattern="/$",
        ),
    },
    tags=["example", "apiframe"],
    doc_md=__doc__,
):

    @task
    def products() -> list[dict[str, Any]]:
        return [
            {"sku": "M-1", "name": "a red mug", "seed": 7},
            {"sku": "C-2", "name": "a blue cap", "seed": 11},
        ]

    @task.flux(
        flux_params={"aspect_ratio": "9:16", "output_format": "png"},
        max_credits=100,
        retries=3,  # they cost nothing: a retry finds the job again
    )
    def poster(product: dict[str, Any], params: dict[str, Any]) -> dict[str, Any]:
        return {
            "prompt": f"A poster of {product['name']}, bold type, vibrant colors",
            "flux_params": {"seed": product["seed"]},
            "save_to": f"{params['output']}{{run_id}}/{product['sku']}.{{ext}}",
        }

    @task
    def publish(result: dict[str, Any]) -> str:
        uri = str(result["images"][0]["uri"])
        print(f"Publishing {uri}")
        return uri

    publish.expand(result=poster.expand(product=products()))
