"""Image files from storages, for viewers: the very file that was recorded, or none.

The record comes from an XCom, which any author of a DAG can write as they like, and the file is
read with the rights of the API server. So only a file whose SHA-256 is the recorded one is handed
out: whoever makes up a record must know the file already, or at least its SHA-256. A local file
that is missing and one that is another are told apart in no way.
"""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from airflow_provider_apiframe.api.image_format import complete_image_type
from airflow_provider_apiframe.api.settings import MAX_IMAGE_BYTES
from airflow_provider_apiframe.hooks.object_store import (
    StorageError,
    local_copy,
    missing_file_hint,
    storage_path,
)
from airflow_provider_apiframe.plugins.recorded_image import ImageUnavailableError, RecordedImage
from airflow_provider_apiframe.version_compat import redacted

MAX_SECONDS = 60.0
"""Time cap of reading one image."""

_LOCAL_SCHEMES = ("file", "local")
_WEB_SCHEMES = ("http", "https", "ftp")


def check_record(image: RecordedImage) -> None:
    """See that a recorded image may be read, before anything is.

    :raises ImageUnavailableError: it is not in a storage (404), or too large (413).
    """
    if "://" not in image.uri or image.scheme in _WEB_SCHEMES:
        raise ImageUnavailableError(404, "The image is not in a storage")
    if image.bytes > MAX_IMAGE_BYTES:
        raise ImageUnavailableError(
            413, f"The image has {image.bytes} bytes; at most {MAX_IMAGE_BYTES} are shown"
        )


@contextmanager
def verified_copy(image: RecordedImage, conn_id: str | None) -> Iterator[tuple[Path, str]]:
    """Copy a recorded image to this machine, and yield the copy and its content type. It blocks.

    :param conn_id: id of the Airflow connection of its storage.
    :raises ImageUnavailableError: it is not there any more, or is another file (410), it is no
        whole PNG, JPEG or WebP (415), or the storage cannot be read (502).
    """
    with tempfile.TemporaryDirectory(prefix="apiframe-") as folder:
        copy = Path(folder) / "image"
        _fetch(image, conn_id, copy)
        with copy.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        if digest != image.sha256:
            raise _gone(image)
        content_type = complete_image_type(copy)
        if content_type is None:
            raise ImageUnavailableError(415, "The file is no PNG, JPEG or WebP")
        yield copy, content_type


def _fetch(image: RecordedImage, conn_id: str | None, target: Path) -> None:
    try:
        source = storage_path(image.uri, conn_id)
    except StorageError as error:
        raise _unreadable(error) from None
    try:
        local_copy(source, target, exact_bytes=image.bytes, max_seconds=MAX_SECONDS)
    except StorageError as error:
        if not error.transient or image.scheme in _LOCAL_SCHEMES:
            raise _gone(image) from None
        raise _unreadable(error) from None


def _unreadable(error: StorageError) -> ImageUnavailableError:
    # Storage libraries quote what they like, and viewers are not those who keep the connections.
    return ImageUnavailableError(502, f"On the API server, {redacted(str(error))}")


def _gone(image: RecordedImage) -> ImageUnavailableError:
    hint = missing_file_hint(image.uri)
    return ImageUnavailableError(
        410, f"The image is not where it was saved any more, or is another file now.{hint}"
    )
