"""The manifest of a batch: one JSON line per request, with what came of it.

It is the user's list of images, and the batch's own record: a later try reads what the tries before
it submitted and saved. Like every record it adds to the idempotency keys and never stands in for
them: without a manifest nothing is paid twice.
"""

from __future__ import annotations

import hashlib
import json
import logging
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from airflow_provider_apiframe.delivery.naming import SaveTo
from airflow_provider_apiframe.delivery.result import ImageResult
from airflow_provider_apiframe.hooks.object_store import (
    StorageError,
    StoredFileMissingError,
    local_copy,
    put,
    storage_path,
)

log = logging.getLogger(__name__)

NOT_SUBMITTED = "NOT_SUBMITTED"
"""The status of a request that has no job."""

MAX_MANIFEST_BYTES = 512 * 1024 * 1024
"""Far above what 10,000 requests come to (20 MB): more is no manifest of ours."""

_MAX_LINE_BYTES = 4 * 1024 * 1024
_MAX_ERROR = 1000  # characters; a vendor's text may be as long as a response
_CONTENT_TYPE = "application/x-ndjson"
_UNKNOWN_BEFORE_A_JOB = {"{job_id}", "{n}", "{ext}"}


class ManifestLine(BaseModel):
    """What came of one request of a batch.

    :param index: the place of the request in the batch, from 0.
    :param id: the user's own reference, e.g. an SKU; None where none was given.
    :param request: what the user wrote.
    :param job_id: None where nothing was submitted.
    :param status: of the job, in upper case, or "NOT_SUBMITTED".
    :param error: why there is no image, or none that is saved; cut to 1,000 characters.
    :param images: as in a task's value, see :class:`.ImageResult`; empty where there are none yet.
    :param image_urls: the vendor's links, which die.
    :param credit_cost: in credits; None where the API did not say.
    :param generation: how many jobs of the request ended without an image before this one.
    :param model: model id.
    :param key: the request's identity, 64 hexadecimal characters, see
        :func:`airflow_provider_apiframe.submission.batch_requests.identity`.
    :param uploads: SHA-256 of a file's content -> the URL it was uploaded to, from before the
        request is submitted until there is a job. A later try sends the same request then, and the
        API knows its idempotency key. Left out of the file where there are none.
    """

    model_config = ConfigDict(frozen=True, extra="ignore", strict=True, allow_inf_nan=False)

    index: int = Field(ge=0)
    id: str | None = None
    request: dict[str, Any]
    job_id: str | None = None
    status: str = NOT_SUBMITTED
    error: Annotated[str | None, AfterValidator(lambda text: text and text[:_MAX_ERROR])] = None
    images: list[ImageResult] = []
    image_urls: list[str] = []
    credit_cost: int | float | None = None
    generation: int = Field(0, ge=0)
    model: str
    key: str = Field(pattern=r"^[0-9a-f]{64}$")
    uploads: dict[str, str] = {}

    def as_json(self) -> bytes:
        """Return the line, with its end."""
        # Not pydantic's own: it refuses half a character, which an error of a job may hold.
        text = json.dumps(self._values(), ensure_ascii=False, allow_nan=False)
        return text.encode(errors="replace") + b"\n"

    def _values(self) -> dict[str, Any]:
        return self.model_dump(exclude=None if self.uploads else {"uploads"})


def manifest_uri(save_to: SaveTo, names: Mapping[str, Any], scope: str) -> str:
    """Return where the manifest of a batch is: in the folder of its task.

    ``{folder}/{dag_id}/{run_id}/{task_id}[-{map_index}]/manifest-{8 hex digits}.jsonl``. Where the
    folder itself depends on the job, it is the part of it that does not.

    :param save_to: of the task.
    :param names: values of the placeholders, see :func:`.placeholder_values`.
    :param scope: what tells the tries of one clear from those of another, as text: a cleared task
        does not take an earlier manifest for its own.
    :raises InvalidRequestError: the name gets too long for a storage.
    """
    folder: list[str] = []
    for segment in save_to.folder:
        if any(name in segment for name in _UNKNOWN_BEFORE_A_JOB):
            break
        folder.append(segment)
    task = "{task_id}-{map_index}" if int(names["map_index"]) >= 0 else "{task_id}"
    name = f"manifest-{hashlib.sha256(scope.encode()).hexdigest()[:8]}.{{ext}}"
    place = SaveTo(save_to.root, (*folder, "{dag_id}", "{run_id}", task), name)
    return place.uri(names, n=1, ext="jsonl")


@dataclass(frozen=True)
class ManifestFile:
    """A manifest on storage.

    :param uri: where it is, see :func:`manifest_uri`.
    :param conn_id: Airflow connection with the storage's credentials, unless *uri* names one.
    """

    uri: str
    conn_id: str | None = None

    def write(self, lines: Iterable[ManifestLine]) -> None:
        """Put the manifest to its place, whole or not at all; replace what is there.

        :param lines: of all requests, in their order.
        :raises StorageError: it could not be written. What was there before still is.
        """
        with _local_file() as local:
            with local.open("wb") as file:
                file.writelines(line.as_json() for line in lines)
            put(local, storage_path(self.uri, self.conn_id), _CONTENT_TYPE)

    def read(self) -> dict[str, ManifestLine] | None:
        """Return the lines by their ``key``, None where there is no manifest.

        A line that is none of ours is left out, with a warning.

        :raises StorageError: the storage is away just now, or the file is larger than any manifest.
        """
        with _local_file() as local:
            try:
                source = storage_path(self.uri, self.conn_id)
                local_copy(source, local, max_bytes=MAX_MANIFEST_BYTES)
            except StoredFileMissingError:
                return None
            found: dict[str, ManifestLine] = {}
            strange: list[int] = []
            for number, text in _numbered_lines(local):
                try:
                    line = ManifestLine.model_validate_json(text)
                except ValidationError:
                    strange.append(number)
                else:
                    found[line.key] = line
        if strange:
            log.warning(
                "%s has %d lines that no batch wrote, the first is line %d. They are left out: "
                "what is known of their requests is found by the idempotency keys.",
                self.uri,
                len(strange),
                strange[0],
            )
        return found


@contextmanager
def _local_file() -> Iterator[Path]:
    try:
        with tempfile.TemporaryDirectory(prefix="apiframe-") as folder:
            yield Path(folder) / "manifest.jsonl"
    except OSError as error:
        raise StorageError(f"The worker's own disk: {error}", transient=True) from None


def _numbered_lines(local: Path) -> Iterator[tuple[int, bytes]]:
    """Yield the lines that hold something; of one that is too long, its pieces."""
    with local.open("rb") as file:
        number, is_start = 0, True
        while line := file.readline(_MAX_LINE_BYTES):
            number += is_start
            is_start = line.endswith(b"\n")
            if line.strip():
                yield number, line
