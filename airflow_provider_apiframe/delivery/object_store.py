"""Files on object stores and file systems, by Airflow's connections: read within bounds, and
written whole or not at all."""

from __future__ import annotations

import os
import re
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow_provider_apiframe.api.body import PIECE_BYTES
from airflow_provider_apiframe.api.errors import ApiframeError

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import ObjectStoragePath

MAX_BYTES = 100 * 1024 * 1024
"""Size cap of a file that is read: what is larger is no image of ours."""

MAX_SECONDS = 600.0
"""Time cap of reading one file."""

_LOCAL = ("", "file", "local")  # a path without a scheme has none
_MAX_REASON = 300  # characters of a library's own text
# What no retry mends. Whatever else a storage library raises may be an outage; PermissionError too:
# while Airflow's connections cannot be read, its providers go on without credentials.
_PERMANENT = (FileNotFoundError, IsADirectoryError, NotADirectoryError, FileExistsError)


class StorageError(ApiframeError):
    """A file could not be read from its storage, or not be written to it.

    ``transient`` is set per instance: an outage passes, a missing object does not.
    """

    def __init__(self, message: str, *, transient: bool) -> None:
        super().__init__(message)
        self.transient = transient


def split_connection(location: str) -> tuple[str | None, str]:
    """Return the id of the connection that a URL names, and the URL without it.

    ``"s3://my_aws@bucket/key"`` gives ``("my_aws", "s3://bucket/key")``.
    """
    scheme, mark, rest = location.partition("://")
    if not mark:
        return None, location
    host, slash, key = rest.partition("/")
    conn_id, _, bucket = host.rpartition("@")
    return conn_id or None, f"{scheme}://{bucket}{slash}{key}"


def storage_path(location: str, conn_id: str | None = None) -> ObjectStoragePath:
    """Return *location* as Airflow's path to it.

    :param location: an absolute path or a URL.
    :param conn_id: id of the Airflow connection, unless *location* names one itself.
    :raises StorageError: nothing that is installed serves its scheme.
    """
    from airflow.providers.common.compat.sdk import ObjectStoragePath

    own, plain = split_connection(location)
    with _errors_of_missing_providers(plain):
        return ObjectStoragePath(plain, conn_id=own or conn_id)


def local_copy(
    source: ObjectStoragePath,
    target: Path,
    *,
    max_bytes: int = MAX_BYTES,
    max_seconds: float = MAX_SECONDS,
    clock: Callable[[], float] = time.monotonic,
) -> None:
    """Copy *source* into the local file *target*.

    :param max_bytes: size cap in bytes.
    :param max_seconds: time cap in seconds, looked at between two pieces; the storage library's own
        timeouts bound one piece.
    :raises StorageError: it is missing, larger than allowed, or could not be read in time.
    """
    shown, deadline, size = _shown(source), clock() + max_seconds, 0
    with (
        _storage_errors(f"{shown} could not be read"),
        _file_system(source).open(source.path, "rb") as file,
        target.open("wb") as copy,
    ):
        while piece := file.read(PIECE_BYTES):
            size += len(piece)
            if size > max_bytes:
                raise StorageError(
                    f"{shown} has more than {max_bytes} bytes; stopped", transient=False
                )
            if clock() > deadline:
                raise StorageError(
                    f"{shown} was not there whole within {max_seconds:g} s", transient=True
                )
            copy.write(piece)


def put(local: Path, target: ObjectStoragePath, content_type: str) -> None:
    """Write the local file to *target* so that nobody reads half a file there; replace what is
    there.

    An object store gets the finished bytes under the final name: it shows an object only when it is
    whole. Elsewhere they go to a temporary file in the same folder, which is renamed.

    :param content_type: of the object, where the store keeps one, e.g. "image/png".
    :raises StorageError: it could not be written. A temporary file is removed.
    """
    with _storage_errors(f"{_shown(target)} could not be written"):
        file_system = _file_system(target)
        options = _object_options(target.protocol, content_type)
        if options is not None:
            file_system.put_file(str(local), target.path, **options)
        else:
            _put_and_rename(file_system, local, target.path, is_local=target.protocol in _LOCAL)


def _object_options(scheme: str, content_type: str) -> dict[str, Any] | None:
    """Return how the content type is told to an object store; None for another file system."""
    if scheme in ("s3", "s3a", "s3n"):
        return {"ContentType": content_type}
    if scheme in ("gs", "gcs"):
        return {"content_type": content_type}
    if scheme in ("abfs", "abfss", "az", "adl"):
        from azure.storage.blob import ContentSettings

        # Older releases of adlfs refuse to replace a blob unless told.
        return {"content_settings": ContentSettings(content_type=content_type), "overwrite": True}
    return None


def _put_and_rename(file_system: Any, local: Path, path: str, *, is_local: bool) -> None:
    folder = path.rpartition("/")[0]
    file_system.makedirs(folder, exist_ok=True)
    temporary = f"{folder}/.apiframe-{uuid.uuid4().hex}.part"
    try:
        file_system.put_file(str(local), temporary)
        if is_local:
            os.replace(temporary, path)  # fsspec would move it into a folder of that name
        else:
            file_system.mv(temporary, path)
    except BaseException:
        with suppress(Exception):  # what is told is why it could not be written
            file_system.rm_file(temporary)
        raise


def _file_system(path: ObjectStoragePath) -> Any:
    with _errors_of_missing_providers(_shown(path)):
        return path.fs


@contextmanager
def _errors_of_missing_providers(shown: str) -> Iterator[None]:
    try:
        yield
    except (ValueError, ImportError) as error:
        raise StorageError(
            f"{shown} cannot be reached: {_reason(error)}. Its scheme needs a provider with its "
            "file system, e.g. apache-airflow-providers-amazon[s3fs], "
            "apache-airflow-providers-google or apache-airflow-providers-microsoft-azure.",
            transient=False,
        ) from None


@contextmanager
def _storage_errors(what: str) -> Iterator[None]:
    try:
        yield
    except StorageError:
        raise
    except _PERMANENT as error:
        raise StorageError(f"{what}: {_reason(error)}", transient=False) from None
    except Exception as error:  # each storage library has its own
        raise StorageError(f"{what}: {_reason(error)}", transient=True) from None


def _shown(path: ObjectStoragePath) -> str:
    return split_connection(str(path))[1]


def _reason(error: Exception) -> str:
    """Return an error of a library without the queries of URLs: a signed one is a secret."""
    text = re.sub(r"\?\S+", "?...", str(error))[:_MAX_REASON]
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
