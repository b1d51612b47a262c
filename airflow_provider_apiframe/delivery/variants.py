"""Variants of a stored image: other sizes and formats, each a file of its own beside it."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from airflow_provider_apiframe.api.errors import InvalidRequestError
from airflow_provider_apiframe.api.validation import truncated_repr
from airflow_provider_apiframe.delivery.image_structure import has_credentials
from airflow_provider_apiframe.delivery.resize import (
    CONTENT_TYPES,
    DecodedImage,
    read_image,
    require_pillow,
    write_image,
)
from airflow_provider_apiframe.delivery.variant_arguments import Variant, literal_if_text
from airflow_provider_apiframe.delivery.xmp import (
    SOURCE_TYPE,
    TRAINED_ALGORITHMIC_MEDIA,
    new_packet,
)
from airflow_provider_apiframe.hooks.object_store import (
    StorageError,
    local_copy,
    put,
    split_connection,
    storage_path,
)

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Target:
    """A variant that is to be made.

    :param key: its key in the returned mapping.
    :param path: where it goes, without the extension, which the source may decide.
    :param variant: how it looks.
    """

    key: str
    path: str
    variant: Variant


def make_variants(
    result: Any,
    variants: Mapping[str, Variant],
    *,
    save_to: str | None = None,
    save_conn_id: str | None = None,
) -> dict[str, str]:
    """Make each variant of each image of *result* and return where they are.

    One image is in memory at a time, with one variant of it. Doing it again replaces each file by
    the same bytes.

    :param result: an :class:`airflow_provider_apiframe.delivery.result.ImageJobResult`, or its text
        as a template gives it.
    :param variants: name -> how it looks.
    :param save_to: a folder that ends with "/"; default: the folder of the image.
    :param save_conn_id: id of the connection for what names none itself. Images are read by the
        connection of *save_to* where there is no other and the scheme is the same.
    :returns: name -> URI, without a connection. The variants of the second image of a result have
        "-2" behind their names, those of the third "-3".
    :raises InvalidRequestError: *result* is none, or its images were not stored.
    :raises MissingLibraryError: Pillow is not installed.
    :raises ImageError: an image cannot be decoded, or not be written as asked.
    :raises StorageError: a file could not be read or written; it may be transient.
    """
    sources = stored_images(result)
    plan = plan_targets(sources, variants, save_to)
    require_pillow()
    made: dict[str, str] = {}
    try:
        with tempfile.TemporaryDirectory(prefix="apiframe-") as folder:
            for source, targets in zip(sources, plan, strict=True):
                conn_id = save_conn_id or _connection_for(source, save_to)
                image = _read(source, conn_id, Path(folder))
                for target in targets:
                    made[target.key] = _make(image, target, save_conn_id, Path(folder))
                del image  # before the next one is decoded
    except OSError as error:
        raise StorageError(f"The worker's own disk: {error}", transient=True) from None
    return made


def _read(source: str, conn_id: str | None, folder: Path) -> DecodedImage:
    copy = folder / "source"
    local_copy(storage_path(source, conn_id), copy)
    image = read_image(copy, split_connection(source)[1])
    if image.xmp is None and has_credentials(copy):
        # They cannot survive an edit; that AI made the image still holds.
        return replace(image, xmp=new_packet({SOURCE_TYPE: TRAINED_ALGORITHMIC_MEDIA}))
    return image


def _make(image: DecodedImage, target: Target, conn_id: str | None, folder: Path) -> str:
    variant = target.variant
    image_format = variant.format or image.format
    path = f"{target.path}.{image_format}"
    uri = split_connection(path)[1]
    file = folder / f"variant.{image_format}"
    write_image(
        image,
        file,
        variant.pixels,
        fit=variant.fit,
        format=image_format,
        quality=variant.quality,
        background=variant.background,
        shown=uri,
    )
    put(file, storage_path(path, conn_id), CONTENT_TYPES[image_format])
    log.info("Saved the variant %s (%d bytes)", uri, file.stat().st_size)
    return uri if "://" in uri else f"file://{uri}"


def stored_images(result: Any) -> list[str]:
    """Return the URIs of a result's images.

    :raises InvalidRequestError: it is no result, or its images were not stored.
    """
    result = literal_if_text(result)
    images = result.get("images") if isinstance(result, Mapping) else None
    if not isinstance(images, list) or not all(isinstance(image, Mapping) for image in images):
        raise InvalidRequestError(
            f"result={truncated_repr(result)}: must be what FluxGenerateOperator or "
            "ApiframeJobSensor returns, e.g. poster.output; a list of them is mapped over with "
            "ImageVariantsOperator.partial(...).expand(result=...)"
        )
    job = f"job {truncated_repr(result.get('job_id'))}"
    if not images:
        raise InvalidRequestError(
            f"result: {job} has no image, its status is {truncated_repr(result.get('status'))}. "
            "Where the task did not wait for it, take the result of ApiframeJobSensor(job_id=..., "
            "save_to=...)"
        )
    uris = [image.get("uri") for image in images]
    if not all(isinstance(uri, str) and uri for uri in uris):
        raise InvalidRequestError(
            f"result: the images of {job} were not stored, so there is nothing to make variants "
            'of. Give save_to to the task that returns them, e.g. save_to="s3://bucket/posters/"'
        )
    return uris


def plan_targets(
    sources: Sequence[str], variants: Mapping[str, Variant], save_to: str | None = None
) -> list[list[Target]]:
    """Return what is to be made of each source.

    :raises InvalidRequestError: two variants would be one file or have one key, or a variant would
        take the place of a source.
    """
    plan: list[list[Target]] = []
    keys: set[str] = set()
    paths = {_stem(source) for source in sources}
    for number, source in enumerate(sources, 1):
        folder, slash, stem = _stem(source).rpartition("/")
        plan.append([])
        for name, variant in variants.items():
            key = name if number == 1 else f"{name}-{number}"
            path = f"{save_to or folder + slash}{stem}-{name}"
            plain = split_connection(path)[1]
            if key in keys or plain in paths:
                raise InvalidRequestError(
                    f"variants: {name!r} of image {number} of {len(sources)} would be {key!r} in "
                    f"{plain}, and there is one already; take another name"
                )
            keys.add(key)
            paths.add(plain)
            plan[-1].append(Target(key, path, variant))
    return plan


def _connection_for(source: str, save_to: str | None) -> str | None:
    """Return the connection that *save_to* names, if it may be the one of *source* too."""
    if save_to and save_to.partition("://")[0] == source.partition("://")[0]:
        return split_connection(save_to)[0]
    return None


def _stem(location: str) -> str:
    """Return *location* without its extension."""
    folder, slash, name = location.rpartition("/")
    stem, dot, _ = name.rpartition(".")
    return f"{folder}{slash}{stem if dot and stem else name}"
