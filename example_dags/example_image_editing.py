"""A reference image in, variations out: one product photo is put into several scenes, and each
scene goes to a task of its own.

``input_images`` takes what an earlier task returned, as here, a path in a storage such as
``s3://bucket/photos/shoe.png``, or a link; a list may mix them. A file is uploaded to Apiframe
right before the job is submitted, and a retry finds its job all the same.
"""

from __future__ import annotations

from typing import Any

from airflow.providers.common.compat.sdk import DAG, Param, task

from airflow_provider_apiframe.operators.flux import FluxGenerateOperator

SCENES = ["on wet asphalt at night", "on a beach at sunrise", "in a bright gym"]


def saved_at(result: dict[str, Any]) -> str:
    """Where the first image of a task's result was saved."""
    return str(result["images"][0]["uri"])


with DAG(
    "example_image_editing",
    schedule=None,
    params={
        "product": Param("a red running shoe", title="Product", type="string", minLength=1),
        # A local folder, so that the example runs without a bucket. No task reads from it: the
        # scenes take the photo by its link. With several workers each scene would lie on one.
        "output": Param(
            "/tmp/apiframe-image-editing/",
            title="Where the scenes are saved",
            description="A folder, such as s3://bucket/products/. A local one is on the worker "
            "that makes the scene, and seen there only",
            type="string",
            pattern="/$",
        ),
    },
    tags=["example", "apiframe"],
    doc_md=__doc__,
):
    photo = FluxGenerateOperator(
        task_id="photo",
        prompt="Studio photo of {{ params.product }}, plain white background",
        flux_params={"aspect_ratio": "1:1", "output_format": "png"},
        retries=3,
    )

    scenes = FluxGenerateOperator.partial(
        task_id="scenes",
        flux_params={"input_images": photo.output, "aspect_ratio": "16:9"},
        save_to="{{ params.output }}{run_id}/scene-{map_index}.{ext}",
        retries=3,
    ).expand(prompt=[f"The same product {scene}" for scene in SCENES])

    @task
    def publish(uri: str) -> str:
        print(f"Publishing {uri}")
        return uri

    # Airflow maps over whole results, not over one of their keys (`scenes.output["images"]`), so
    # `map` takes from each result what the next task gets. A task that takes `scenes.output` itself
    # gets all results at once.
    publish.expand(uri=scenes.output.map(saved_at))
