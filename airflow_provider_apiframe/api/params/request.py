"""One request to generate an image, and what its arguments may be."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, ValidationInfo, field_validator

from airflow_provider_apiframe.api.errors import InvalidRequestError
from airflow_provider_apiframe.api.params.base import (
    Arguments,
    HttpUrl,
    ParseContext,
    Seconds,
    format_errors,
)
from airflow_provider_apiframe.api.params.catalog import DEFAULT_MODEL, MODELS
from airflow_provider_apiframe.api.params.flux import FluxParams, spellings
from airflow_provider_apiframe.api.params.text import read_literal
from airflow_provider_apiframe.api.validation import RuleError

PROMPT_MAX_LENGTH = 2000
"""UTF-16 code units, as the JavaScript backend counts: an emoji is two.

Source: OpenAPI GenerateImageRequest.
"""


def _check_prompt(prompt: Any) -> Any:
    if not isinstance(prompt, str):
        raise RuleError(f"must be text of 1 to {PROMPT_MAX_LENGTH} characters")
    length = len(prompt.encode("utf-16-le", "surrogatepass")) // 2
    if length > PROMPT_MAX_LENGTH or not prompt.strip():
        found = (
            f"has {length}" if prompt.strip() else "is only white space" if prompt else "is empty"
        )
        raise RuleError(f"must have 1 to {PROMPT_MAX_LENGTH} characters, {found}")
    if any("\ud800" <= character <= "\udfff" for character in prompt):
        raise RuleError("holds half a character (a lone surrogate), which cannot be sent")
    return prompt


def flux_params_mapping(value: Any) -> Mapping[Any, Any]:
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
    raise invalid(
        "flux_params",
        value,
        "must be a mapping, a FluxParams, or text that holds a mapping as JSON or as a Python "
        "literal",
    )


class GenerateRequest(Arguments):
    """One image to make: the body of ``POST /v2/images/generate``. Made with :meth:`parse`.

    :param prompt: 1-2000 characters (UTF-16 units).
    :param model: model id. The models of the catalogue get their own checks; another id gets the
        general ones only: the vendor's list grows.
    :param flux_params: the model's parameters: a FluxParams, a mapping, or text that holds one.
    :param webhook_url: URL the vendor calls when the job ends.
    :param webhook_events: the API's default is completed and failed.
    :raises InvalidRequestError: naming every wrong argument, its value and what is allowed.
    """

    prompt: Annotated[str, BeforeValidator(_check_prompt)]
    model: str = Field(
        DEFAULT_MODEL,
        strict=True,
        pattern=r"\S",
        json_schema_extra={"noun": f"a model id such as {', '.join(MODELS)}"},
    )
    flux_params: FluxParams = FluxParams()
    webhook_url: HttpUrl | None = None
    webhook_events: tuple[Literal["progress", "completed", "failed"], ...] | None = Field(
        None,
        min_length=1,
        json_schema_extra={"noun": 'a list of "progress", "completed", "failed"'},
    )

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

        :raises InvalidRequestError: naming every wrong argument, its value and what is allowed.
            Nothing was sent.
        """
        arguments = {
            "prompt": prompt,
            "model": model,
            "flux_params": flux_params,
            "webhook_url": webhook_url,
            "webhook_events": webhook_events,
        }
        return cls.checked(arguments, ParseContext())

    @field_validator("flux_params", mode="plain")
    @classmethod
    def _parse_params(cls, value: Any, info: ValidationInfo) -> Any:
        values = flux_params_mapping(value)
        templated = info.context.templated_params if info.context else ()
        return FluxParams.parse(values, model=info.data.get("model"), templated=templated)

    @field_validator("webhook_events")
    @classmethod
    def _events_need_a_url(cls, events: Any, info: ValidationInfo) -> Any:
        templated = info.context.templated if info.context else ()
        url_is_missing = info.data.get("webhook_url", "") is None and "webhook_url" not in templated
        if events is not None and url_is_missing:
            raise RuleError("goes with webhook_url, which is not set")
        return events

    @property
    def output_format(self) -> str | None:
        """The format that is asked for: "png", "jpg" or "webp"; None for the API's choice."""
        return self.flux_params.output_format

    @property
    def paths(self) -> list[str]:
        """The reference images that are files: they are uploaded before the request is sent."""
        return self.flux_params.paths

    def replacing(self, images: Mapping[str, str]) -> Self:
        """Return this request with other texts for some of its reference images.

        :param images: URL or path -> what takes its place.
        """
        return self.model_copy(update={"flux_params": self.flux_params.replacing(images)})

    def paired_images(self, given: Any) -> list[tuple[str, str]] | None:
        """Compare with the request of a job, as the API notes it in ``Job.input``.

        :returns: each reference image of this request with the one in its place there; None where
            the two differ in anything else, but for the spelling.
        """
        if not isinstance(given, Mapping):
            return None
        theirs = {name: value for name, value in given.items() if value is not None}
        ours, their_params = self.to_payload(), theirs.pop("fluxParams", {})
        our_params = ours.pop("fluxParams", {})
        if ours != theirs or not isinstance(their_params, Mapping):
            return None
        pairs: list[tuple[str, str]] = []
        their_rest = {name: value for name, value in their_params.items() if value is not None}
        for name in FluxParams.image_fields:
            mine, found = _listed(our_params.pop(name, [])), _listed(their_rest.pop(name, []))
            if len(mine) != len(found):
                return None
            pairs += zip(mine, map(str, found), strict=True)
        return pairs if their_rest in spellings(our_params, model=self.model) else None

    def to_payload(self) -> dict[str, Any]:
        """Return the JSON body.

        What was not set is left out: the API refuses unknown keys and nulls.
        """
        payload: dict[str, Any] = {"prompt": self.prompt, "model": self.model}
        if params := self.flux_params.to_payload():
            payload["fluxParams"] = params
        if self.webhook_url:
            payload["webhookUrl"] = self.webhook_url
        if self.webhook_events:
            payload["webhookEvents"] = list(self.webhook_events)
        return payload


def _listed(images: Any) -> list[Any]:
    return images if isinstance(images, list) else [images]


def nearest_model(model: str) -> str | None:
    """Return the known model id that *model* probably means, or None when it is known itself or
    resembles none."""
    if model in MODELS:
        return None
    return next(iter(difflib.get_close_matches(model.lower(), MODELS, n=1, cutoff=0.8)), None)


def check_job_id(job_id: Any) -> str:
    """Return *job_id*, without surrounding white space, if it can be one.

    :raises InvalidRequestError: if it is not text, or blank.
    """
    # The text "None" is what a template makes of nothing.
    if isinstance(job_id, str) and job_id.strip() not in ("", "None"):
        return job_id.strip()
    raise invalid("job_id", job_id, "must be the id of an Apiframe job")


def invalid(name: str, value: Any, reason: str) -> InvalidRequestError:
    """Return the error for one argument."""
    reasons = {name: [reason]}
    return InvalidRequestError(format_errors(reasons, {name: value}), fields=reasons)


class WaitArguments(Arguments):
    """How long to wait for a job, and how often to ask.

    :param timeout: seconds, > 0.
    :param poll_interval: seconds between two requests, > 0.
    """

    timeout: Seconds = 600.0
    poll_interval: Seconds = 2.0


def checked_seconds(name: str, value: Any) -> float:
    """Return *value*, for the argument *name* of :class:`WaitArguments`, as a number of seconds.

    :raises InvalidRequestError: if it is no number, not finite, or not above 0.
    """
    return float(getattr(WaitArguments(**{name: value}), name))
