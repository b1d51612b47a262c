"""The HTTP protocol without I/O: what to send, and what may be repeated. What an answer means is in
``answers.py``.

Both clients are driven by this module; they only move bytes and sleep. A :class:`Call` is a request
together with the function that reads its answer; :meth:`Protocol.retrying` gives tenacity's
arguments, the same for both clients.
"""

from __future__ import annotations

import json
import logging
import random
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar
from urllib.parse import quote, urlencode, urlsplit

import tenacity
from pydantic import BaseModel

from airflow_provider_apiframe import __version__
from airflow_provider_apiframe.api.errors import (
    ApiframeError,
    ConflictError,
    ConnectionFailedError,
    InvalidRequestError,
    RateLimitedError,
    UnexpectedResponseError,
)
from airflow_provider_apiframe.api.models import Account, Job, JobAccepted, JobPage, ModelList
from airflow_provider_apiframe.api.params.flux import respell
from airflow_provider_apiframe.api.params.request import GenerateRequest, check_job_id
from airflow_provider_apiframe.api.responses import Response, parse_response
from airflow_provider_apiframe.api.settings import ClientSettings

log = logging.getLogger(__name__)

T = TypeVar("T")
M = TypeVar("M", bound=BaseModel)

USER_AGENT = f"airflow-provider-apiframe/{__version__}"
"""On every request: without a product name the vendor's proxy answers 403 ``error code: 1010``."""

API_KEY_HEADER = "X-API-Key"
IDEMPOTENCY_HEADER = "Idempotency-Key"
IDEMPOTENCY_KEY_MAX_LENGTH = 255  # OpenAPI parameter IdempotencyKey

# Seconds. Full jitter below a bound that doubles, as the vendor's own SDK does it.
BACKOFF_START = 0.5
BACKOFF_CAP = 30.0
RETRY_AFTER_CAP = 300.0  # an API that asks for more is asked again all the same
# Seconds for a call with all its repeats and pauses: two pauses as long as they may be do not fit.
# What is left to do then is Airflow's: its retry holds no worker slot while it waits.
MAX_RETRY_SECONDS = 600.0


@dataclass(frozen=True)
class Request:
    """One HTTP request, ready to send. ``headers`` holds the API key and is never shown."""

    method: str
    url: str
    headers: dict[str, str] = field(repr=False)
    body: bytes | None = None

    @property
    def target(self) -> str:
        """Method and path, for error texts: no host, no query."""
        return f"{self.method} {urlsplit(self.url).path}"


@dataclass(frozen=True)
class Call(Generic[T]):
    """A request and the function that reads its answer.

    ``idempotent`` says that sending it twice does what sending it once does: a GET, or a POST with
    an idempotency key. ``job_id`` is the job it asks for, if it does; every error of the call
    carries it.
    """

    request: Request
    read: Callable[[Response], T]
    idempotent: bool = True
    job_id: str | None = None


class Protocol:
    """Builds the calls for one API key and base URL."""

    def __init__(self, settings: ClientSettings) -> None:
        self.settings = settings

    def generate(self, request: GenerateRequest, idempotency_key: str | None) -> Call[JobAccepted]:
        """``POST /v2/images/generate``. Costs credits when it is accepted.

        :param idempotency_key: 1-255 ASCII characters; a repeat within 24 h gives the first job and
            costs nothing.
        :raises InvalidRequestError: if the key is something else.
        """
        if idempotency_key is not None and (
            not 0 < len(idempotency_key) <= IDEMPOTENCY_KEY_MAX_LENGTH
            or not (idempotency_key.isascii() and idempotency_key.isprintable())
            or idempotency_key
            != idempotency_key.strip()  # a header's outer white space is lost on the way
        ):
            raise InvalidRequestError(
                f"idempotency_key={idempotency_key!r}: must be 1 to {IDEMPOTENCY_KEY_MAX_LENGTH} printable ASCII characters"
            )
        return self._submit(request.to_payload(), idempotency_key)

    def alternative_spellings(
        self, call: Call[JobAccepted], error: InvalidRequestError | ConflictError
    ) -> Iterator[Call[JobAccepted]]:
        """Yield the submit in the other dialect (see ``flux_params.py``), where that may be what
        the API wants.

        After a 400 it is, if nothing but a spelling was refused. After a 409 the key may have made
        its job in the other spelling, before this call; which one was refused then is not known, so
        each is tried. The idempotency key stays the same in all of them: a refused request created
        nothing, and a key makes one job.
        """
        body, key = (
            json.loads(call.request.body or b"{}"),
            call.request.headers.get(IDEMPOTENCY_HEADER),
        )
        params = body.get("fluxParams", {})
        guesses: list[list[str]] = []
        if isinstance(error, ConflictError):
            guesses = (
                [["aspect_ratio", "resolution"], ["aspect_ratio"], ["resolution"]] if key else []
            )
        elif all(name.startswith("fluxParams.") for name in error.fields):
            guesses = [[name.removeprefix("fluxParams.") for name in error.fields]]
        for refused in guesses:
            other = respell(params, refused, model=body.get("model"))
            if other is not None:
                log.info(
                    "The API refused a spelling (%s); submitting once more in its other one.",
                    ", ".join(refused),
                )
                yield self._submit({**body, "fluxParams": other}, key)

    def _submit(self, body: dict[str, Any], idempotency_key: str | None) -> Call[JobAccepted]:
        headers = {"Content-Type": "application/json"}
        if idempotency_key is not None:
            headers[IDEMPOTENCY_HEADER] = idempotency_key
        request = self._request(
            "POST", "/v2/images/generate", headers=headers, body=json.dumps(body).encode()
        )
        return self._call(request, JobAccepted, idempotent=idempotency_key is not None)

    def job(self, job_id: str) -> Call[Job]:
        """``GET /v2/jobs/{id}``.

        :raises InvalidRequestError: if *job_id* is not text or is blank.
        """
        job_id = check_job_id(job_id)
        call = self._call(self._request("GET", f"/v2/jobs/{quote(job_id, safe='')}"), Job)

        def read(response: Response) -> Job:
            try:
                return call.read(response)
            except ApiframeError as error:
                error.job_id = job_id
                raise

        return Call(call.request, read, job_id=job_id)

    def jobs(
        self,
        *,
        limit: int = 20,
        cursor: str | None = None,
        status: str | None = None,
        model: str | None = None,
        scope: str | None = None,
    ) -> Call[JobPage]:
        """``GET /v2/jobs``: one page, newest first; *limit* 1-100, *scope* "user" or "team" (admins only)."""
        query = {"limit": limit, "cursor": cursor, "status": status, "model": model, "scope": scope}
        return self._call(self._request("GET", "/v2/jobs", query=query), JobPage)

    def account(self) -> Call[Account]:
        """``GET /v2/me``. Free; the cheapest test of a key."""
        return self._call(self._request("GET", "/v2/me"), Account)

    def models(self, *, modality: str | None = "image") -> Call[ModelList]:
        """``GET /v2/models``: the vendor's curated catalogue of *modality* "image", "video" or "music"; None for all."""
        return self._call(
            self._request("GET", "/v2/models", query={"modality": modality}), ModelList
        )

    def _request(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
        body: bytes | None = None,
    ) -> Request:
        given = {name: value for name, value in (query or {}).items() if value is not None}
        url = f"{self.settings.base_url}{path}{'?' + urlencode(given) if given else ''}"
        own = {
            "Accept": "application/json",
            "User-Agent": USER_AGENT,
            API_KEY_HEADER: self.settings.api_key,
        }
        return Request(method, url, {**own, **(headers or {})}, body)

    def _call(self, request: Request, model: type[M], *, idempotent: bool = True) -> Call[M]:
        def read(response: Response) -> M:
            return parse_response(
                model, request.target, response, self.settings, idempotent=idempotent
            )

        return Call(request, read, idempotent)

    def connection_error(
        self, call: Call[Any], error: object, *, timed_out: bool
    ) -> ConnectionFailedError:
        """Return the error for a call that got no answer, from what the HTTP library raised."""
        said = (
            f"none within {self.settings.timeout:g} s"
            if timed_out
            else f"{type(error).__name__}: {error}"
        )
        return ConnectionFailedError(
            f"{call.request.target} got no answer from {self.settings.base_url}: {self.settings.redact(said)}",
            job_id=call.job_id,
        )

    def retrying(self, call: Call[Any]) -> dict[str, Any]:
        """Return the arguments for tenacity's ``Retrying`` and ``AsyncRetrying``.

        Transient errors of an idempotent call are repeated after :func:`retry_backoff` seconds,
        ``max_retries`` times and within ``MAX_RETRY_SECONDS``; the last error then says so. An
        answer that cannot be used is not repeated. Without an idempotency key a POST is repeated
        only after 429, which says that nothing was accepted.
        """

        def may_repeat(error: BaseException) -> bool:
            if isinstance(error, RateLimitedError):
                return True
            if isinstance(
                error, UnexpectedResponseError
            ):  # the API answered: what is wrong with it does not pass in seconds
                return False
            return call.idempotent and isinstance(error, ApiframeError) and error.transient

        def pause(state: tenacity.RetryCallState) -> float:
            return retry_backoff(
                state.attempt_number, getattr(_error_of(state), "retry_after", None)
            )

        def stop(state: tenacity.RetryCallState) -> bool:
            return (
                state.attempt_number > self.settings.max_retries
                or _elapsed(state) + state.upcoming_sleep > MAX_RETRY_SECONDS
            )

        def report(state: tenacity.RetryCallState) -> None:
            tries = f"try {state.attempt_number} of {self.settings.max_retries + 1}"
            log.warning(
                "%s; repeating in %.1f s (%s)",
                str(_error_of(state)).rstrip("."),
                state.upcoming_sleep,
                tries,
            )

        def give_up(state: tenacity.RetryCallState) -> None:
            error = _error_of(state)
            tries = (
                "once"
                if state.attempt_number == 1
                else f"{state.attempt_number} times in {_elapsed(state):.0f} s"
            )
            why = ""
            if state.attempt_number <= self.settings.max_retries:
                why = f"; a pause of {state.upcoming_sleep:.0f} s more would exceed its budget of {MAX_RETRY_SECONDS:g} s"
            perhaps = ""
            if call.request.method == "POST" and not isinstance(error, RateLimitedError):
                perhaps = " It may have been accepted and paid for all the same: the same idempotency key finds it, within 24 hours."
            raise error.adding(f"Tried {tries}{why}.{perhaps}")

        return {
            "before_sleep": report,
            "retry": tenacity.retry_if_exception(may_repeat),
            "wait": pause,
            "stop": stop,
            "retry_error_callback": give_up,
        }


def _error_of(state: tenacity.RetryCallState) -> ApiframeError:
    error = state.outcome.exception() if state.outcome else None
    assert isinstance(error, ApiframeError), "tenacity asks after errors that may be repeated"
    return error


def _elapsed(state: tenacity.RetryCallState) -> float:
    # Pauses count in full even where a test lets none of them happen.
    return max(state.seconds_since_start or 0.0, state.idle_for)


def retry_backoff(attempt: int, asked: float | None) -> float:
    """Return how many seconds to wait after failed attempt number *attempt* (1, 2, ...).

    Full jitter below a doubling bound, but at least what the API *asked* for (at most 5 minutes of
    it).
    """
    backoff = random.uniform(0, min(BACKOFF_CAP, BACKOFF_START * 2 ** (attempt - 1)))
    return max(backoff, min(asked or 0.0, RETRY_AFTER_CAP))
