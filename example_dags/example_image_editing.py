"""A reference image in, variations out: one product photo is put into several scenes.

``input_images`` takes what an earlier task returned, as here, a path in a storage such as
``s3://bucket/photos/shoe.png``, or a link; a list may mix them. A file is uploaded to Apiframe
right before the job is submitted, and a retry finds its job all the same.
"""

from __future__ import annotations

from airflow.providers.common.compat.sdk import DAG, Param, task

from airflow_provider_apiframe.operators.flux import FluxGenerateOperator

SCENES = ["on wet asphalt at night", "on a beach at sunrise", "in a bright gym"]

with DAG(
    "example_image_editing",
    schedule=None,
    params={
        "product": Param("a red running shoe", title="Product", type="string", minLength=1),
        "output": Param(
            "/tmp/apiframe-image-editing/",
            title="Where the images are saved",
            description="A folder, such as s3://bucket/products/. A local one is seen by all tasks "
            "only where they run on one machine",
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
        save_to="{{ params.output }}{run_id}/photo.{ext}",
        retries=3,
    )

    scenes = FluxGenerateOperator.partial(
        task_id="scenes",
        flux_params={"input_images": photo.output, "aspect_ratio": "16:9"},
        save_to="{{ params.output }}{run_id}/scene-{map_index}.{ext}",
        retries=3,
    ).expand(prompt=[f"The same product {scene}" for scene in SCENES])

    @task
    def publish(images: list[dict]) -> list[str]:
        """Return where all scenes are."""
        return [image["images"][0]["uri"] for image in images]

    publish(scenes.output)
