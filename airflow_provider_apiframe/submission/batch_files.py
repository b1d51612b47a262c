"""The files among the reference images of a batch: each is read once, and each content uploaded
once for a wave.

Keys are made of the contents' hashes, as in ``references.py``.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Self, TypeVar

from airflow_provider_apiframe.api.errors import InvalidRequestError, UnreadableFileError
from airflow_provider_apiframe.api.models import UploadedFile
from airflow_provider_apiframe.api.params.request import GenerateRequest
from airflow_provider_apiframe.hooks.uploads import read_image
from airflow_provider_apiframe.submission.references import HASH_PREFIX

if TYPE_CHECKING:
    from airflow_provider_apiframe.hooks.apiframe import ApiframeHook

log = logging.getLogger(__name__)

MAX_UPLOADS = 4
"""How many files are in memory at once; one has 25 MB at most."""

E = TypeVar("E", InvalidRequestError, UnreadableFileError)


@dataclass(frozen=True)
class Uploads:
    """Where the files of a wave can be fetched.

    :param urls: path -> URL.
    :param errors: path -> why the API does not take the file.
    :param reused: SHA-256 of what an earlier try uploaded.
    """

    urls: Mapping[str, str] = field(default_factory=dict, repr=False)
    errors: Mapping[str, InvalidRequestError] = field(default_factory=dict)
    reused: frozenset[str] = frozenset()


@dataclass(frozen=True)
class BatchFiles:
    """The files of a batch by their contents.

    :param hashes: path -> SHA-256 of the content.
    :param conn_id: Airflow connection for storage paths that name none.
    """

    hashes: Mapping[str, str] = field(default_factory=dict)
    conn_id: str | None = None

    @classmethod
    def read(cls, requests: Iterable[GenerateRequest], conn_id: str | None) -> Self:
        """Read the files of all *requests*, one after the other, and keep their hashes.

        :raises UnreadableFileError, InvalidRequestError: a file cannot be used; it is named.
        """
        paths = dict.fromkeys(path for request in requests for path in request.paths)
        return cls({path: read_image(path, conn_id).sha256 for path in paths}, conn_id)

    def hashed(self, request: GenerateRequest) -> GenerateRequest:
        """Return *request* with "sha256:..." in place of each path. It is never sent."""
        if not self.hashes:
            return request
        return request.replacing(
            {path: f"{HASH_PREFIX}{self.hashes[path]}" for path in request.paths}
        )

    def upload(
        self,
        hook: ApiframeHook,
        requests: Iterable[GenerateRequest],
        known: Mapping[str, str],
    ) -> Uploads:
        """Upload what *requests* need, each content once.

        :param known: SHA-256 -> URL of what an earlier try uploaded, and may have submitted.
        :raises UnreadableFileError: a file changed since the batch was read, or is away.
        :raises ApiframeError: the API is away.
        """
        paths = dict.fromkeys(path for request in requests for path in request.paths)
        first = {self.hashes[path]: path for path in reversed(paths)}  # one path for each content
        urls = {sha256: known[sha256] for sha256 in first.keys() & known.keys()}
        missing = [path for sha256, path in first.items() if sha256 not in urls]
        errors: dict[str, InvalidRequestError] = {}
        for path, uploaded in self._uploaded(hook, missing):
            try:
                urls[self.hashes[path]] = uploaded.result().url
            except InvalidRequestError as error:
                errors[self.hashes[path]] = error
        if missing:
            log.info("Uploaded %d input images", len(missing) - len(errors))
        return Uploads(
            {path: urls[self.hashes[path]] for path in paths if self.hashes[path] in urls},
            {path: errors[self.hashes[path]] for path in paths if self.hashes[path] in errors},
            frozenset(first.keys() & known.keys()),
        )

    def urls_by_content(self, request: GenerateRequest, uploads: Uploads) -> dict[str, str]:
        """Return what a line keeps of the uploads that its request is submitted with."""
        return {
            self.hashes[path]: uploads.urls[path] for path in request.paths if path in uploads.urls
        }

    def _uploaded(
        self, hook: ApiframeHook, paths: Iterable[str]
    ) -> Iterator[tuple[str, Future[UploadedFile]]]:
        threads = ThreadPoolExecutor(MAX_UPLOADS)
        in_flight: dict[Future[UploadedFile], str] = {}
        try:
            for path in paths:
                # Not on a thread: not all versions of Airflow give connections to threads.
                file = read_image(path, self.conn_id)
                if file.sha256 != self.hashes[path]:
                    raise UnreadableFileError(
                        f"The input image {path} changed while the batch ran. A retry takes it as "
                        "it is then.",
                        transient=True,
                    )
                in_flight[threads.submit(hook.client.upload, file)] = path
                del file
                while len(in_flight) >= MAX_UPLOADS:
                    for done in wait(in_flight, return_when=FIRST_COMPLETED).done:
                        yield in_flight.pop(done), done
            for done in wait(in_flight).done:
                yield in_flight.pop(done), done
        finally:
            threads.shutdown(wait=False, cancel_futures=True)
