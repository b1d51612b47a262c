"""AsyncApiframeClient: the endpoints over ``httpx``. The twin of ``client.py``, with ``await``."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Awaitable, Callable
from functools import partial
from types import TracebackType
from typing import Any, TypeVar, cast
from urllib.parse import urlsplit

import anyio
import httpx
import tenacity

from airflow_provider_apiframe.api import endpoints
from airflow_provider_apiframe.api.body import PIECE_BYTES, BodyError, BoundedBody
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
from airflow_provider_apiframe.api.settings import ClientSettings, is_loopback

T = TypeVar("T")


class AsyncApiframeClient:
    """Apiframe's API for an event loop; see
    :class:`~airflow_provider_apiframe.api.client.ApiframeClient`.

    :param settings: API key, base URL and limits.
    :param sleep: waits the given seconds between retries.
    """

    def __init__(
        self,
        settings: ClientSettings,
        *,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self.settings = settings
        self._sleep = sleep
        # This machine is reached directly: through a proxy the key would leave it, unencrypted.
        direct = is_loopback(urlsplit(settings.base_url).hostname)
        verify = settings.verify
        self._http = httpx.AsyncClient(
            timeout=settings.timeout,
            verify=ssl.create_default_context(cafile=verify) if isinstance(verify, str) else verify,
            follow_redirects=False,
            trust_env=not direct,
        )

    @classmethod
    async def open(cls, settings: ClientSettings) -> AsyncApiframeClient:
        """Return a new client. What would block the event loop is read on a thread."""

        def new() -> AsyncApiframeClient:
            anyio.run(anyio.sleep, 0)  # loads what httpx would load at its first request
            return cls(settings)  # reads the CA certificates

        # Not asyncio.to_thread(): in a copy of this context another event loop would seem to run on
        # that thread.
        return await asyncio.get_running_loop().run_in_executor(None, new)

    async def __aenter__(self) -> AsyncApiframeClient:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def submit(
        self, request: ImageRequest, idempotency_key: str | None = None, *, retry: bool = True
    ) -> JobAccepted:
        """Submit one image, which costs credits; see :func:`.endpoints.submit`.

        :param retry: as in :meth:`get_job`.
        """
        return await self._run(endpoints.submit(request, idempotency_key), retry=retry)

    async def get_job(self, job_id: str, *, retry: bool = True) -> Job:
        """Return the job as it is now.

        :param retry: retry after a transient error; False makes it one request.
        """
        return await self._run(endpoints.get_job(job_id), retry=retry)

    async def list_jobs(self, *, retry: bool = True, **filters: Any) -> JobPage:
        """Return one page of jobs, newest first; filters as in :func:`.endpoints.list_jobs`."""
        return await self._run(endpoints.list_jobs(**filters), retry=retry)

    async def get_account(self) -> Account:
        """Return user, team and credits left. Free."""
        return await self._run(endpoints.get_account())

    async def list_models(self, modality: str | None = "image") -> list[ModelInfo]:
        """Return the vendor's curated catalogue with price ranges."""
        return await self._run(endpoints.list_models(modality))

    async def upload(self, file: ImageFile) -> UploadedFile:
        """Host an image for an hour or two; free. ``ImageFile.read`` makes one of an open file."""
        return await self._run(endpoints.upload(file))

    async def _run(self, endpoint: Endpoint[T], *, retry: bool = True) -> T:
        send = self._send_with_retries if retry else self._send
        resume: Callable[[], Call[Any]] = partial(next, endpoint)
        while True:
            try:
                call = resume()
            except StopIteration as end:
                return cast(T, end.value)
            try:
                resume = partial(endpoint.send, await send(call))
            except ApiframeError as error:
                resume = partial(endpoint.throw, error)

    async def _send_with_retries(self, call: Call[Any]) -> Any:
        retrying = tenacity.AsyncRetrying(sleep=self._sleep, **retry_options(call, self.settings))
        return await retrying(self._send, call)

    async def _send(self, call: Call[Any]) -> Any:
        try:
            async with asyncio.timeout(self.settings.timeout):
                response = await self._exchange(call)
        except BodyError as error:
            raise unexpected_response(call, str(error)) from None
        except (OSError, httpx.HTTPError, httpx.InvalidURL, httpx.StreamError) as error:
            timed_out = isinstance(error, (TimeoutError, httpx.TimeoutException))
            raise connection_error(call, error, self.settings, timed_out=timed_out) from None
        return parse_response(call, response, self.settings)

    async def _exchange(self, call: Call[Any]) -> Response:
        async with self._http.stream(
            call.method,
            call.url(self.settings),
            content=call.content,
            headers=call.headers(self.settings),
        ) as response:
            body = BoundedBody()
            async for piece in response.aiter_raw(PIECE_BYTES):
                body.add(piece)
            content = body.unpacked(response.headers.get("content-encoding", ""))
            return Response(response.status_code, response.headers, content)
