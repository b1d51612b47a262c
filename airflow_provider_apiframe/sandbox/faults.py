"""What goes wrong: by share and seed, or one fault after another as a test scripts it."""

from __future__ import annotations

import json
import random
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from threading import Lock
from typing import Any, Literal

from airflow_provider_apiframe.sandbox.settings import Settings

Share = Literal["fail_rate", "error_rate", "drop_responses", "gateway_timeouts"]

ROUTES = ("generate", "job", "jobs", "me", "models", "image")
ANY = "any"

GATEWAY_PAGE = (
    "<html><head><title>{status} {phrase}</title></head>"
    "<body><center><h1>{status} {phrase}</h1></center><hr><center>cloudflare</center></body></html>"
)


@dataclass(frozen=True, slots=True)
class Fault:
    """One scripted fault, see `Faults.next`."""

    route: str
    status: int | None = None
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    drop: bool = False
    delay: float = 0.0
    cut_after: int | None = None
    applied: bool = False

    @property
    def replaces_answer(self) -> bool:
        """Whether the true answer is withheld."""
        return self.drop or self.status is not None


class Faults:
    """The settings now in force, the rng for their shares, and the queue of scripted faults. Safe
    across threads.

    Args:
        settings: the settings to start with, and to return to on `reset`.
    """

    def __init__(self, settings: Settings) -> None:
        self._lock = Lock()
        self._first_settings = settings
        self._settings = settings
        self._queue: deque[Fault] = deque()
        self._rngs: dict[str, random.Random] = {}

    @property
    def settings(self) -> Settings:
        """The settings now in force."""
        return self._settings

    @property
    def queued(self) -> int:
        """How many scripted faults still wait for a request."""
        return len(self._queue)

    def configure(self, options: Mapping[str, Any]) -> None:
        """Put `options` (names of `Options`) into the settings; naming `seed` throws the rng anew."""
        with self._lock:
            self._settings = self._settings.changed(options)
            if "seed" in options:
                self._rngs.clear()

    def reset(self) -> None:
        """Go back to the first settings, drop what is queued, throw the rng anew."""
        with self._lock:
            self._settings = self._first_settings
            self._queue.clear()
            self._rngs.clear()

    def next(
        self,
        route: str,
        *,
        times: int = 1,
        status: int | None = None,
        body: str | bytes | Mapping[str, Any] | list[Any] | None = None,
        content_type: str | None = None,
        headers: Mapping[str, str] | None = None,
        retry_after: str | float | None = None,
        drop: bool = False,
        delay: float = 0.0,
        cut_after: int | None = None,
        applied: bool | None = None,
    ) -> None:
        """Queue a fault for the next `times` requests to `route`; faults of a route happen in the
        order queued.

        Args:
            route: generate, job, jobs, me, models, image or any.
            times: how many requests it meets, 1 or more.
            status: HTTP status answered instead; 429 when only `retry_after` is given, 200 when
                only `body` is.
            body: body answered instead, a mapping or list as JSON. Default: {"error": ...}, for 502
                and 504 a proxy's HTML page, for 3xx nothing.
            content_type: default by the look of the body: JSON, HTML or plain text.
            headers: more headers of that answer, e.g. {"Location": "/elsewhere"}.
            retry_after: value of the Retry-After header, sent as given.
            drop: close the connection without any answer.
            delay: seconds to wait before anything else happens; alone, it only slows the true
                answer down.
            cut_after: close the connection after so many bytes of the true answer's body.
            applied: whether the request takes effect although its answer is withheld. Default: only
                with `drop`.

        Raises:
            ValueError: an argument is out of its range, or no fault is described.
        """
        fault = _fault(
            route,
            status,
            body,
            content_type,
            headers or {},
            retry_after,
            drop,
            delay,
            cut_after,
            applied,
        )
        if isinstance(times, bool) or not isinstance(times, int) or times < 1:
            raise ValueError(f"times must be a whole number of 1 or more, not {times!r}")
        with self._lock:
            self._queue.extend([fault] * times)

    def take(self, route: str) -> Fault | None:
        """Return the first queued fault for this route and forget it; None when there is none."""
        with self._lock:
            fault = next((fault for fault in self._queue if fault.route in (route, ANY)), None)
            if fault is not None:
                self._queue.remove(fault)
            return fault

    def should_inject(self, share: Share) -> bool:
        """Throw the rng for one of the shares."""
        with self._lock:
            rate: float = getattr(self._settings, share)
            return rate > 0 and self._rng(share).random() < rate

    def job_seconds(self) -> float:
        """Return how long the next job takes."""
        with self._lock:
            return self._rng("latency").uniform(*self._settings.latency)

    def _rng(self, name: str) -> random.Random:
        # One die for each kind, so that turning one fault on does not move the others.
        if name not in self._rngs:
            seed = self._settings.seed
            self._rngs[name] = random.Random(None if seed is None else f"{seed}/{name}")
        return self._rngs[name]


def _fault(
    route: str,
    status: int | None,
    body: str | bytes | Mapping[str, Any] | list[Any] | None,
    content_type: str | None,
    headers: Mapping[str, str],
    retry_after: str | float | None,
    drop: bool,
    delay: float,
    cut_after: int | None,
    applied: bool | None,
) -> Fault:
    if route not in (*ROUTES, ANY):
        raise ValueError(f"unknown route {route!r}; known: {', '.join((*ROUTES, ANY))}")
    if status is None and (retry_after is not None or body is not None):
        status = 429 if retry_after is not None else 200
    if status is not None and status not in range(200, 600):
        raise ValueError(f"status must be from 200 to 599, not {status!r}")
    if delay < 0 or (cut_after is not None and cut_after < 0):
        raise ValueError(f"delay and cut_after must be 0 or more, not {delay!r} and {cut_after!r}")
    if status is None and not drop and not delay and cut_after is None:
        raise ValueError(
            "a fault needs at least one of status, body, retry_after, drop, delay and cut_after"
        )
    sent: dict[str, str] = {}
    raw = b""
    if status is not None:
        raw, guessed = _body(status, body)
        sent = {"content-type": content_type or guessed} if raw or content_type else {}
        if retry_after is not None:
            sent["retry-after"] = str(retry_after)
        sent.update({name.lower(): value for name, value in headers.items()})
    return Fault(
        route, status, raw, sent, drop, delay, cut_after, drop if applied is None else applied
    )


def _body(
    status: int, body: str | bytes | Mapping[str, Any] | list[Any] | None
) -> tuple[bytes, str]:
    phrase = (
        HTTPStatus(status).phrase if status in {known.value for known in HTTPStatus} else "Unknown"
    )
    if body is None and 300 <= status < 400:
        return b"", ""
    if body is None and status in (502, 504):
        body = GATEWAY_PAGE.format(status=status, phrase=phrase)
    elif body is None:
        body = {"error": phrase}
    if isinstance(body, str | bytes):
        raw = body.encode() if isinstance(body, str) else body
        return raw, "text/html; charset=utf-8" if raw.lstrip().startswith(
            b"<"
        ) else "text/plain; charset=utf-8"
    return json.dumps(body).encode(), "application/json"
