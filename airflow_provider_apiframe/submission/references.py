"""The files among a request's reference images: read, hashed, and uploaded before each submit.

An upload has another URL each time, so what keys and records are made of names the content's hash
in place of each path: :meth:`References.hashed` is the same on every try. What is sent,
:meth:`References.sent`, names the uploads.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Self

from airflow_provider_apiframe.api.errors import InvalidRequestError, UnreadableFileError
from airflow_provider_apiframe.api.params.request import ImageRequest
from airflow_provider_apiframe.hooks.uploads import read_image
from airflow_provider_apiframe.submission.idempotency import SubmissionRecord

if TYPE_CHECKING:
    from airflow_provider_apiframe.api.image_file import ImageFile
    from airflow_provider_apiframe.hooks.apiframe import ApiframeHook

log = logging.getLogger(__name__)

HASH_PREFIX = "sha256:"


@dataclass(frozen=True)
class References:
    """What one try knows of a request's files.

    :param request: names them by their paths.
    :param hashes: path -> SHA-256 of the content.
    :param files: SHA-256 -> the file. One that only an earlier try could read is not in it.
    :param uploads: SHA-256 -> URL of an upload that is to be used.
    """

    request: ImageRequest
    hashes: Mapping[str, str]
    files: Mapping[str, ImageFile] = field(repr=False)
    uploads: Mapping[str, str] = field(default_factory=dict, repr=False)

    @classmethod
    def read(
        cls,
        request: ImageRequest,
        storage_conn_id: str | None,
        record: SubmissionRecord | None,
    ) -> Self:
        """Read the files of *request*.

        :param storage_conn_id: Airflow connection for storage paths that name none.
        :param record: of an earlier try. A hash that it found stands in for a file that cannot be
            read any more, or is no image any more: the job may be paid already.
        :raises UnreadableFileError, InvalidRequestError: a file cannot be used.
        """
        hashes: dict[str, str] = {}
        files: dict[str, ImageFile] = {}
        for path in request.paths:
            try:
                file = read_image(path, storage_conn_id)
            except (UnreadableFileError, InvalidRequestError) as error:
                known = record.hash_of(path) if record else None
                if known is None:
                    raise
                log.warning("Going by the content that an earlier try found. %s", error)
                hashes[path] = known
            else:
                hashes[path] = file.sha256
                files[file.sha256] = file
        return cls(request, hashes, files)

    @property
    def hashed(self) -> ImageRequest:
        """The request with "sha256:..." in place of each path. It is never sent."""
        return self.request.replacing(
            {path: f"{HASH_PREFIX}{sha256}" for path, sha256 in self.hashes.items()}
        )

    @property
    def sent(self) -> ImageRequest:
        """The request with the URL of an upload, or the file's content, in place of each path.

        :raises UnreadableFileError: a file is missing that is sent within the request.
        :raises InvalidRequestError: it is too large for that.
        """
        inline = self.request.inline_paths
        return self.request.replacing(
            {
                path: self._file(path).inline() if path in inline else self.uploads[sha256]
                for path, sha256 in self.hashes.items()
            }
        )

    def uploaded(self, hook: ApiframeHook) -> References:
        """Upload what has no upload yet.

        :raises UnreadableFileError: a file is missing, and was not uploaded before.
        """
        uploads = dict(self.uploads)
        for path, sha256 in self.hashes.items():
            if sha256 in uploads or path in self.request.inline_paths:
                continue
            uploads[sha256] = hook.client.upload(self._file(path)).url
            log.info("Uploaded the input image %s", path)
        return self.using(uploads)

    def _file(self, path: str) -> ImageFile:
        file = self.files.get(self.hashes[path])
        if file is None:
            raise UnreadableFileError(
                f"The input image {path} could be read by an earlier try, and now it cannot. "
                "Put it back and clear the task.",
                transient=False,
            )
        return file

    def using(self, uploads: Mapping[str, str]) -> References:
        """Return the same files with other *uploads*."""
        return replace(self, uploads=uploads)
