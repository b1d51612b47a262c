"""The link "Image"."""

from __future__ import annotations

import logging
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

from airflow.providers.common.compat.sdk import conf

from airflow_provider_apiframe.delivery.result import ImageJobResult
from airflow_provider_apiframe.hooks.gallery_paths import GALLERY
from airflow_provider_apiframe.hooks.public_urls import public_url
from airflow_provider_apiframe.links.base import StoredLink
from airflow_provider_apiframe.version_compat import has_external_views, region_of

log = logging.getLogger(__name__)


class ImageLink(StoredLink):
    """Leads to the task's first image, once it is delivered.

    Of a saved image that is its public address (``[apiframe] public_urls``), else the gallery's
    view of it (Airflow 3.1+); of all others the vendor's link, which dies.
    """

    name = "Image"


def image_url(result: ImageJobResult, ti: Any) -> str:
    """Return where the first image of a delivered job can be seen.

    :param ti: the task instance whose ``return_value`` is *result*.
    """
    image = result["images"][0]
    if image["uri"] is None:
        return image["url"]
    if public := public_url(image["uri"]):
        return public
    return gallery_url(ti, n=1) if has_external_views() else image["url"]


def gallery_url(ti: Any, *, n: int) -> str:
    """Return the gallery's view of an image: a path on Airflow's own host, with the base path that
    ``[api] base_url`` has.

    :param n: which image of the task instance, from 1.
    """
    query: dict[str, str | int] = {
        "dag_id": ti.dag_id,
        "run_id": ti.run_id,
        "task_id": ti.task_id,
        "map_index": ti.map_index,
        "n": n,
    }
    if region := region_of(ti):
        query["region_id"], query["region_index"] = region
    return f"{_base_path()}{GALLERY}?{urlencode(query, quote_via=quote)}"


def _base_path() -> str:
    try:
        return urlsplit(conf.get("api", "base_url", fallback="") or "").path.rstrip("/")
    except Exception as error:  # no URL, or a stray % in airflow.cfg: the image is paid
        log.warning("[api] base_url cannot be read: %s", error)
        return ""
