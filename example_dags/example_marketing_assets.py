"""A campaign: every product for every channel, one mapped task per image, then one task that
receives them all.

Trigger it with other products and channels, and it makes other images. The last task fetches them
into ``output_dir`` and writes ``manifest.json`` beside them: which prompt gave which file, from
which job, for how many credits.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from airflow.providers.common.compat.sdk import DAG, Param, task

from airflow_provider_apiframe.hooks.apiframe import ApiframeHook
from airflow_provider_apiframe.operators.flux import FluxGenerateOperator

with DAG(
    "example_marketing_assets",
    schedule=None,
    params={
        "headline": Param("SUMMER SALE", type="string", minLength=1, maxLength=60),
        "products": Param(["running shoes", "sunglasses"], type="array", items={"type": "string"}),
        "channels": Param({"story": "9:16", "feed": "1:1", "banner": "16:9"}, type="object"),
        "style": Param("modern design, bold type, vibrant colors", type="string"),
        "output_dir": Param("/tmp/apiframe-marketing-assets", type="string"),
    },
    tags=["example", "apiframe"],
    doc_md=__doc__,
):

    @task
    def plan(params: dict[str, Any]) -> list[dict[str, Any]]:
        """One set of operator arguments per image."""
        text = f'bold text reading "{params["headline"]}", {params["style"]}'
        return [
            {
                "prompt": f"{product.capitalize()} for the {channel}, {text}",
                "flux_params": {"aspect_ratio": ratio, "output_format": "png", "steps": 30},
            }
            for product in params["products"]
            for channel, ratio in params["channels"].items()
        ]

    images = FluxGenerateOperator.partial(
        task_id="images", poll_interval=1.0, retries=3
    ).expand_kwargs(plan())

    @task
    def collect(images: list[dict[str, Any]], params: dict[str, Any]) -> str:
        """Fetch all images and write the manifest; return the manifest's path."""
        folder = Path(params["output_dir"])
        hook = ApiframeHook()
        manifest = []
        for image in images:
            for url in image["image_urls"]:
                file = hook.download(url, f"{folder}/")
                manifest.append(
                    {
                        "file": file.path.name,
                        "bytes": file.bytes,
                        "sha256": file.sha256,
                        "url": url,
                        "prompt": image["prompt"],
                        "job_id": image["job_id"],
                        "credit_cost": image["credit_cost"],
                    }
                )
        path = folder / "manifest.json"
        path.write_text(json.dumps(manifest, indent=2))
        return str(path)

    collect(images.output)
