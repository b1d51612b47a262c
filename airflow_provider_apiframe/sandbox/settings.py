"""How a sandbox behaves: every option with its unit, range and default."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, Literal, TypedDict, get_args

Dialect = Literal["both", "openapi", "page"]
ResultForm = Literal["images", "url", "list", "single", "none"]
WebhookDigest = Literal["raw", "hex"]
Latency = float | str | tuple[float, float]


class Options(TypedDict, total=False):
    """What a caller may set; the meaning is that of the same name in `Settings`."""

    latency: Latency
    fail_rate: float
    error_rate: float
    drop_responses: float
    gateway_timeouts: float
    rate_limit: int
    retry_after: float | None
    credits: int
    seed: int | None
    dialect: Dialect
    retention: float
    result_form: ResultForm
    cost_null: bool
    progress_null: bool
    webhook_digest: WebhookDigest
    allow_external_webhooks: bool


@dataclass(frozen=True, slots=True)
class Settings:
    """The behaviour of a sandbox; `changed` makes another one.

    Attributes:
        latency: seconds a job takes, drawn evenly from shortest to longest; given as a number, a
            pair or "min:max".
        fail_rate: share (0-1) of accepted jobs that end FAILED for want of capacity.
        error_rate: share (0-1) of API requests answered 503 before they do anything.
        drop_responses: share (0-1) of accepted generations whose connection is closed without an
            answer.
        gateway_timeouts: share (0-1) of accepted generations answered 504 with an HTML page.
        rate_limit: requests per minute and key; 0 is no limit.
        retry_after: seconds a 429 names in Retry-After; None names the true wait.
        credits: the team's balance at the start; set on a running sandbox, the balance from then
            on.
        seed: makes the shares above fall the same way each time; None is a new order on every
            start.
        dialect: whose spellings of `aspect_ratio` and `resolution` are accepted: the OpenAPI file's
            ("openapi"), the Flux 2 Flex page's ("page") or "both".
        retention: seconds a finished image can be downloaded.
        result_form: shape of a completed job's `result`: {"images": [url]} ("images"), a bare URL
            ("url"), a list of URLs ("list"), {"imageUrl": url} ("single") or {} ("none").
        cost_null: whether `creditCost` is null instead of the charge.
        progress_null: whether `progress` is null instead of the share that is done.
        webhook_digest: form of the SHA-256 of the API key that signs webhooks: its 32 bytes ("raw")
            or its 64 hexadecimal characters ("hex").
        allow_external_webhooks: whether webhooks may leave this machine.
    """

    latency: tuple[float, float] = (2.0, 2.0)
    fail_rate: float = 0.0
    error_rate: float = 0.0
    drop_responses: float = 0.0
    gateway_timeouts: float = 0.0
    rate_limit: int = 0
    retry_after: float | None = None
    credits: int = 5000
    seed: int | None = None
    dialect: Dialect = "both"
    retention: float = (
        86_400.0  # the `expired` field of the OpenAPI Job schema: "default 24h retention"
    )
    result_form: ResultForm = "images"
    cost_null: bool = False
    progress_null: bool = False
    webhook_digest: WebhookDigest = "raw"
    allow_external_webhooks: bool = False

    def changed(self, options: Mapping[str, Any]) -> Settings:
        """Return these settings with `options` (names of `Options`) put in.

        Raises:
            ValueError: an option is unknown or out of its range; the text says which and what is
                allowed.
        """
        unknown = sorted(set(options) - _READERS.keys())
        if unknown:
            raise ValueError(f"unknown option {unknown[0]!r}; known: {', '.join(sorted(_READERS))}")
        return replace(
            self, **{name: _READERS[name](name, value) for name, value in options.items()}
        )

    def document(self) -> dict[str, Any]:
        """Return the settings as JSON values."""
        return {**asdict(self), "latency": list(self.latency)}


def _number(name: str, value: Any, low: float, high: float) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
        allowed = f"from {low:g} to {high:g}" if high < math.inf else f"of {low:g} or more"
        raise ValueError(f"{name} must be a number {allowed}, not {value!r}")
    return value


def _seconds(name: str, value: Any) -> float:
    return float(_number(name, value, 0, math.inf))


def _share(name: str, value: Any) -> float:
    return float(_number(name, value, 0, 1))


def _count(name: str, value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise ValueError(f"{name} must be a whole number of 0 or more, not {value!r}")
    return value


def _seed(name: str, value: Any) -> int | None:
    if value is not None and (not isinstance(value, int) or isinstance(value, bool)):
        raise ValueError(f"{name} must be a whole number or null, not {value!r}")
    return value


def _switch(name: str, value: Any) -> bool:
    if not isinstance(value, bool):
        raise ValueError(f"{name} must be true or false, not {value!r}")
    return value


def _optional_seconds(name: str, value: Any) -> float | None:
    return None if value is None else _seconds(name, value)


def _latency(name: str, value: Any) -> tuple[float, float]:
    if isinstance(value, str):
        try:
            ends = [float(part) for part in value.split(":")]
        except ValueError:
            ends = []
    else:
        ends = list(value) if isinstance(value, list | tuple) else [value]
    if len(ends) not in (1, 2):
        raise ValueError(f'{name} must be seconds or "min:max" seconds, not {value!r}')
    low, high = _seconds(name, ends[0]), _seconds(name, ends[-1])
    if low > high or high == math.inf:
        raise ValueError(
            f"{name} must go from a smaller to a larger number of seconds, not {value!r}"
        )
    return low, high


def _one_of(choices: Any) -> Callable[[str, Any], Any]:
    allowed = get_args(choices)

    def read(name: str, value: Any) -> Any:
        if value not in allowed:
            raise ValueError(f"{name} must be one of {', '.join(allowed)}, not {value!r}")
        return value

    return read


_READERS: dict[str, Callable[[str, Any], Any]] = {
    "latency": _latency,
    "fail_rate": _share,
    "error_rate": _share,
    "drop_responses": _share,
    "gateway_timeouts": _share,
    "rate_limit": _count,
    "retry_after": _optional_seconds,
    "credits": _count,
    "seed": _seed,
    "dialect": _one_of(Dialect),
    "retention": _seconds,
    "result_form": _one_of(ResultForm),
    "cost_null": _switch,
    "progress_null": _switch,
    "webhook_digest": _one_of(WebhookDigest),
    "allow_external_webhooks": _switch,
}
assert (
    _READERS.keys() == {field.name for field in fields(Settings)} == Options.__annotations__.keys()
)
