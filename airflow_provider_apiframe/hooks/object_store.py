"""Files on object stores and file systems, by Airflow's connections: read within bounds, and
written whole or not at all."""

from __future__ import annotations

import os
import re
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast

from airflow_provider_apiframe.api.body import within
from airflow_provider_apiframe.api.errors import ApiframeError
from airflow_provider_apiframe.api.settings import MAX_IMAGE_BYTES, without_keys
from airflow_provider_apiframe.hooks.connection import ConnectionNotFoundError
from airflow_provider_apiframe.version_compat import attached_store

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import ObjectStoragePath

T = TypeVar("T")

MAX_SECONDS = 600.0
"""Time cap of one transfer: 100 MB at 170 kB/s."""

PUT_PIECE_BYTES = 6 * 1024 * 1024
"""How much of a file is in memory at once. The libraries take 50 MiB, of each image of a job."""

_LOCAL = ("", "file", "local")  # a path without a scheme has none
_ATTEMPTS = 10  # to rename a file that others write at the same time
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


class StoredFileMissingError(StorageError):
    """There is no such file."""


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


def missing_file_hint(location: str) -> str:
    """Return, to be appended to a text, why a local file may be missing.

    It is "" for any other file.
    """
    if location.partition("://")[0] not in (*_LOCAL, location):
        return ""
    return (
        " A local path is seen on one worker only, unless all mount it: what another task saved "
        "belongs into object storage, e.g. save_to='s3://...'."
    )


def storage_path(location: str, conn_id: str | None = None) -> ObjectStoragePath:
    """Return *location* as Airflow's path to it.

    :param location: an absolute path or a URL.
    :param conn_id: id of the Airflow connection, unless *location* names one itself.
    :raises StorageError: nothing that is installed serves its scheme, or its connection cannot be
        used.
    """
    # Not at the module's top: fsspec is slow to load, and DAG files import this module.
    from airflow.providers.common.compat.sdk import ObjectStoragePath

    own, plain = split_connection(location)
    conn_id = own or conn_id
    with _storage_errors(f"{plain} cannot be reached"):
        try:
            path = ObjectStoragePath(plain, conn_id=conn_id)
            if getattr(path.fs, "_pid", os.getpid()) != os.getpid():
                # Set up before this process was forked. Airflow keeps it, and libraries refuse it.
                # It is a cached property: without it Airflow sets up another one, as it was.
                vars(attached_store(path.protocol, conn_id)).pop("fs", None)
                path = ObjectStoragePath(plain, conn_id=conn_id)
        except (ValueError, ImportError) as error:
            raise StorageError(
                f"{plain} cannot be reached: {_reason(error)}. Its scheme needs a provider with "
                "its file system, e.g. apache-airflow-providers-amazon[s3fs], "
                "apache-airflow-providers-google or apache-airflow-providers-microsoft-azure.",
                transient=False,
            ) from None
    return path


def check_connection(location: str, conn_id: str | None) -> None:
    """See that the connection of a storage is there, if one is named.

    Some filesystems go on without credentials where it is not, and fail after the image is paid.

    :param location: and *conn_id*, as for :func:`storage_path`.
    :raises ConnectionNotFoundError: Airflow has no such connection, or cannot read it just now.
    """
    from airflow.providers.common.compat.sdk import AirflowNotFoundException, BaseHook

    named = split_connection(location)[0] or conn_id
    if named is None or location.partition("://")[0] in (*_LOCAL, location):
        return
    try:
        BaseHook.get_connection(named)
    except AirflowNotFoundException:
        raise ConnectionNotFoundError(
            named, "Add one with the credentials of the storage, or name another one."
        ) from None


def local_copy(
    source: ObjectStoragePath,
    target: Path,
    *,
    max_bytes: int = MAX_IMAGE_BYTES,
    exact_bytes: int | None = None,
    max_seconds: float | None = None,
) -> None:
    """Copy *source* into the local file *target*.

    :param max_bytes: size cap in bytes.
    :param exact_bytes: the size it must have; default: any.
    :param max_seconds: time cap in seconds, default MAX_SECONDS.
    :raises StoredFileMissingError: there is no such file.
    :raises StorageError: it has another size than allowed, or could not be read in time.
    """
    shown = _shown(source)

    def read() -> None:
        file_system = source.fs
        # What this process listed before may have changed since.
        file_system.invalidate_cache(source.path.rpartition("/")[0])
        size = file_system.info(source.path)["size"]
        if size > max_bytes:
            raise StorageError(f"{shown} has {size} bytes, more than {max_bytes}", transient=False)
        # Before it is read: a device has no size, and no end.
        if exact_bytes not in (None, size):
            raise StorageError(f"{shown} has {size} bytes, not {exact_bytes}", transient=False)
        file_system.get_file(source.path, str(target))

    with _storage_errors(f"{shown} could not be read"):
        try:
            in_time(read, max_seconds)
        except FileNotFoundError as error:
            text = f"{shown} could not be read: {_reason(error)}.{missing_file_hint(shown)}"
            raise StoredFileMissingError(text, transient=False) from None


def put(local: Path, target: ObjectStoragePath, content_type: str) -> None:
    """Write the local file to *target* so that nobody reads half a file there; replace what is
    there.

    An object store gets the finished bytes under the final name: it shows an object only when it is
    whole. Elsewhere they go to a temporary file in the same folder, which is renamed.

    :param content_type: of the object, where the store keeps one, e.g. "image/png".
    :raises StorageError: it could not be written. A temporary file is removed.
    """

    def write() -> None:
        file_system = target.fs
        options = _object_options(target.protocol, content_type)
        if options is not None:
            file_system.put_file(str(local), target.path, **options)
        else:
            _put_and_rename(file_system, local, target.path, is_local=target.protocol in _LOCAL)

    with _storage_errors(f"{_shown(target)} could not be written"):
        in_time(write)


def _object_options(scheme: str, content_type: str) -> dict[str, Any] | None:
    """Return what an object store's library is told: content type, and to send in small pieces.

    None for another file system.
    """
    if scheme in ("s3", "s3a", "s3n"):
        return {"ContentType": content_type, "chunksize": PUT_PIECE_BYTES, "max_concurrency": 1}
    if scheme in ("gs", "gcs"):
        return {"content_type": content_type, "chunksize": PUT_PIECE_BYTES}
    if scheme in ("abfs", "abfss", "az", "adl"):
        from azure.storage.blob import ContentSettings

        # Older releases of adlfs refuse to replace a blob unless told.
        return {"content_settings": ContentSettings(content_type=content_type), "overwrite": True}
    return None


def _put_and_rename(file_system: Any, local: Path, path: str, *, is_local: bool) -> None:
    folder, _, name = path.rpartition("/")
    file_system.makedirs(folder, exist_ok=True)
    # fsspec would move a local file into a folder of that name.
    rename: Callable[[str, str], None] = os.replace if is_local else file_system.mv
    for attempt in range(1, _ATTEMPTS + 1):
        _remove_strays(file_system, folder, name)
        temporary = f"{folder}/.{name}.{uuid.uuid4().hex}.part"
        try:
            file_system.put_file(str(local), temporary)
            rename(temporary, path)
            return
        except FileNotFoundError:
            # Another process is writing the same file, and took ours for a stray.
            if attempt == _ATTEMPTS:
                raise
        finally:
            with suppress(Exception):  # what is told is why it could not be written
                file_system.rm_file(temporary)


def _remove_strays(file_system: Any, folder: str, name: str) -> None:
    """Remove what a process left that was killed while it wrote this file."""
    for stray in _strays(os.getpid(), file_system, folder).get(name, ()):
        with suppress(FileNotFoundError):
            file_system.rm_file(stray)


@lru_cache(maxsize=64)
def _strays(process: int, file_system: Any, folder: str) -> dict[str, list[str]]:
    """Return the temporary files in a folder, by the name of the file that each was to become.

    A process lists a folder once: it may hold the 10,000 images of a batch, and be far away. What
    is left by others that are killed later is removed by the next process.

    :param process: its id; a fork has not listed anything.
    """
    found: dict[str, list[str]] = {}
    for path in file_system.ls(folder, detail=False):
        before, _, own = str(path).rpartition("/")
        if own.startswith(".") and own.endswith(".part"):
            name = own[1:].removesuffix(".part").rpartition(".")[0]
            found.setdefault(name, []).append(f"{before}/{own}")
    return found


def in_time(transfer: Callable[[], T], max_seconds: float | None = None) -> T:
    """Return what a transfer returns.

    :param max_seconds: time cap in seconds, default MAX_SECONDS.
    :raises TimeoutError: it takes longer than *max_seconds*; it is left behind.
    """

    def outcome() -> tuple[T, None] | tuple[None, Exception]:
        try:
            return transfer(), None
        except Exception as error:  # a library's own TimeoutError is not ours
            return None, error

    max_seconds = MAX_SECONDS if max_seconds is None else max_seconds
    try:
        result, error = within(max_seconds, outcome)
    except TimeoutError:
        raise TimeoutError(f"not done within {max_seconds:g} s") from None
    if error is not None:
        raise error
    return cast(T, result)


@contextmanager
def _storage_errors(what: str) -> Iterator[None]:
    try:
        yield
    except ApiframeError:
        raise
    except _PERMANENT as error:
        raise StorageError(f"{what}: {_reason(error)}", transient=False) from None
    except Exception as error:  # each storage library has its own
        raise StorageError(f"{what}: {_reason(error)}", transient=True) from None


def _shown(path: ObjectStoragePath) -> str:
    return split_connection(str(path))[1]


def _reason(error: Exception) -> str:
    """Return an error of a library without the queries of URLs: a signed one is a secret."""
    text = re.sub(r"\?\S+", "?...", without_keys(str(error)))[:_MAX_REASON]
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
