"""A catalogue in one task: each product of a list gets its image, and a manifest says which is
whose.

The list may have 10,000 products, and may as well be a file: ``requests="s3://shop/products.csv"``
with the columns ``id``, ``prompt`` and any parameter of the model. One that Apiframe refuses loses
no other. A retry pays for nothing twice, and the next task reads from the manifest what was made.
"""

from __future__ import annotations

import json
from typing import Any

from airflow.providers.common.compat.sdk import DAG, ObjectStoragePath, Param, task

from airflow_provider_apiframe.operators.batch import FluxGenerateBatchOperator

with DAG(
    "example_batch",
    schedule=None,
    params={
        "products": Param(
            {"sku-1001": "a red running shoe", "sku-1002": "a steel water bottle"},
            title="Products",
            description="What each SKU is",
            type="object",
            minProperties=1,
            additionalProperties={"type": "string", "minLength": 1},
        ),
        # A local folder, so that the example runs without a bucket. The task after the batch reads
        # the manifest from it: with several workers it must be a bucket.
        "output": Param(
            "/tmp/apiframe-batch/",
            title="Where everything is saved",
            description="A folder, such as s3://shop/images/",
            type="string",
            pattern="/$",
        ),
    },
    tags=["example", "apiframe"],
    doc_md=__doc__,
):

    @task
    def products(params: dict[str, Any]) -> list[dict[str, Any]]:
        """One request per product."""
        return [
            {"id": sku, "prompt": f"Studio photo of {product}, plain white background"}
            for sku, product in params["products"].items()
        ]

    images = FluxGenerateBatchOperator(
        task_id="images",
        requests=products(),
        flux_params={"aspect_ratio": "1:1", "resolution": "1 MP", "output_format": "jpg"},
        save_to="{{ params.output }}",
        max_credits=10_000,
        min_success=0.9,  # of all; with fewer the task fails, and a retry makes what is missing
        retries=3,
    )

    @task
    def publish(manifest: str) -> dict[str, str]:
        """Return which image is whose."""
        text = ObjectStoragePath(manifest).read_text()
        lines = [json.loads(line) for line in text.split("\n") if line]
        return {line["id"]: line["images"][0]["uri"] for line in lines if line["images"]}

    publish(images.output["manifest"])
