"""ApiframeClient: the protocol over ``requests``.

Its twin over ``httpx`` is in ``async_client.py``.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType
from typing import Any, TypeVar, cast
from urllib.parse import urlsplit

import requests
import tenacity

from airflow_provider_apiframe.api.endpoints import API_KEY_HEADER, USER_AGENT, Call, Protocol
from airflow_provider_apiframe.api.errors import ApiframeError, ConflictError, InvalidRequestError
from airflow_provider_apiframe.api.models import Account, Job, JobAccepted, JobPage, ModelInfo
from airflow_provider_apiframe.api.params.request import GenerateRequest
from airflow_provider_apiframe.api.responses import Response
from airflow_provider_apiframe.api.settings import ClientSettings, is_loopback
from airflow_provider_apiframe.polling.rate_limit import Durations
from airflow_provider_apiframe.polling.schedule import Schedule
from airflow_provider_apiframe.polling.wait import Wait

T = TypeVar("T")


class ApiframeSession(requests.Session):
    """A ``requests.Session`` that sends the API key to the API's own scheme, host and port, and nowhere else."""

    __attrs__ = [*requests.Session.__attrs__, "_settings", "_origin"]  # noqa: RUF012  # what a copy keeps

    def __init__(self, settings: ClientSettings) -> None:
        super().__init__()
        self._settings = settings
        self._origin = _origin(settings.base_url)
        self.verify = settings.verify
        # This machine is reached directly: through a proxy the key would leave it, unencrypted.
        self.trust_env = not is_loopback(self._origin[1])
        self.headers["User-Agent"] = USER_AGENT
        self.auth = self._sign

    def _sign(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        if _origin(request.url or "") == self._origin:
            request.headers[API_KEY_HEADER] = self._settings.api_key
        return request

    def merge_environment_settings(
        self, url: Any, proxies: Any, stream: Any, verify: Any, cert: Any
    ) -> Any:
        """Let a CA bundle of the connection win over REQUESTS_CA_BUNDLE; requests itself has it the other way round."""
        verify = self._settings.verify if verify is None else verify
        return super().merge_environment_settings(url, proxies, stream, verify, cert)

    def get_redirect_target(self, resp: requests.Response) -> str | None:
        """Return where a redirect leads, or None if that cannot be read; requests itself would raise a bare ValueError."""
        target = super().get_redirect_target(resp)
        try:
            urlsplit(target or "")
        except ValueError:
            return None
        return str(target) if target else None

    def rebuild_auth(
        self, prepared_request: requests.PreparedRequest, response: requests.Response
    ) -> None:
        """Drop the API key when a redirect leads to another host; requests itself drops only ``Authorization``."""
        super().rebuild_auth(prepared_request, response)  # type: ignore[no-untyped-call]
        if _origin(prepared_request.url or "") != self._origin:
            prepared_request.headers.pop(API_KEY_HEADER, None)


def _origin(url: str) -> tuple[str, str | None, int | None]:
    parts = urlsplit(url)
    return parts.scheme, parts.hostname, parts.port or {"https": 443, "http": 80}.get(parts.scheme)


class ApiframeClient:
    """Apiframe's API, synchronously. Every method raises an ``ApiframeError`` from ``errors.py``
    when it fails.

    :param settings: API key, base URL and limits.
    :param sleep: waits the given seconds between repeats and polls.
    :param clock: gives the seconds since the epoch.
    """

    def __init__(
        self,
        settings: ClientSettings,
        sleep: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._protocol = Protocol(settings)
        self._sleep = sleep
        self._clock = clock
        self._durations = Durations()
        self.settings = settings
        self.session = ApiframeSession(settings)

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

    def generate(self, request: GenerateRequest, idempotency_key: str | None = None) -> JobAccepted:
        """Submit one image; costs credits.

        Refused for its spelling alone, it is said once more in the other dialect.
        """
        call = self._protocol.generate(request, idempotency_key)
        try:
            return self._send(call)
        except (InvalidRequestError, ConflictError) as error:
            for other in self._protocol.alternative_spellings(call, error):
                with suppress(InvalidRequestError, ConflictError):
                    return self._send(other)
            raise

    def get_job(self, job_id: str, *, retry: bool = True) -> Job:
        """Return the job as it is now.

        :param retry: retry after a transient error; False makes it one request, for callers that
            ask again anyway.
        """
        call = self._protocol.job(job_id)
        return self._send(call) if retry else self._send_once(call)

    def wait_for_job(self, wait: Wait) -> Job:
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
                self._sleep(pause)
            try:
                ended = schedule.saw(wait.job_id, self._send_once(call), self._clock())
            except ApiframeError as error:
                ended = schedule.failed(wait.job_id, error, self._clock())
            for _, outcome in ended:
                if isinstance(outcome, Job):
                    return outcome
                raise outcome

    def list_jobs(self, *, retry: bool = True, **filters: Any) -> JobPage:
        """Return one page of jobs, newest first; filters as in :meth:`Protocol.jobs`, retry as in :meth:`get_job`."""
        call = self._protocol.jobs(**filters)
        return self._send(call) if retry else self._send_once(call)

    def get_account(self) -> Account:
        """Return user, team and credits left. Free."""
        return self._send(self._protocol.account())

    def list_models(self, modality: str | None = "image") -> list[ModelInfo]:
        """Return the vendor's curated catalogue with price ranges."""
        return self._send(self._protocol.models(modality=modality)).models

    def _send(self, call: Call[T]) -> T:
        retrying = tenacity.Retrying(sleep=self._sleep, **self._protocol.retrying(call))
        return cast(T, retrying(self._send_once, call))

    def _send_once(self, call: Call[T]) -> T:
        request = call.request
        try:
            answer = self.session.request(
                request.method,
                request.url,
                data=request.body,
                headers=request.headers,
                timeout=self.settings.timeout,
                allow_redirects=False,
            )
        except requests.RequestException as error:
            cause = getattr(
                error.args[0] if error.args else None, "reason", error
            )  # urllib3 wraps it in talk of its retries
            raise self._protocol.connection_error(
                call, cause, timed_out=isinstance(error, requests.Timeout)
            ) from None
        return call.read(Response(answer.status_code, answer.headers, answer.content))
