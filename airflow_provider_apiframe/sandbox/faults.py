"""What goes wrong: by share and seed, or one fault after another as a test scripts it."""

from __future__ import annotations

import json
import random
from collections import deque
from collections.abc import Mapping
from http import HTTPStatus
from threading import Lock
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from airflow_provider_apiframe.sandbox.options import OptionModel
from airflow_provider_apiframe.sandbox.settings import Seconds, Settings

Route = Literal[
    "generate",
    "upscale",
    "edit",
    "background_remove",
    "midjourney_action",
    "job",
    "jobs",
    "me",
    "models",
    "image",
    "upload",
    "uploaded_file",
    "any",
]
ShareName = Literal[
    "fail_rate", "error_rate", "drop_responses", "gateway_timeouts", "cdn_errors", "cdn_cut"
]

GATEWAY_PAGE = (
    "<html><head><title>{status} {phrase}</title></head>"
    "<body><center><h1>{status} {phrase}</h1></center><hr><center>cloudflare</center></body></html>"
)


class Fault(OptionModel):
    """One scripted fault: what happens to a request instead of its true response.

    :param route: whose requests it meets: generate, upscale, edit, background_remove,
        midjourney_action, job, jobs, me, models, image, upload, uploaded_file or any.
    :param status: HTTP status of the response, 200-599. Default: 429 where only `retry_after` is
        given, 200 where only `body` is.
    :param body: body of the response; a mapping or list is sent as JSON. Default: {"error": ...},
        for 502 and 504 a proxy's HTML page, for 3xx nothing.
    :param content_type: default by the look of the body: JSON, HTML or plain text.
    :param headers: more headers of the response, e.g. {"Location": "/elsewhere"}. A Content-Length
        beyond the body needs `cut_after`.
    :param retry_after: value of the Retry-After header, sent as given.
    :param drop: close the connection without any response.
    :param delay: seconds, 0 or more, to wait before anything else happens; alone, it only slows
        the true response down.
    :param cut_after: close the connection after so many bytes of the response's body.
    :param applied: whether the request takes effect although its response is withheld. Default:
        only with `drop`.
    """

    route: Route
    body: Any = None
    retry_after: str | int | float | None = None
    status: Annotated[int, Field(ge=200, le=599)] | None = Field(
        default_factory=lambda given: _default_status(given["body"], given["retry_after"])
    )
    content_type: str | None = None
    headers: dict[str, str] = Field(default_factory=dict)
    drop: bool = False
    delay: Seconds = 0.0
    cut_after: Annotated[int, Field(ge=0)] | None = None
    applied: bool = Field(default_factory=lambda given: given["drop"])

    @model_validator(mode="after")
    def _does_something(self) -> Self:
        if not self.replaces_response and not self.delay and self.cut_after is None:
            raise ValueError(
                "a fault needs at least one of status, body, retry_after, drop, delay and cut_after"
            )
        return self

    @property
    def replaces_response(self) -> bool:
        """Whether the true response is withheld."""
        return self.drop or self.status is not None

    def response(self) -> tuple[int, bytes, dict[str, str]]:
        """Return status, body and headers of the response that stands in for the true one."""
        status = self.status or 200
        body, content_type = _encode_body(status, self.body)
        headers = {name.lower(): value for name, value in self.headers.items()}
        if content_type := self.content_type or content_type:
            headers.setdefault("content-type", content_type)
        if self.retry_after is not None:
            headers.setdefault("retry-after", str(self.retry_after))
        return status, body, headers


def _default_status(body: Any, retry_after: Any) -> int | None:
    if retry_after is not None:
        return 429
    return None if body is None else 200


def _encode_body(status: int, body: Any) -> tuple[bytes, str]:
    if body is None:
        if 300 <= status < 400:
            return b"", ""
        known = status in {each.value for each in HTTPStatus}
        phrase = HTTPStatus(status).phrase if known else "Unknown"
        page = GATEWAY_PAGE.format(status=status, phrase=phrase)
        body = page if status in (502, 504) else {"error": phrase}
    if not isinstance(body, str | bytes):
        return json.dumps(body).encode(), "application/json"
    raw = body.encode() if isinstance(body, str) else body
    form = "html" if raw.lstrip().startswith(b"<") else "plain"
    return raw, f"text/{form}; charset=utf-8" if raw else ""


class Faults:
    """The settings in force, what falls by chance, and the queue of scripted faults.

    Safe across threads.

    :param settings: the settings to start with, and to return to on `reset`.
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
        """Put options, by the names of `Settings`, into force; naming `seed` starts chance anew.

        :raises ValueError: an option is unknown or out of its range.
        """
        with self._lock:
            self._settings = self._settings.changed(options)
            if "seed" in options:
                self._rngs.clear()

    def reset(self) -> None:
        """Go back to the first settings, drop what is queued, start chance anew."""
        with self._lock:
            self._settings = self._first_settings
            self._queue.clear()
            self._rngs.clear()

    def next(self, route: str, *, times: int = 1, **fault: Any) -> None:
        """Queue a fault for the next requests to a route; they happen in the order queued.

        :param route: as of `Fault`, e.g. generate or any.
        :param times: how many requests it meets, 1 or more.
        :param fault: what happens, see `Fault`.
        :raises ValueError: an argument is out of its range, or no fault is described.
        """
        scripted = Fault.parse({"route": route, **fault})
        if isinstance(times, bool) or not isinstance(times, int) or times < 1:
            raise ValueError(f"times must be a whole number of 1 or more, not {times!r}")
        with self._lock:
            self._queue.extend([scripted] * times)

    def take(self, route: str) -> Fault | None:
        """Return the first queued fault for this route and forget it; None if there is none."""
        with self._lock:
            fault = next((fault for fault in self._queue if fault.route in (route, "any")), None)
            if fault is not None:
                self._queue.remove(fault)
            return fault

    def should_inject(self, share: ShareName) -> bool:
        """Return whether the fault of this share happens now."""
        with self._lock:
            rate: float = getattr(self._settings, share)
            return rate > 0 and self._rng(share).random() < rate

    def job_seconds(self) -> float:
        """Return how long the next job takes."""
        with self._lock:
            return self._rng("latency").uniform(*self._settings.latency)

    def _rng(self, name: str) -> random.Random:
        # One for each kind of fault, so that turning one on does not move the others.
        if name not in self._rngs:
            seed = self._settings.seed
            self._rngs[name] = random.Random(None if seed is None else f"{seed}/{name}")
        return self._rngs[name]
