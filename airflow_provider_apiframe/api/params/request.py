"""One request to generate an image, and what its arguments may be.

Each check names the argument, its value and what is allowed, before anything is sent.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Mapping
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, StrictBool, TypeAdapter, ValidationError

from airflow_provider_apiframe.api.errors import InvalidRequestError
from airflow_provider_apiframe.api.params.catalog import DEFAULT_MODEL, FLUX_MODELS
from airflow_provider_apiframe.api.params.flux import (
    FluxParams,
    HttpUrl,
    Number,
    read_literal,
    truncated_repr,
)

T = TypeVar("T")

PROMPT_MAX_LENGTH = 2000
"""UTF-16 code units, as the JavaScript backend counts: an emoji is two.

Source: OpenAPI GenerateImageRequest.
"""

WebhookEvent = Literal["progress", "completed", "failed"]

_CREDITS: TypeAdapter[float] = TypeAdapter(Annotated[Number, Field(gt=0)])
_FLAG: TypeAdapter[bool] = TypeAdapter(StrictBool)


def flux_params_mapping(value: FluxParams | Mapping[str, Any] | str | None) -> Mapping[str, Any]:
    """Return *value* as a mapping: a FluxParams, a mapping, None (empty), or text holding JSON or a
    Python literal.

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
    raise InvalidRequestError(
        f"flux_params={truncated_repr(value)}: {reason}", fields={"flux_params": [reason]}
    )


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
    raise InvalidRequestError(
        f"prompt={truncated_repr(prompt)}: {reason}", fields={"prompt": [reason]}
    )


def check_model(model: Any) -> str:
    """Return *model* if it can be a model id. Ids the catalogue does not know pass: the vendor's
    list grows.

    :raises InvalidRequestError: if it is not text, or blank.
    """
    if isinstance(model, str) and model.strip():
        return model
    reason = f"must be a model id such as {', '.join(FLUX_MODELS)}"
    raise InvalidRequestError(
        f"model={truncated_repr(model)}: {reason}", fields={"model": [reason]}
    )


def nearest_model(model: str) -> str | None:
    """Return the known model id that *model* probably means, or None when it is known itself or resembles none."""
    if model in FLUX_MODELS:
        return None
    return next(iter(difflib.get_close_matches(model.lower(), FLUX_MODELS, n=1, cutoff=0.8)), None)


_URL: TypeAdapter[str] = TypeAdapter(HttpUrl)
_EVENTS: TypeAdapter[tuple[WebhookEvent, ...]] = TypeAdapter(
    Annotated[tuple[WebhookEvent, ...], Field(min_length=1)]
)


def check_webhook_url(url: Any) -> str:
    """Return *url* if it is an http(s) URL.

    :raises InvalidRequestError: if it is not.
    """
    return _checked(_URL, "webhook_url", url, "must be an http(s) URL")


def check_webhook_events(events: Any) -> tuple[WebhookEvent, ...]:
    """Return *events* if it is a list of at least one of "progress", "completed", "failed".

    :raises InvalidRequestError: if it is not.
    """
    return _checked(
        _EVENTS, "webhook_events", events, 'must be a list of "progress", "completed", "failed"'
    )


def check_webhook_pair(url: Any, events: Any) -> None:
    """Refuse *events* without an *url*: they would do nothing.

    :raises InvalidRequestError: if there are events and no URL.
    """
    if events is not None and url is None:
        reason = "goes with webhook_url, which is not set"
        raise InvalidRequestError(
            f"webhook_events={truncated_repr(events)}: {reason}",
            fields={"webhook_events": [reason]},
        )


def check_job_id(job_id: Any) -> str:
    """Return *job_id*, without surrounding white space, if it can be one. The text "None" is what a
    template makes of nothing.

    :raises InvalidRequestError: if it is not text, or blank.
    """
    if isinstance(job_id, str) and job_id.strip() not in ("", "None"):
        return job_id.strip()
    reason = "must be the id of an Apiframe job"
    raise InvalidRequestError(
        f"job_id={truncated_repr(job_id)}: {reason}", fields={"job_id": [reason]}
    )


def check_conn_id(conn_id: Any) -> str:
    """Return *conn_id* if it can be the id of an Airflow connection.

    :raises InvalidRequestError: if it is not text, or blank.
    """
    if isinstance(conn_id, str) and conn_id.strip():
        return conn_id
    reason = "must be the id of an Airflow connection"
    raise InvalidRequestError(
        f"apiframe_conn_id={truncated_repr(conn_id)}: {reason}",
        fields={"apiframe_conn_id": [reason]},
    )


def check_max_credits(credits: Any) -> float:
    """Return *credits* as a number.

    :raises InvalidRequestError: if it is no number, not finite, or not above 0.
    """
    return _checked(_CREDITS, "max_credits", credits, "must be a number of credits above 0")


def check_flag(name: str, value: Any) -> bool:
    """Return *value* if it is True or False. Text is neither: "False" would count as true.

    :raises InvalidRequestError: naming the argument *name*.
    """
    return _checked(_FLAG, name, value, "must be True or False")


def _checked(adapter: TypeAdapter[T], name: str, value: Any, reason: str) -> T:
    try:
        return adapter.validate_python(value)
    except ValidationError:
        raise InvalidRequestError(
            f"{name}={truncated_repr(value)}: {reason}", fields={name: [reason]}
        ) from None


class GenerateRequest(BaseModel):
    """One image to make: the body of ``POST /v2/images/generate``. Made with :meth:`parse`, which
    checks it.

    :param prompt: 1-2000 characters (UTF-16 units).
    :param model: model id. The six Flux models get their own checks; another id gets the general
        ones only.
    :param params: the ``fluxParams``.
    :param webhook_url: http(s) URL the vendor calls when the job ends.
    :param webhook_events: of "progress", "completed", "failed"; the API's default is completed and
        failed.
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

        :raises InvalidRequestError: naming the parameter, its value and what is allowed. Nothing
            was sent.
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

    def to_payload(self) -> dict[str, Any]:
        """Return the JSON body.

        What was not set is left out: the API refuses unknown keys and nulls.
        """
        wire: dict[str, Any] = {"prompt": self.prompt, "model": self.model}
        if params := self.params.to_payload():
            wire["fluxParams"] = params
        if self.webhook_url:
            wire["webhookUrl"] = self.webhook_url
        if self.webhook_events:
            wire["webhookEvents"] = list(self.webhook_events)
        return wire


def checked_seconds(name: str, value: float) -> float:
    """Return *value* as a number of seconds above 0.

    :raises InvalidRequestError: if it is no number, not finite, or not above 0.
    """
    try:
        seconds = float(value)
    except (TypeError, ValueError):
        seconds = math.nan
    if math.isfinite(seconds) and seconds > 0:
        return seconds
    raise InvalidRequestError(f"{name}={value!r}: must be a number of seconds above 0")
