"""AsyncApiframeClient: the protocol over ``httpx``.

The twin of ``client.py``; they differ in ``await`` only.
"""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from types import TracebackType
from typing import Any, TypeVar
from urllib.parse import urlsplit

import anyio
import httpx
import tenacity

from airflow_provider_apiframe.api.endpoints import Call, Protocol
from airflow_provider_apiframe.api.errors import ApiframeError, ConflictError, InvalidRequestError
from airflow_provider_apiframe.api.models import Account, Job, JobAccepted, JobPage, ModelInfo
from airflow_provider_apiframe.api.params.request import GenerateRequest
from airflow_provider_apiframe.api.responses import Response
from airflow_provider_apiframe.api.settings import ClientSettings, is_loopback
from airflow_provider_apiframe.polling.rate_limit import Durations
from airflow_provider_apiframe.polling.schedule import Schedule
from airflow_provider_apiframe.polling.wait import Wait

T = TypeVar("T")


class AsyncApiframeClient:
    """Apiframe's API for an event loop. Every method raises an ``ApiframeError`` from ``errors.py``
    when it fails.

    :param settings: API key, base URL and limits.
    :param sleep: waits the given seconds between repeats and polls.
    :param clock: gives the seconds since the epoch.
    """

    def __init__(
        self,
        settings: ClientSettings,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._protocol = Protocol(settings)
        self._sleep = sleep
        self._clock = clock
        self._durations = Durations()
        self.settings = settings
        verify = (
            ssl.create_default_context(cafile=settings.verify)
            if isinstance(settings.verify, str)
            else settings.verify
        )
        # This machine is reached directly: through a proxy the key would leave it, unencrypted.
        direct = is_loopback(urlsplit(settings.base_url).hostname)
        self._client = httpx.AsyncClient(
            timeout=settings.timeout, verify=verify, follow_redirects=False, trust_env=not direct
        )

    @classmethod
    async def open(cls, settings: ClientSettings) -> AsyncApiframeClient:
        """Return a new client. What would block the event loop, modules and CA files, is read on a thread."""

        def new() -> AsyncApiframeClient:
            anyio.run(anyio.sleep, 0)  # loads what httpx would load at its first request
            return cls(settings)

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
        await self._client.aclose()

    async def generate(
        self, request: GenerateRequest, idempotency_key: str | None = None
    ) -> JobAccepted:
        """Submit one image; costs credits.

        Refused for its spelling alone, it is said once more in the other dialect.
        """
        call = self._protocol.generate(request, idempotency_key)
        try:
            return await self._send(call)
        except (InvalidRequestError, ConflictError) as error:
            for other in self._protocol.alternative_spellings(call, error):
                with suppress(InvalidRequestError, ConflictError):
                    return await self._send(other)
            raise

    async def get_job(self, job_id: str, *, retry: bool = True) -> Job:
        """Return the job as it is now.

        :param retry: retry after a transient error; False makes it one request, for callers that
            ask again anyway.
        """
        call = self._protocol.job(job_id)
        return await self._send(call) if retry else await self._send_once(call)

    async def wait_for_job(self, wait: Wait) -> Job:
        """Ask for a job until it is finished, in whatever state, and return it. Outages are ridden
        out until the deadline.

        :raises JobTimeoutError: not finished at the deadline.
        """
        call = self._protocol.job(wait.job_id)
        schedule = Schedule(durations=self._durations)
        schedule.add(wait, self._clock())
        while True:
            now = self._clock()
            if (pause := schedule.next_look(now).at - now) > 0:
                await self._sleep(pause)
            try:
                ended = schedule.saw(wait.job_id, await self._send_once(call), self._clock())
            except ApiframeError as error:
                ended = schedule.failed(wait.job_id, error, self._clock())
            for _, outcome in ended:
                if isinstance(outcome, Job):
                    return outcome
                raise outcome

    async def list_jobs(self, *, retry: bool = True, **filters: Any) -> JobPage:
        """Return one page of jobs, newest first; filters as in :meth:`Protocol.jobs`, retry as in :meth:`get_job`."""
        call = self._protocol.jobs(**filters)
        return await self._send(call) if retry else await self._send_once(call)

    async def get_account(self) -> Account:
        """Return user, team and credits left. Free."""
        return await self._send(self._protocol.account())

    async def list_models(self, modality: str | None = "image") -> list[ModelInfo]:
        """Return the vendor's curated catalogue with price ranges."""
        return (await self._send(self._protocol.models(modality=modality))).models

    async def _send(self, call: Call[T]) -> T:
        return await tenacity.AsyncRetrying(sleep=self._sleep, **self._protocol.retrying(call))(
            self._send_once, call
        )

    async def _send_once(self, call: Call[T]) -> T:
        request = call.request
        try:
            answer = await self._client.request(
                request.method, request.url, content=request.body, headers=request.headers
            )
        except httpx.HTTPError as error:
            raise self._protocol.connection_error(
                call, error, timed_out=isinstance(error, httpx.TimeoutException)
            ) from None
        return call.read(Response(answer.status_code, answer.headers, answer.content))
