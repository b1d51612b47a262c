"""Saved images as Airflow's assets: what a task's outlets and the lineage say of them."""

from __future__ import annotations

import hashlib
import logging
import string
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from airflow_provider_apiframe.api.params.references import is_url
from airflow_provider_apiframe.api.redirects import without_secrets
from airflow_provider_apiframe.delivery.batch_result import BatchResult
from airflow_provider_apiframe.delivery.result import ImageJobResult
from airflow_provider_apiframe.hooks.object_store import split_connection

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import BaseHook, BaseOperator, Context

log = logging.getLogger(__name__)


def report_saved_images(
    task: BaseOperator,
    context: Context,
    hook: BaseHook,
    result: ImageJobResult,
    *,
    seed: int | None = None,
    inputs: Iterable[str] = (),
) -> None:
    """Tell Airflow's assets and lineage which images a task saved.

    The events of the task's outlets get an extra, one event per task whatever the number of images:
    on Airflow 3.4 each event may start a run of its own. An ``AssetAlias`` among the outlets gets
    the first image's own asset. The extra is flat and all text, as asset filters want it: ``uri``,
    ``images`` (their number), ``job_id``, ``model``, ``seed``, ``prompt_sha256``, ``sha256`` and
    ``credits``, as far as they are known. Nothing is told of images that were not saved.
    What Airflow refuses to hear is a warning in the log: the image is paid and saved.

    :param seed: the one that was asked for.
    :param inputs: URLs and paths of the reference images. Told without queries and connections: a
        signed link is a secret.
    """
    uris = [image["uri"] for image in result["images"] if image["uri"]]
    if uris:
        _report(task, context, hook, uris, _extra(result, seed), inputs)


def report_saved_batch(
    task: BaseOperator,
    context: Context,
    hook: BaseHook,
    result: BatchResult,
    *,
    inputs: Iterable[str] = (),
) -> None:
    """Tell Airflow's assets and lineage of the manifest of a batch, which names all its images.

    As :func:`report_saved_images`, with the manifest in place of the image. The extra is ``uri``,
    ``requests``, ``succeeded``, ``failed``, ``unfinished`` (numbers) and ``credits``.

    :param inputs: URLs and paths of the reference images.
    """
    names = {"uri": "manifest", "requests": "total", "credits": "credit_cost"}
    names |= {name: name for name in ("succeeded", "failed", "unfinished")}
    values: Mapping[str, Any] = result
    extra = {name: str(values[key]) for name, key in names.items() if values[key] is not None}
    _report(task, context, hook, [result["manifest"]], extra, inputs)


def _report(
    task: BaseOperator,
    context: Context,
    hook: BaseHook,
    uris: list[str],
    extra: dict[str, Any],
    inputs: Iterable[str],
) -> None:
    # Not at the module's top: a DAG file that has no asset should not pay for the import.
    from airflow.providers.common.compat.lineage.hook import get_hook_lineage_collector
    from airflow.providers.common.compat.sdk import Asset, AssetAlias

    for outlet in task.outlets or ():
        with _warning_at_worst(f"The event of {outlet!r}"):
            if isinstance(outlet, AssetAlias):
                context["outlet_events"][outlet].add(Asset(_ascii(uris[0])), extra=extra)
            elif isinstance(outlet, Asset):
                context["outlet_events"][outlet].extra.update(extra)
    with _warning_at_worst("The lineage"):
        collector: Any = get_hook_lineage_collector()
        for uri in inputs:
            collector.add_input_asset(context=hook, uri=_ascii(_shown(uri)))
        for uri in uris:
            collector.add_output_asset(context=hook, uri=_ascii(uri))


@contextmanager
def _warning_at_worst(what: str) -> Iterator[None]:
    """Keep a task whose image is paid and saved from failing because nobody could be told of it."""
    try:
        yield
    except Exception as error:  # of Airflow, which has rules for URIs, or of a plugin
        log.warning("%s does not say what was saved: %s", what, error)


def _ascii(uri: str) -> str:
    """Return *uri* with other letters percent-encoded: Airflow 2 refuses them in an asset."""
    return quote(uri, safe=string.punctuation + " ")


def _shown(reference: str) -> str:
    if is_url(reference):
        return without_secrets(reference)
    plain = split_connection(reference)[1]
    return f"file://{plain}" if plain.startswith("/") else plain


def _extra(result: ImageJobResult, seed: int | None) -> dict[str, Any]:
    image, prompt = result["images"][0], result["prompt"]
    known = {
        "uri": image["uri"],
        "images": len(result["images"]),
        "job_id": result["job_id"],
        "model": result["model"],
        "seed": seed,
        "prompt_sha256": hashlib.sha256(prompt.encode()).hexdigest() if prompt else None,
        "sha256": image["sha256"],
        "credits": result["credit_cost"],
    }
    return {name: str(value) for name, value in known.items() if value is not None}
