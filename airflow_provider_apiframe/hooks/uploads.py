"""Files on storage or on this machine, read as what is to be uploaded."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import IO, Any

from airflow_provider_apiframe.api.errors import (
    ApiframeError,
    InvalidRequestError,
    UnreadableFileError,
)
from airflow_provider_apiframe.api.image_file import ImageFile
from airflow_provider_apiframe.api.params.references import path_text
from airflow_provider_apiframe.api.settings import without_keys
from airflow_provider_apiframe.hooks.object_store import (
    ONE_MACHINE,
    check_connection,
    in_time,
    storage_path,
)
from airflow_provider_apiframe.version_compat import has_file_system

# What a second look cannot mend. What else a storage library raises is taken for a network or a
# service that is away; PermissionError too, see object_store.py.
_PERMANENT = (
    FileNotFoundError,
    IsADirectoryError,
    NotADirectoryError,
    ImportError,
    ValueError,
)
_SHOWN_LENGTH = 300
_LOCAL = ("", "file")


def read_image(source: Any, storage_conn_id: str | None = None) -> ImageFile:
    """Read an image that is to be uploaded, and check it.

    :param source: a local path, a storage path ("s3://bucket/key", "s3://conn_id@bucket/key"), a
        path object, or an open binary file.
    :param storage_conn_id: the Airflow connection for a storage path that names none; None means
        the default of its scheme.
    :raises UnreadableFileError: it is not there, no file, or its storage is away.
    :raises InvalidRequestError: it is no image, or too large.
    """
    if callable(getattr(source, "read", None)):
        name = str(getattr(source, "name", "the open file"))
        with _errors_of(name):
            return ImageFile.read(source, name)
    path = path_text(source)
    with _errors_of(path):
        opened = _opener(path, storage_conn_id)

        def read() -> ImageFile:
            with opened() as file:
                return ImageFile.read(file, path)

        return in_time(read)


def _opener(path: str, conn_id: str | None) -> Callable[[], IO[bytes]]:
    """Return what opens *path*. Its connection is read now: Airflow is asked on this thread."""
    scheme, _, rest = path.rpartition("://")
    if scheme in _LOCAL:
        return lambda: open(rest, "rb")
    fs, key = _file_system(path, scheme, conn_id)
    return partial(fs.open, key, "rb")


def _file_system(path: str, scheme: str, conn_id: str | None) -> tuple[Any, str]:
    """Return the file system that *path* is on, and what it calls the path."""
    # Where DAGs are parsed, nobody needs them.
    from fsspec.core import url_to_fs

    if not has_file_system(scheme):  # Airflow has none of its own, with connections
        fs, key = url_to_fs(path)
        return fs, key
    check_connection(path, conn_id)
    found = storage_path(path, conn_id)
    return found.fs, found.path


@contextmanager
def _errors_of(path: str) -> Iterator[None]:
    try:
        yield
    except InvalidRequestError:
        raise
    except Exception as error:  # of any storage library
        transient = not isinstance(error, _PERMANENT)
        if isinstance(error, ApiframeError):
            transient = error.transient
        text = re.sub(r"\?\S+", "?***", without_keys(str(error)))[:_SHOWN_LENGTH]
        advice = (
            "Its storage may be away just now."
            if transient
            else "Name a file that the worker can read."
        )
        if isinstance(error, FileNotFoundError) and path.rpartition("://")[0] in _LOCAL:
            advice = f"{ONE_MACHINE}."
        raise UnreadableFileError(
            f"The input image {path} cannot be read: {type(error).__name__}: {text}. Nothing was "
            f"submitted. {advice}",
            transient=transient,
        ) from None
