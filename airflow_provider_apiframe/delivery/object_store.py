"""Files in and out of a storage, through Airflow's ObjectStoragePath.

A reader never sees half a file: object stores show an object only when it is whole; everywhere
else it gets a temporary name first.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from airflow_provider_apiframe.api.body import within
from airflow_provider_apiframe.api.errors import ApiframeError, ConfigurationError
from airflow_provider_apiframe.api.settings import without_keys
from airflow_provider_apiframe.api.validation import truncated_repr

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import ObjectStoragePath

T = TypeVar("T")

MAX_SECONDS = 600.0
"""Time cap of one transfer: 100 MB at 170 kB/s."""

WHOLE_AT_ONCE = frozenset({"s3", "s3a", "gs", "gcs", "abfs", "abfss", "adl", "az", "oss", "memory"})
"""Schemes of stores that show an object only when all of it is there, and replace it in one go."""

# How each library is told the content type; the others go by the file's name, or do without.
_CONTENT_TYPE_ARGUMENT = {"s3": "ContentType", "s3a": "ContentType"} | dict.fromkeys(
    ("gs", "gcs"), "content_type"
)


class StorageError(ApiframeError):
    """A file could not be read from a storage, or written to it.

    A retry may help and costs nothing: bucket, credentials and network are mended from outside.
    """

    transient = True


class StoredFileMissingError(StorageError):
    """There is no such file."""

    transient = False


def open_path(uri: str, conn_id: str | None = None) -> ObjectStoragePath:
    """Return the path behind *uri*, with its filesystem ready for use.

    :param uri: e.g. "s3://bucket/key", or "s3://conn_id@bucket/key".
    :param conn_id: id of the Airflow connection with the credentials; None takes the one in the
        URI, or what the filesystem finds by itself.
    :raises ConfigurationError: no installed package knows the scheme.
    :raises StorageError: the filesystem could not be set up, e.g. for want of the connection.
    """
    # fsspec is not loaded before it is needed: DAG files import this module.
    from airflow.providers.common.compat.sdk import ObjectStoragePath

    with _storage_errors("cannot be used", uri):
        try:
            path = ObjectStoragePath(uri, conn_id=conn_id)
            _ = path.fs
        except (ValueError, ImportError) as error:
            raise ConfigurationError(
                f"No filesystem for {uri}: {error}. Install the Airflow provider of the storage "
                "with its filesystem, e.g. apache-airflow-providers-amazon[s3fs] for s3://"
            ) from None
    return path


def put(local: Path, target: ObjectStoragePath, content_type: str) -> None:
    """Copy a local file to *target*, replacing what is there.

    :raises StorageError: it could not be written; what was there before still is.
    """

    def write() -> None:
        fs, scheme = target.fs, target.protocol
        if scheme not in WHOLE_AT_ONCE:
            _put_and_rename(fs, local, target.path)
            return
        argument = _CONTENT_TYPE_ARGUMENT.get(scheme)
        fs.put_file(str(local), target.path, **({argument: content_type} if argument else {}))

    _in_time("could not be written", target, write)


def _put_and_rename(fs: Any, local: Path, path: str) -> None:
    folder, _, name = path.rpartition("/")
    fs.makedirs(folder, exist_ok=True)
    for attempts_left in reversed(range(10)):
        # Left behind by a process that was killed while it wrote ...
        for stray in fs.ls(folder, detail=False):
            if stray.startswith(f"{folder}/.{name}.") and stray.endswith(".part"):
                with suppress(FileNotFoundError):
                    fs.rm_file(stray)
        temporary = f"{folder}/.{name}.{uuid.uuid4().hex}.part"
        try:
            fs.put_file(str(local), temporary)
            fs.mv(temporary, path)
            return
        except FileNotFoundError:
            # ... unless it belongs to one that is writing the same file now: that one begins anew.
            if not attempts_left:
                raise
        finally:
            with suppress(FileNotFoundError):
                fs.rm_file(temporary)


def get(source: ObjectStoragePath, local: Path, max_bytes: int) -> None:
    """Copy a stored file to a local one.

    :param max_bytes: size cap in bytes.
    :raises StoredFileMissingError: there is no such file.
    :raises StorageError: it could not be read, or is larger.
    """

    def read() -> None:
        fs = source.fs
        fs.invalidate_cache(source.path.rpartition("/")[0])  # another process may have written it
        try:
            size = fs.info(source.path)["size"]
        except FileNotFoundError:
            raise StoredFileMissingError(f"{source} does not exist") from None
        if size > max_bytes:
            raise StorageError(f"{source} has {size} bytes, more than {max_bytes}")
        fs.get_file(source.path, str(local))

    _in_time("could not be read", source, read)


def _in_time(failed: str, path: ObjectStoragePath, work: Callable[[], T]) -> T:
    with _storage_errors(failed, str(path)):
        return within(MAX_SECONDS, work)


@contextmanager
def _storage_errors(failed: str, uri: str) -> Iterator[None]:
    """Turn what the storage's libraries raise, each its own, into a StorageError."""
    try:
        yield
    except ApiframeError:
        raise
    except TimeoutError:
        raise StorageError(f"{uri} {failed} within {MAX_SECONDS:g} s") from None
    except Exception as error:
        raise StorageError(f"{uri} {failed}: {_reason(error)}") from None


def _reason(error: Exception) -> str:
    return without_keys(truncated_repr(error, 300))
