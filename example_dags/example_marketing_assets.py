"""A campaign: every product for every channel, one mapped task per image, then one task that
collects what was made.

Trigger it with other products and channels, and it makes other images. One that Apiframe refuses
does not lose the others: the last task fetches those that were made into a folder of the run, named
by product and channel, and writes ``manifest.json`` beside them: which prompt made which file, from
which job, for how many credits, and what was refused.
"""

from __future__ import annotations

import json
import logging
import re
from pathlib import Path
from typing import Any

from airflow.providers.common.compat.sdk import DAG, Param, task

from airflow_provider_apiframe.hooks.apiframe import ApiframeHook
from airflow_provider_apiframe.operators.flux import FluxGenerateOperator

log = logging.getLogger(__name__)


def campaign(params: dict[str, Any]) -> list[dict[str, str]]:
    """One entry per image: product, channel, ratio and prompt."""
    text = f'bold text reading "{params["headline"]}", {params["style"]}'
    return [
        {
            "name": "-".join(re.findall(r"\w+", f"{product} {channel}".lower())),
            "ratio": ratio,
            "prompt": f"{product.capitalize()} for the {channel}, {text}",
        }
        for product in params["products"]
        for channel, ratio in params["channels"].items()
    ]


with DAG(
    "example_marketing_assets",
    schedule=None,
    params={
        "headline": Param(
            "SUMMER SALE",
            title="Headline",
            description="The words that the images show",
            type="string",
            minLength=1,
            maxLength=60,
        ),
        "products": Param(
            ["running shoes", "sunglasses"],
            title="Products",
            description="One row of images for each",
            type="array",
            minItems=1,
            items={"type": "string", "minLength": 1},
        ),
        "channels": Param(
            {"story": "9:16", "feed": "1:1", "banner": "16:9"},
            title="Channels",
            description='Name and aspect ratio of each, such as {"story": "9:16"}',
            type="object",
            minProperties=1,
            additionalProperties={"type": "string", "pattern": "^[1-9][0-9]*:[1-9][0-9]*$"},
        ),
        "style": Param(
            "modern design, bold type, vibrant colors",
            title="Style",
            description="The end of every prompt",
            type="string",
        ),
        "output_dir": Param(
            "/tmp/apiframe-marketing-assets",
            title="Output folder",
            description="On the worker; each run gets a folder in it",
            type="string",
            minLength=1,
        ),
    },
    tags=["example", "apiframe"],
    doc_md=__doc__,
):

    @task
    def plan(params: dict[str, Any]) -> list[dict[str, Any]]:
        """One set of operator arguments per image."""
        return [
            {
                "prompt": image["prompt"],
                "flux_params": {
                    "aspect_ratio": image["ratio"],
                    "output_format": "png",
                    "steps": 30,
                },
            }
            for image in campaign(params)
        ]

    images = FluxGenerateOperator.partial(
        task_id="images", poll_interval=1.0, retries=3
    ).expand_kwargs(plan())

    @task(trigger_rule="all_done", retries=3)
    def collect(images: list[dict[str, Any]], params: dict[str, Any], run_id: str) -> str:
        """Fetch what was made and write the manifest; return the manifest's path."""
        folder = Path(params["output_dir"], re.sub(r"[^\w.-]", "_", run_id))
        made = {image["prompt"]: image for image in images}
        hook = ApiframeHook()
        manifest: dict[str, list[Any]] = {"images": [], "refused": []}
        for wanted in campaign(params):
            image = made.get(wanted["prompt"])
            if image is None:
                manifest["refused"].append(wanted["name"])
                continue
            file = hook.download(image["image_urls"][0], folder / f"{wanted['name']}.png")
            manifest["images"].append(
                {
                    "file": file.path.name,
                    "bytes": file.bytes,
                    "sha256": file.sha256,
                    "url": image["image_urls"][0],
                    "prompt": image["prompt"],
                    "job_id": image["job_id"],
                    "credit_cost": image["credit_cost"],
                }
            )
        if manifest["refused"]:
            log.warning("Not made, see the logs of their tasks: %s", ", ".join(manifest["refused"]))
        if not manifest["images"]:
            raise RuntimeError("No image was made")
        path = folder / "manifest.json"
        path.write_text(json.dumps(manifest, indent=2))
        return str(path)

    collect(images.output)
