"""Several models and tools in one pipeline: two models paint the same product, and one of the
images is made larger, cut out, and put on a wider stage.

Any of Apiframe's image models will do: give its id and its parameters. What a task returns is what
the next one takes, by its link; nothing has to be saved in between.
"""

from __future__ import annotations

from typing import Any

from airflow.providers.common.compat.sdk import DAG, Param, task

from airflow_provider_apiframe.operators.image import ImageGenerateOperator
from airflow_provider_apiframe.operators.image_tools import (
    ImageBackgroundRemoveOperator,
    ImageEditOperator,
    ImageUpscaleOperator,
    MidjourneyActionOperator,
)

with DAG(
    "example_image_models",
    schedule=None,
    params={
        "product": Param("a red running shoe", title="Product", type="string", minLength=1),
        "output": Param(
            "/tmp/apiframe-image-models/",
            title="Where the last images are saved",
            description="A folder, such as s3://bucket/products/. A local one is on the worker "
            "that makes the image, and seen there only",
            type="string",
            pattern="/$",
        ),
    },
    tags=["example", "apiframe"],
    doc_md=__doc__,
):
    photo = ImageGenerateOperator(
        task_id="photo",
        model="seedream-4.5",
        prompt="Studio photo of {{ params.product }}, plain white background",
        params={"aspect_ratio": "1:1", "seed": 7},
        retries=3,  # they cost nothing: a retry finds the job again
    )

    # Midjourney makes four images; an action takes one of them.
    sketches = ImageGenerateOperator(
        task_id="sketches",
        model="midjourney",
        prompt="Ink sketch of {{ params.product }}",
        params={"aspect_ratio": "1:1"},
        retries=3,
    )
    sketch = MidjourneyActionOperator(
        task_id="sketch",
        parent_job_id=sketches.output["job_id"],
        action="upsample",
        index=2,
        retries=3,
        save_to="{{ params.output }}{run_id}/sketch.{ext}",
    )

    large = ImageUpscaleOperator(
        task_id="large", image=photo.output, params={"upscale_factor": 2}, retries=3
    )
    cut_out = ImageBackgroundRemoveOperator(
        task_id="cut_out",
        image=large.output,
        retries=3,
        save_to="{{ params.output }}{run_id}/cut-out.{ext}",
    )
    stage = ImageEditOperator(
        task_id="stage",
        image=photo.output,
        prompt="the same studio, wider",
        mode="outpaint",
        outpaint="Zoom out 1.5x",
        params={"output_format": "png"},
        retries=3,
        save_to="{{ params.output }}{run_id}/stage.{ext}",
    )

    @task
    def publish(results: list[dict[str, Any]]) -> list[str]:
        uris = [str(image["uri"]) for result in results for image in result["images"]]
        print("Publishing", *uris)
        return uris

    publish([sketch.output, cut_out.output, stage.output])
