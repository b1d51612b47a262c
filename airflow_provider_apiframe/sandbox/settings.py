"""How a sandbox behaves: every option once, with its type, range, default and meaning.

The flags of the command line are made from `Settings`; the control route and `Sandbox(...)`
validate with it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field

from airflow_provider_apiframe.sandbox.options import OptionModel

Dialect = Literal["both", "openapi", "page"]
ResultForm = Literal["images", "url", "list", "single", "none"]
ReplayStatus = Literal["current", "original"]
WebhookDigest = Literal["raw", "hex"]

JOBS = "the account and its jobs"
FAULTS = "faults"


def _read_latency(value: Any) -> Any:
    ends = value.split(":") if isinstance(value, str) else value
    ends = list(ends) if isinstance(ends, list | tuple) else [ends]
    shortest, *longest = [float(end) if isinstance(end, str) else end for end in ends]
    return (shortest, *(longest or [shortest]))


def _check_order(latency: tuple[float, float]) -> tuple[float, float]:
    if latency[0] > latency[1]:
        raise ValueError("the shorter comes first")
    return latency


Seconds = Annotated[float, Field(ge=0)]
Share = Annotated[float, Field(ge=0, le=1)]
Count = Annotated[int, Field(ge=0)]
Latency = Annotated[
    tuple[Seconds, Seconds], BeforeValidator(_read_latency), AfterValidator(_check_order)
]


def _option(
    default: Any, group: str, description: str, metavar: str = "", allowed: str = ""
) -> Any:
    """Declare an option; `allowed` says in words what a JSON schema cannot."""
    extra = {"group": group, "metavar": metavar, "allowed": allowed}
    extra = {name: text for name, text in extra.items() if text}
    return Field(default, description=description, json_schema_extra=dict(extra))


class Settings(OptionModel):
    """The behaviour of a sandbox; `changed` makes another one."""

    credits: Count = _option(
        5000, JOBS, "balance at the start; set on a running sandbox, from then on", "N"
    )
    latency: Latency = _option(
        (2.0, 2.0),
        JOBS,
        "how long a job takes, drawn evenly",
        metavar="S[:S]",
        allowed='seconds of 0 or more, or "min:max" with the shorter first',
    )
    retention: Seconds = _option(
        # The `expired` field of the OpenAPI Job schema: "default 24h retention".
        86_400.0,
        JOBS,
        "seconds a finished image can be downloaded",
        "S",
    )
    link_lifetime: Seconds | None = _option(
        None,
        JOBS,
        "seconds until the CDN refuses a link; reading the job again gives a fresh one; "
        "without it, links last as long as their images",
        "S",
    )
    upload_retention: Seconds = _option(
        # OpenAPI /v2/uploads: "Files live ~1-2h".
        3600.0,
        JOBS,
        "seconds an uploaded file can be fetched",
        "S",
    )
    dialect: Dialect = _option(
        "both",
        JOBS,
        "whose spellings of Flux's aspect_ratio and resolution are accepted: the OpenAPI file's, "
        "the Flux 2 Flex page's, or both",
    )
    result_form: ResultForm = _option(
        "images",
        JOBS,
        "shape of a completed job's result: {images: [URL]}, a bare URL, a list of URLs, "
        "{imageUrl: URL} (single) or {} (none)",
    )
    result_delay: Seconds = _option(
        0.0, JOBS, "seconds for which the result of a COMPLETED job is still null", "S"
    )
    replay_status: ReplayStatus = _option(
        "current", JOBS, "status that a repeated idempotency key is answered with"
    )
    hide_from_list: bool = _option(False, JOBS, "leave all jobs out of the list")
    cost_null: bool = _option(False, JOBS, "say null for a job's creditCost")
    progress_null: bool = _option(False, JOBS, "say null for a job's progress")
    plain_images: bool = _option(
        False, JOBS, "draw four plain fields in place of a poster: for thousands of images"
    )
    webhook_digest: WebhookDigest = _option(
        "raw",
        JOBS,
        "form of the key's SHA-256 that signs webhooks: its 32 bytes, or its 64 hex digits",
    )
    allow_external_webhooks: bool = _option(False, JOBS, "let webhooks leave this machine")

    fail_rate: Share = _option(
        0.0, FAULTS, "share of accepted jobs that end FAILED for want of capacity", "SHARE"
    )
    error_rate: Share = _option(
        0.0, FAULTS, "share of requests answered 503 before they do anything", "SHARE"
    )
    drop_responses: Share = _option(
        0.0, FAULTS, "share of accepted submissions that get no response", "SHARE"
    )
    gateway_timeouts: Share = _option(
        0.0, FAULTS, "share of accepted submissions answered 504 in HTML", "SHARE"
    )
    cdn_errors: Share = _option(0.0, FAULTS, "share of downloads answered 503", "SHARE")
    cdn_cut: Share = _option(
        0.0, FAULTS, "share of downloads whose connection is closed half-way", "SHARE"
    )
    cdn_rate: Count = _option(
        0, FAULTS, "bytes per second of each download, 0 for no limit", "BYTES"
    )
    rate_limit: Count = _option(0, FAULTS, "requests per minute and key, 0 for no limit", "N")
    retry_after: Seconds | None = _option(
        None, FAULTS, "seconds a 429 says to wait; without it, the true wait", "S"
    )
    seed: int | None = _option(
        None, FAULTS, "makes the shares and latencies fall the same way each time", "N"
    )

    def changed(self, options: Mapping[str, Any]) -> Settings:
        """Return these settings with `options`, values by the names of the fields, put in.

        :raises ValueError: an option is unknown or out of its range.
        """
        return Settings.parse({**self.model_dump(), **options})

    def document(self) -> dict[str, Any]:
        """Return the settings as JSON values."""
        return self.model_dump(mode="json")
