"""What comes back from Apiframe, as values.

Responses are read leniently: unknown fields are ignored and optional ones may be missing, because
the API grows and a paid image must not be lost to a strict reader.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Annotated, Any, Self

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    WrapValidator,
    model_validator,
)
from pydantic.alias_generators import to_camel

from airflow_provider_apiframe.api.errors import (
    JobCancelledError,
    JobFailedError,
    UnexpectedResponseError,
)
from airflow_provider_apiframe.api.job_failures import UNKNOWN_FAILURE, classify_failure
from airflow_provider_apiframe.api.settings import without_keys
from airflow_provider_apiframe.api.validation import truncated_repr


class _Response(BaseModel):
    """What the API returns: camelCase keys, unknown ones ignored."""

    model_config = ConfigDict(
        alias_generator=to_camel, populate_by_name=True, extra="ignore", frozen=True
    )


def _or_none(value: Any, read: Callable[[Any], Any]) -> Any:
    try:
        return read(value)
    except ValidationError:
        return None


_NonEmpty = Annotated[str, Field(min_length=1)]
_Status = Annotated[
    str, BeforeValidator(lambda value: value.upper() if isinstance(value, str) else value)
]
# Optional parts never make a whole response unreadable: text in another form is kept as text, a
# number that is none is None.
_Text = Annotated[str | None, BeforeValidator(lambda value: value if value is None else str(value))]
_Number = Annotated[int | float | None, WrapValidator(_or_none)]
_Flag = Annotated[bool | None, WrapValidator(_or_none)]
# A charge or a price that is negative, or no number at all (JSON readers take NaN), is none.
_Charge = Annotated[
    Annotated[int, Field(ge=0)] | Annotated[float, Field(ge=0, allow_inf_nan=False)] | None,
    WrapValidator(_or_none),
]
_Price = Annotated[
    Annotated[float, Field(ge=0, allow_inf_nan=False)] | None, WrapValidator(_or_none)
]


class JobAccepted(_Response):
    """The response to a submit: the job's id and its status.

    The status is usually "QUEUED"; a repeated submit may return a later one.
    """

    job_id: _NonEmpty
    status: Annotated[_Status, BeforeValidator(lambda value: value or "QUEUED")] = "QUEUED"


class UploadedFile(_Response):
    """A file that Apiframe hosts for an hour or two (OpenAPI ``Upload``).

    ``url`` may stand wherever a request takes an image. ``byte_size`` is in bytes, ``expires_at``
    ISO 8601 text as received.
    """

    id: _Text = None
    url: Annotated[str, Field(pattern=r"^https?://[^\s/]+\S*$")]
    kind: _Text = None
    content_type: _Text = None
    byte_size: _Number = None
    expires_at: _Text = None


class Job(_Response):
    """One generation job (OpenAPI ``Job``).

    ``status`` is upper case; one this version does not know counts as not finished. Times are ISO
    8601 text as received. ``credit_cost`` is what was charged: 0 after a refund, None when the API
    did not say. ``input`` is the request as the API noted it; pages of jobs leave it out.
    """

    id: _NonEmpty
    status: _Status
    model: _Text = None
    progress: _Number = None
    result: Any = None
    error: _Text = None
    credit_cost: _Charge = None
    created_at: _Text = None
    completed_at: _Text = None
    input: Any = None
    expired: _Flag = None

    @property
    def is_failed(self) -> bool:
        """Whether it ended without an image: FAILED or CANCELLED."""
        return self.status in ("FAILED", "CANCELLED")

    @property
    def is_terminal(self) -> bool:
        """Whether the status is COMPLETED, FAILED or CANCELLED."""
        return self.status == "COMPLETED" or self.is_failed

    @property
    def created(self) -> datetime | None:
        """When it was created by the API's clock; None if not said, or said without a time zone."""
        return _parse_datetime(self.created_at)

    @property
    def completed(self) -> datetime | None:
        """When it ended by the API's clock; None if not said, or said without a time zone."""
        return _parse_datetime(self.completed_at)

    @property
    def prompt(self) -> str | None:
        """The prompt the job was submitted with, when the API says it."""
        prompt = self.input.get("prompt") if isinstance(self.input, Mapping) else None
        return prompt if isinstance(prompt, str) else None

    def with_prompt(self, prompt: str | None) -> Job:
        """Return this job with *prompt*, where the response left it out and the caller knows it."""
        if prompt is None or self.prompt is not None:
            return self
        given = self.input if isinstance(self.input, Mapping) else {}
        return self.model_copy(update={"input": {**given, "prompt": prompt}})

    @property
    def image_urls(self) -> list[str]:
        """The images' links, in order; empty when the result holds none that can be recognised."""
        return _find_urls(self.result)

    def raise_for_status(self) -> Job:
        """Return this job if it is COMPLETED with at least one image.

        :raises JobFailedError: FAILED, with the vendor's text and whether submitting it again can
            help (see ``job_failures.py``).
        :raises JobCancelledError: CANCELLED.
        :raises UnexpectedResponseError: COMPLETED without a recognisable link; keeps the raw
            result, for it was paid for.
        """
        if self.status == "FAILED":
            reason = without_keys(self.error or "the API gave no reason").rstrip(".")
            rule = classify_failure(self.error)
            raise JobFailedError(
                f"The job FAILED: {reason}{self._charge()}. {rule.advice}",
                job_id=self.id,
                kind=rule.kind,
                transient=rule.transient,
            )
        if self.status == "CANCELLED":
            reason = f" ({without_keys(self.error)})" if self.error else ""
            raise JobCancelledError(
                f"The job was CANCELLED{reason}{self._charge()}. {UNKNOWN_FAILURE.advice}",
                job_id=self.id,
            )
        if not self.image_urls:
            raw = without_keys(truncated_repr(self.result, 2000))
            raise UnexpectedResponseError(
                f"The job is {self.status}, but its result holds no link to an image. It was paid "
                f"for: keep the job id and ask Apiframe's support. The result: {raw}",
                raw=raw,
                job_id=self.id,
            )
        return self

    def _charge(self) -> str:
        return "" if self.credit_cost is None else f" (credits charged: {self.credit_cost})"


def _parse_datetime(text: str | None) -> datetime | None:
    try:
        moment = datetime.fromisoformat(text or "")
    except ValueError:
        return None
    return moment if moment.tzinfo else None


def _find_urls(result: Any, depth: int = 4) -> list[str]:
    """Find links in any form seen: a URL, a list, {"images": [...]}, or a key with one URL."""
    if isinstance(result, str):
        return [result] if result.startswith(("https://", "http://")) else []
    if depth == 0:  # no form seen is nested as deeply
        return []
    if isinstance(result, list):
        return [url for item in result for url in _find_urls(item, depth - 1)]
    if isinstance(result, Mapping):
        for key in ("images", "image", "imageUrl", "image_url", "url"):
            if urls := _find_urls(result.get(key), depth - 1):
                return urls
    return []


def _skip_unreadable(model: type[_Response]) -> Callable[[Any], Any]:
    """Return a validator of lists that leaves out what cannot be read: it hides no other."""

    def validate(items: Any) -> Any:
        if not isinstance(items, list):
            return items
        read = (_or_none(item, model.model_validate) for item in items)
        return [item for item in read if item is not None]

    return validate


class JobPage(_Response):
    """One page of jobs, newest first. ``next_cursor`` asks for the page after it; None on the last.

    A job that cannot be read is left out: it must not hide the others.
    """

    jobs: Annotated[list[Job], BeforeValidator(_skip_unreadable(Job))]
    next_cursor: _Text = None
    has_more: _Flag = None


class Team(_Response):
    """The team that pays: credits belong to it, jobs to the user."""

    name: _Text = None
    plan: _Text = None
    credits: _Number = None


class User(_Response):
    """The user a key belongs to."""

    email: _Text = None
    role: _Text = None


class Account(_Response):
    """Who asks: the response of ``GET /v2/me``, which is free."""

    user: User | None = None
    team: Team | None = None

    @model_validator(mode="after")
    def _is_somebody(self) -> Self:
        if self.user is None and self.team is None:
            raise ValueError("it names neither user nor team")
        return self

    def describe(self) -> str:
        """Return e.g. "Connected to team Acme (plan pro): 3644 credits left"."""
        if self.team is None:
            who = self.user.email if self.user and self.user.email else "an account"
            return f"Connected as {who}, which has no team and so no credits"
        plan = f" (plan {self.team.plan})" if self.team.plan else ""
        credits = "unknown" if self.team.credits is None else self.team.credits
        return f"Connected to team {self.team.name or '(no name)'}{plan}: {credits} credits left"


class ModelInfo(_Response):
    """One entry of the vendor's curated catalogue.

    Costs are credits; ``cost_min`` is a floor, not the price.
    """

    id: _NonEmpty
    label: _Text = None
    modality: _Text = None
    description: _Text = None
    cost_min: _Price = None
    cost_max: _Price = None
    pricing_mode: _Text = None


class ModelList(_Response):
    """The response of ``GET /v2/models``."""

    models: Annotated[list[ModelInfo], BeforeValidator(_skip_unreadable(ModelInfo))]
