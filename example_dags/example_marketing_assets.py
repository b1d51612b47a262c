"""A campaign: every product for every channel, saved under readable names, in the sizes that the
web shop wants, with a manifest and a contact sheet beside them.

Trigger it with other products and channels, and it makes other images. One that Apiframe refuses
does not lose the others: the last task writes down what was made and what was not. Its tasks read
what others saved, so with several workers set ``output`` to a bucket
(``s3://brand-assets/campaigns/``): the local folder that it is by default is for one machine.
"""

from __future__ import annotations

import html
import json
import logging
import re
from typing import Any

from airflow.providers.common.compat.sdk import (
    DAG,
    AirflowFailException,
    ObjectStoragePath,
    Param,
    task,
)

from airflow_provider_apiframe.operators.flux import FluxGenerateOperator
from airflow_provider_apiframe.operators.variants import image_variants

log = logging.getLogger(__name__)

VARIANTS: dict[str, Any] = {
    "web": {"size": "1200x1200", "fit": "contain", "format": "webp", "quality": 85},
    "thumbnail": {"size": "320x320", "fit": "pad", "format": "jpg"},
}


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


def contact_sheet(headline: str, images: list[dict[str, Any]]) -> str:
    """A page that shows all thumbnails; its links are relative, so it may lie in a bucket."""
    cells = "\n".join(
        '<figure><a href="{file}"><img src="{thumbnail}" alt="{prompt}"></a>'
        "<figcaption>{name}</figcaption></figure>".format(
            **{key: html.escape(str(image[key]), quote=True) for key in ("file", "prompt", "name")},
            thumbnail=html.escape(image["variants"].get("thumbnail", image["file"]), quote=True),
        )
        for image in images
    )
    style = "body{font:16px sans-serif;margin:2em}figure{display:inline-block;margin:1em}"
    title = html.escape(headline)
    return (
        f"<!doctype html><meta charset=utf-8><title>{title}</title><style>{style}</style>"
        f"<h1>{title}</h1>\n{cells}\n"
    )


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
        # A local folder, so that the example runs without a bucket. With several workers
        # `image_variants` and `collect` may run where the images are not, and fail.
        "output": Param(
            "/tmp/apiframe-marketing-assets/",
            title="Where everything is saved",
            description="A folder, such as s3://brand-assets/campaigns/; each run gets one in it. "
            "A local one is seen by all tasks only where they run on one machine",
            type="string",
            pattern="/$",
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
                "save_to": f"{params['output']}{{run_id}}/{image['name']}.{{ext}}",
            }
            for image in campaign(params)
        ]

    images = FluxGenerateOperator.partial(
        task_id="images",
        poll_interval=1.0,
        retries=3,  # they cost nothing: a retry finds the job again
    ).expand_kwargs(plan())

    # Of each image that was made; one that was refused must not stop the others.
    variants = image_variants(images.output, VARIANTS, trigger_rule="all_done", retries=3)

    @task(trigger_rule="all_done", retries=3)
    def collect(
        images: list[dict[str, Any]], variants: list[dict[str, str]], params: dict[str, Any]
    ) -> str:
        """Write the manifest and the contact sheet; return where the manifest is."""
        made = {image["prompt"]: image for image in images}
        resized = {uri for each in variants for uri in each.values()}
        manifest: dict[str, list[Any]] = {"images": [], "refused": []}
        for wanted in campaign(params):
            image = made.get(wanted["prompt"])
            if image is None:
                manifest["refused"].append(wanted["name"])
                continue
            (saved,) = image["images"]
            stem = saved["uri"].rpartition(".")[0]
            manifest["images"].append(
                {
                    "name": wanted["name"],
                    "file": saved["uri"].rpartition("/")[2],
                    "variants": {
                        name: uri.rpartition("/")[2]
                        for name in VARIANTS
                        for uri in resized
                        if uri.startswith(f"{stem}-{name}.")
                    },
                    **{key: saved[key] for key in ("uri", "width", "height", "bytes", "sha256")},
                    **{key: image[key] for key in ("prompt", "model", "job_id", "credit_cost")},
                }
            )
        if manifest["refused"]:
            log.warning("Not made, see the logs of their tasks: %s", ", ".join(manifest["refused"]))
        if not manifest["images"]:
            raise AirflowFailException("No image was made")  # a retry would not find one either
        folder = ObjectStoragePath(manifest["images"][0]["uri"].rpartition("/")[0])
        page = contact_sheet(params["headline"], manifest["images"])
        (folder / "contact-sheet.html").write_text(page)
        (folder / "manifest.json").write_text(json.dumps(manifest, indent=2))
        return str(folder / "manifest.json")

    collect(images.output, variants)
