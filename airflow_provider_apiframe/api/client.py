"""ApiframeClient: the endpoints over ``requests``. Its twin over ``httpx``: ``async_client.py``."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from functools import partial
from types import TracebackType
from typing import Any, TypeVar, cast

import requests
import tenacity
import urllib3

from airflow_provider_apiframe.api import endpoints
from airflow_provider_apiframe.api.body import PIECE_BYTES, BodyError, BoundedBody, within
from airflow_provider_apiframe.api.download import DownloadedImage, content_sha256, download
from airflow_provider_apiframe.api.endpoints import Call, Endpoint
from airflow_provider_apiframe.api.errors import ApiframeError
from airflow_provider_apiframe.api.image_file import ImageFile
from airflow_provider_apiframe.api.models import (
    Account,
    Job,
    JobAccepted,
    JobPage,
    ModelInfo,
    UploadedFile,
)
from airflow_provider_apiframe.api.params.request import ImageRequest
from airflow_provider_apiframe.api.responses import (
    Response,
    connection_error,
    parse_response,
    unexpected_response,
)
from airflow_provider_apiframe.api.retries import retry_options
from airflow_provider_apiframe.api.session import ApiframeSession
from airflow_provider_apiframe.api.settings import ClientSettings

T = TypeVar("T")


class ApiframeClient:
    """Apiframe's API, synchronously: ``with ApiframeClient(api_key="afk_...") as client: ...``.

    Every method raises an ``ApiframeError`` from ``errors.py`` when it fails.

    :param settings: API key, base URL and limits; or give them as keywords:
    :param sleep: waits the given seconds between retries.
    :param options: the fields of :class:`~airflow_provider_apiframe.api.settings.ClientSettings`:
        ``api_key``, ``base_url``, ``timeout``, ``max_retries``, ``verify``.
    :raises ConfigurationError: the key or the base URL cannot be used.
    """

    def __init__(
        self,
        settings: ClientSettings | None = None,
        *,
        sleep: Callable[[float], None] = time.sleep,
        **options: Any,
    ) -> None:
        self.settings = settings or ClientSettings(**options)
        self.session = ApiframeSession(self.settings)
        self._sleep = sleep

    def __enter__(self) -> ApiframeClient:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self.session.close()

    def submit(
        self, request: ImageRequest, idempotency_key: str | None = None, *, retry: bool = True
    ) -> JobAccepted:
        """Submit one image, which costs credits; see :func:`.endpoints.submit`.

        :param retry: as in :meth:`get_job`.
        """
        return self._run(endpoints.submit(request, idempotency_key), retry=retry)

    def get_job(self, job_id: str, *, retry: bool = True) -> Job:
        """Return the job as it is now.

        :param retry: retry after a transient error; False makes it one request.
        """
        return self._run(endpoints.get_job(job_id), retry=retry)

    def list_jobs(self, *, retry: bool = True, **filters: Any) -> JobPage:
        """Return one page of jobs, newest first; filters as in :func:`.endpoints.list_jobs`."""
        return self._run(endpoints.list_jobs(**filters), retry=retry)

    def get_account(self, *, retry: bool = True) -> Account:
        """Return user, team and credits left. Free.

        :param retry: as in :meth:`get_job`.
        """
        return self._run(endpoints.get_account(), retry=retry)

    def list_models(self, modality: str | None = "image", *, retry: bool = True) -> list[ModelInfo]:
        """Return the vendor's curated catalogue with price ranges.

        :param retry: as in :meth:`get_job`.
        """
        return self._run(endpoints.list_models(modality), retry=retry)

    def upload(self, file: ImageFile) -> UploadedFile:
        """Host an image for an hour or two; free. ``ImageFile.read`` makes one of an open file."""
        return self._run(endpoints.upload(file))

    def content_sha256(self, url: str, max_bytes: int) -> str:
        """Return the SHA-256 of what is behind *url*; see :func:`.download.content_sha256`."""
        settings = self.settings
        return content_sha256(
            url,
            timeout=settings.timeout,
            max_retries=settings.max_retries,
            verify=settings.verify,
            max_bytes=max_bytes,
            sleep=self._sleep,
        )

    def download(self, url: str, target: str | os.PathLike[str]) -> DownloadedImage:
        """Fetch an image into *target*, a file or a folder; see :func:`.download.download`."""
        settings = self.settings
        return download(
            url,
            target,
            timeout=settings.timeout,
            max_retries=settings.max_retries,
            verify=settings.verify,
            max_bytes=settings.max_image_bytes,
            sleep=self._sleep,
        )

    def _run(self, endpoint: Endpoint[T], *, retry: bool = True) -> T:
        send = self._send_with_retries if retry else self._send
        resume: Callable[[], Call[Any]] = partial(next, endpoint)
        while True:
            try:
                call = resume()
            except StopIteration as end:
                return cast(T, end.value)
            try:
                resume = partial(endpoint.send, send(call))
            except ApiframeError as error:
                resume = partial(endpoint.throw, error)

    def _send_with_retries(self, call: Call[Any]) -> Any:
        retrying = tenacity.Retrying(sleep=self._sleep, **retry_options(call, self.settings))
        return retrying(self._send, call)

    def _send(self, call: Call[Any]) -> Any:
        try:
            response = within(self.settings.timeout, partial(self._exchange, call))
        except BodyError as error:
            raise unexpected_response(call, str(error)) from None
        except (OSError, requests.RequestException, urllib3.exceptions.HTTPError) as error:
            # urllib3 wraps the reason in talk of its own retries.
            reason = getattr(error.args[0] if error.args else None, "reason", error)
            timed_out = isinstance(error, (TimeoutError, requests.Timeout))
            raise connection_error(call, reason, self.settings, timed_out=timed_out) from None
        return parse_response(call, response, self.settings)

    def _exchange(self, call: Call[Any]) -> Response:
        with self.session.request(
            call.method,
            call.url(self.settings),
            data=call.content,
            headers=call.headers(self.settings),
            timeout=self.settings.timeout,
            allow_redirects=False,
            stream=True,
        ) as response:
            body = BoundedBody()
            for piece in response.raw.stream(PIECE_BYTES, decode_content=False):
                body.add(piece)
            content = body.unpacked(response.headers.get("content-encoding", ""))
            return Response(response.status_code, response.headers, content)
