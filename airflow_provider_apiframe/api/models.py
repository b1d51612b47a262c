"""What goes to Apiframe and what comes back, as values.

Requests are strict: every wrong parameter is named, with its value and what is allowed, before anything is sent. Answers are
lenient: unknown fields are ignored and optional ones may be missing, because the API grows and a paid picture must not be lost
to a strict reader.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self, TypeVar

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    TypeAdapter,
    ValidationError,
    ValidatorFunctionWrapHandler,
    WrapValidator,
    model_validator,
)
from pydantic.alias_generators import to_camel

from airflow_provider_apiframe.api.catalog import DEFAULT_MODEL, FLUX_MODELS
from airflow_provider_apiframe.api.errors import (
    InvalidRequestError,
    JobCancelledError,
    JobFailedError,
    UnusableAnswerError,
)
from airflow_provider_apiframe.api.flux_params import FluxParams, HttpUrl, read_literal, shortened

__all__ = ["Account", "FluxParams", "GenerateRequest", "Job", "JobAccepted", "JobPage", "ModelInfo"]

T = TypeVar("T")

PROMPT_MAX_LENGTH = 2000
"""UTF-16 code units, as the JavaScript backend counts: an emoji is two. Source: OpenAPI GenerateImageRequest."""

WebhookEvent = Literal["progress", "completed", "failed"]


class GenerateRequest(BaseModel):
    """One picture to make: the body of ``POST /v2/images/generate``. Made with :meth:`parse`, which checks it.

    :param prompt: 1-2000 characters (UTF-16 units).
    :param model: model id. The six Flux models get their own checks; another id gets the general ones only.
    :param params: the ``fluxParams``.
    :param webhook_url: http(s) URL the vendor calls when the job ends.
    :param webhook_events: of "progress", "completed", "failed"; the API's default is completed and failed.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    prompt: str
    model: str
    params: FluxParams
    webhook_url: str | None = None
    webhook_events: tuple[WebhookEvent, ...] | None = None

    @classmethod
    def parse(
        cls,
        *,
        prompt: Any,
        model: Any = DEFAULT_MODEL,
        flux_params: FluxParams | Mapping[str, Any] | str | None = None,
        webhook_url: Any = None,
        webhook_events: Any = None,
    ) -> GenerateRequest:
        """Check everything and return the request.

        :raises InvalidRequestError: naming the parameter, its value and what is allowed. Nothing was sent.
        """
        model = check_model(model)
        check_webhook_pair(webhook_url, webhook_events)
        return cls(
            prompt=check_prompt(prompt),
            model=model,
            params=FluxParams.parse(flux_params_mapping(flux_params), model=model),
            webhook_url=None if webhook_url is None else check_webhook_url(webhook_url),
            webhook_events=None if webhook_events is None else check_webhook_events(webhook_events),
        )

    def to_wire(self) -> dict[str, Any]:
        """Return the JSON body. What was not set is left out: the API refuses unknown keys and nulls."""
        wire: dict[str, Any] = {"prompt": self.prompt, "model": self.model}
        if params := self.params.to_wire():
            wire["fluxParams"] = params
        if self.webhook_url:
            wire["webhookUrl"] = self.webhook_url
        if self.webhook_events:
            wire["webhookEvents"] = list(self.webhook_events)
        return wire


def flux_params_mapping(value: FluxParams | Mapping[str, Any] | str | None) -> Mapping[str, Any]:
    """Return *value* as a mapping: a FluxParams, a mapping, None (empty), or text holding JSON or a Python literal.

    :raises InvalidRequestError: if it is something else.
    """
    if value is None:
        return {}
    if isinstance(value, FluxParams):
        return value.as_dict()
    read: Any = value
    if isinstance(value, str):
        try:
            read = read_literal(value)
        except ValueError:
            read = None
    if isinstance(read, Mapping):
        return read
    reason = "must be a mapping, a FluxParams, or text that holds a mapping as JSON or as a Python literal"
    raise InvalidRequestError(f"flux_params={shortened(value)}: {reason}", fields={"flux_params": [reason]})


def check_prompt(prompt: Any) -> str:
    """Return *prompt* if it is text of 1-2000 characters (UTF-16 units).

    :raises InvalidRequestError: if it is not.
    """
    if not isinstance(prompt, str):
        reason = f"must be text of 1 to {PROMPT_MAX_LENGTH} characters"
    else:
        length = len(prompt.encode("utf-16-le", "surrogatepass")) // 2
        if not prompt.strip():
            reason = f"must have 1 to {PROMPT_MAX_LENGTH} characters, is {'only white space' if prompt else 'empty'}"
        elif length > PROMPT_MAX_LENGTH:
            reason = f"must have 1 to {PROMPT_MAX_LENGTH} characters, has {length}"
        elif any("\ud800" <= character <= "\udfff" for character in prompt):
            reason = "holds half a character (a lone surrogate), which cannot be sent"
        else:
            return prompt
    raise InvalidRequestError(f"prompt={shortened(prompt)}: {reason}", fields={"prompt": [reason]})


def check_model(model: Any) -> str:
    """Return *model* if it can be a model id. Ids the catalogue does not know pass: the vendor's list grows.

    :raises InvalidRequestError: if it is not text, or blank.
    """
    if isinstance(model, str) and model.strip():
        return model
    reason = f"must be a model id such as {', '.join(FLUX_MODELS)}"
    raise InvalidRequestError(f"model={shortened(model)}: {reason}", fields={"model": [reason]})


def nearest_model(model: str) -> str | None:
    """Return the known model id that *model* probably means, or None when it is known itself or resembles none."""
    if model in FLUX_MODELS:
        return None
    return next(iter(difflib.get_close_matches(model.lower(), FLUX_MODELS, n=1, cutoff=0.8)), None)


_URL: TypeAdapter[str] = TypeAdapter(HttpUrl)
_EVENTS: TypeAdapter[tuple[WebhookEvent, ...]] = TypeAdapter(Annotated[tuple[WebhookEvent, ...], Field(min_length=1)])


def check_webhook_url(url: Any) -> str:
    """Return *url* if it is an http(s) URL.

    :raises InvalidRequestError: if it is not.
    """
    return _checked(_URL, "webhook_url", url, "must be an http(s) URL")


def check_webhook_events(events: Any) -> tuple[WebhookEvent, ...]:
    """Return *events* if it is a list of at least one of "progress", "completed", "failed".

    :raises InvalidRequestError: if it is not.
    """
    return _checked(_EVENTS, "webhook_events", events, 'must be a list of "progress", "completed", "failed"')


def check_webhook_pair(url: Any, events: Any) -> None:
    """Refuse *events* without an *url*: they would do nothing.

    :raises InvalidRequestError: if there are events and no URL.
    """
    if events is not None and url is None:
        reason = "goes with webhook_url, which is not set"
        raise InvalidRequestError(f"webhook_events={shortened(events)}: {reason}", fields={"webhook_events": [reason]})


def check_job_id(job_id: Any) -> str:
    """Return *job_id*, without surrounding white space, if it can be one. The text "None" is what a template makes of nothing.

    :raises InvalidRequestError: if it is not text, or blank.
    """
    if isinstance(job_id, str) and job_id.strip() not in ("", "None"):
        return job_id.strip()
    reason = "must be the id of an Apiframe job"
    raise InvalidRequestError(f"job_id={shortened(job_id)}: {reason}", fields={"job_id": [reason]})


def check_conn_id(conn_id: Any) -> str:
    """Return *conn_id* if it can be the id of an Airflow connection.

    :raises InvalidRequestError: if it is not text, or blank.
    """
    if isinstance(conn_id, str) and conn_id.strip():
        return conn_id
    reason = "must be the id of an Airflow connection"
    raise InvalidRequestError(f"apiframe_conn_id={shortened(conn_id)}: {reason}", fields={"apiframe_conn_id": [reason]})


def _checked(adapter: TypeAdapter[T], name: str, value: Any, reason: str) -> T:
    try:
        return adapter.validate_python(value)
    except ValidationError:
        raise InvalidRequestError(f"{name}={shortened(value)}: {reason}", fields={name: [reason]}) from None


class _Answer(BaseModel):
    """What the API answers: camelCase keys, unknown ones ignored."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, extra="ignore", frozen=True)


def _or_none(value: Any, read: ValidatorFunctionWrapHandler) -> Any:
    try:
        return read(value)
    except ValidationError:
        return None


_NonEmpty = Annotated[str, Field(min_length=1)]
_Status = Annotated[str, BeforeValidator(lambda value: value.upper() if isinstance(value, str) else value)]
# Optional parts never make a whole answer unreadable: text in another form is kept as text, a number that is none is None.
_Text = Annotated[str | None, BeforeValidator(lambda value: value if value is None else str(value))]
_Number = Annotated[int | float | None, WrapValidator(_or_none)]
_Flag = Annotated[bool | None, WrapValidator(_or_none)]


class JobAccepted(_Answer):
    """The answer to a submit: the job's id and its status, usually "QUEUED"; a repeat may give a later one."""

    job_id: _NonEmpty
    status: Annotated[_Status, BeforeValidator(lambda value: value or "QUEUED")] = "QUEUED"


class Job(_Answer):
    """One generation job (OpenAPI ``Job``).

    ``status`` is upper case; one this version does not know counts as not finished. Times are ISO 8601 text as received.
    ``credit_cost`` is what was charged: 0 after a refund, None when the API did not say. ``input`` is the request as the API
    noted it; pages of jobs leave it out.
    """

    id: _NonEmpty
    status: _Status
    model: _Text = None
    progress: _Number = None
    result: Any = None
    error: _Text = None
    credit_cost: _Number = None
    created_at: _Text = None
    completed_at: _Text = None
    input: Any = None
    expired: _Flag = None

    @property
    def finished(self) -> bool:
        """Whether the status is COMPLETED, FAILED or CANCELLED."""
        return self.status in ("COMPLETED", "FAILED", "CANCELLED")

    @property
    def prompt(self) -> str | None:
        """The prompt the job was submitted with, when the API says it."""
        prompt = self.input.get("prompt") if isinstance(self.input, Mapping) else None
        return prompt if isinstance(prompt, str) else None

    @property
    def image_urls(self) -> list[str]:
        """The pictures' links, in order; empty when the result holds none that can be recognised."""
        return _urls_in(self.result)

    def require_pictures(self) -> Job:
        """Return this job if it is COMPLETED with at least one picture.

        :raises JobFailedError: FAILED, with the vendor's text.
        :raises JobCancelledError: CANCELLED.
        :raises UnusableAnswerError: COMPLETED without a recognisable link; keeps the raw result, for it was paid for.
        """
        if self.status == "FAILED":
            reason = self.error or "the API gave no reason"
            raise JobFailedError(f"Apiframe job {self.id} FAILED: {reason}{self._charge()}", job_id=self.id)
        if self.status == "CANCELLED":
            reason = f" ({self.error})" if self.error else ""
            raise JobCancelledError(f"Apiframe job {self.id} was CANCELLED{reason}{self._charge()}", job_id=self.id)
        if not self.image_urls:
            raw = shortened(self.result, 2000)
            raise UnusableAnswerError(
                f"Apiframe job {self.id} is {self.status}, but its result holds no link to a picture: {raw}. "
                f"It was paid for: keep the job id and ask Apiframe's support.",
                raw=raw,
                job_id=self.id,
            )
        return self

    def _charge(self) -> str:
        return "" if self.credit_cost is None else f" (credits charged: {self.credit_cost})"


def _urls_in(result: Any) -> list[str]:
    """Find links in any of the forms seen: a bare URL, a list, {"images": [...]}, or a key with one URL."""
    if isinstance(result, str):
        return [result] if result.startswith(("https://", "http://")) else []
    if isinstance(result, list):
        return [url for item in result for url in _urls_in(item)]
    if isinstance(result, Mapping):
        for key in ("images", "image", "imageUrl", "image_url", "url"):
            if urls := _urls_in(result.get(key)):
                return urls
    return []


class JobPage(_Answer):
    """One page of jobs, newest first. ``next_cursor`` asks for the page after it; None on the last."""

    jobs: list[Job]
    next_cursor: _Text = None
    has_more: _Flag = None


class Team(_Answer):
    """The team that pays: credits belong to it, jobs to the user."""

    name: _Text = None
    plan: _Text = None
    credits: _Number = None


class User(_Answer):
    """The user a key belongs to."""

    email: _Text = None
    role: _Text = None


class Account(_Answer):
    """Who asks: the answer of ``GET /v2/me``, which is free."""

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


class ModelInfo(_Answer):
    """One entry of the vendor's curated catalogue. Costs are credits; ``cost_min`` is a floor, not the price."""

    id: _NonEmpty
    label: _Text = None
    modality: _Text = None
    description: _Text = None
    cost_min: _Number = None
    cost_max: _Number = None
    pricing_mode: _Text = None


class ModelList(_Answer):
    """The answer of ``GET /v2/models``."""

    models: list[ModelInfo]
