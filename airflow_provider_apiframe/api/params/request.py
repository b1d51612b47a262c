"""What all requests for a job share, and the request to generate an image."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Mapping
from itertools import islice
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, Self

from pydantic import BeforeValidator, Field, PlainValidator, ValidationInfo, field_validator

from airflow_provider_apiframe.api.params.base import (
    Arguments,
    HttpUrl,
    ImageArguments,
    ModelParams,
    ParseContext,
    Seconds,
    invalid,
)
from airflow_provider_apiframe.api.params.catalog import (
    BY_PATH,
    DEFAULT_MODEL,
    MODELS,
    PROMPT_MAX_LENGTH,
)
from airflow_provider_apiframe.api.params.given import FLUX, parse_params
from airflow_provider_apiframe.api.params.text import checked_text
from airflow_provider_apiframe.api.validation import RuleError


class ImageRequest(ImageArguments):
    """One job to submit. A kind of request is its fields, its path and its body.

    Its own ``image_fields`` and those of its parameters are its reference images, under the same
    names in its fields and in its body.

    :param webhook_url: URL the vendor calls when the job ends.
    :param webhook_events: the API's default is completed and failed.
    :raises InvalidRequestError: naming every wrong argument, its value and what is allowed.
    """

    path: ClassVar[str]

    webhook_url: HttpUrl | None = None
    webhook_events: tuple[Literal["progress", "completed", "failed"], ...] | None = Field(
        None,
        min_length=1,
        json_schema_extra={"noun": 'a list of "progress", "completed", "failed"'},
    )

    # Each kind has these as fields or as properties. pydantic takes no field for a property.
    if TYPE_CHECKING:

        @property
        def model(self) -> str:
            """The model's id, which the price depends on."""

        @property
        def prompt(self) -> str | None:
            """The prompt, None where there is none."""

        @property
        def params(self) -> ModelParams | None:
            """The model's parameters, None where the kind has none."""

    @field_validator("webhook_events")
    @classmethod
    def _events_need_a_url(cls, events: Any, info: ValidationInfo) -> Any:
        templated = info.context.templated if info.context else ()
        url_is_missing = info.data.get("webhook_url", "") is None and "webhook_url" not in templated
        if events is not None and url_is_missing:
            raise RuleError("goes with webhook_url, which is not set")
        return events

    @field_validator("model", check_fields=False)
    @classmethod
    def _goes_to_this_path(cls, model: str) -> str:
        for path, models in BY_PATH.items():
            if model in models and path != cls.path:
                others = ", ".join(islice(BY_PATH[cls.path], 6))
                raise RuleError(f"is for POST {path}; for {cls.path} there are {others}")
        return model

    @property
    def output_format(self) -> str | None:
        """The format that is asked for, e.g. "png", "jpg" or "webp"; None for the API's choice."""
        found = self.params.value("output_format") if self.params else None
        return found if isinstance(found, str) else None

    @property
    def seed(self) -> int | None:
        """The seed that is asked for, None for the API's choice."""
        found = self.params.value("seed") if self.params else None
        return found if type(found) is int else None

    @property
    def outputs(self) -> int:
        """How many images are asked for."""
        return self.params.outputs if self.params else 1

    @property
    def reference_images(self) -> list[str]:
        """Paths and URLs of the reference images, each once."""
        of_params = self.params.reference_images if self.params else []
        return list(dict.fromkeys([*super().reference_images, *of_params]))

    @property
    def inline_paths(self) -> frozenset[str]:
        """Those of the paths whose files are sent within the body as base64, not uploaded."""
        return frozenset()

    def replacing(self, images: Mapping[str, str]) -> Self:
        """Return this request with other texts for some of its reference images.

        :param images: URL or path -> what takes its place.
        """
        changed = super().replacing(images)
        if self.params is None:
            return changed
        return changed.model_copy(update={"params": self.params.replacing(images)})

    def paired_images(self, job_input: Any) -> list[tuple[str, str]] | None:
        """Compare with the request of a job, as the API notes it in ``Job.input``.

        :returns: each reference image of this request with the one in its place there; None where
            the two differ in anything else, but for the spelling.
        """
        if not isinstance(job_input, Mapping):
            return None
        ours, theirs = _set_values(self.to_payload()), _set_values(job_input)
        params = self.params or ModelParams()
        our_params = _set_values(ours.pop(params.body_key, {}))
        their_params = theirs.pop(params.body_key, {})
        if not isinstance(their_params, Mapping):
            return None
        their_params = _set_values(their_params)
        pairs: list[tuple[str, str]] = []
        for name in dict.fromkeys([*self.image_fields, *params.image_fields]):
            for our_values, their_values in ((ours, theirs), (our_params, their_params)):
                mine = _listed(our_values.pop(name, []))
                found = _listed(their_values.pop(name, []))
                if len(mine) != len(found):
                    return None
                pairs += zip(mine, map(str, found), strict=True)
        same = ours == theirs and their_params in params.spellings(our_params, model=self.model)
        return pairs if same else None

    def to_payload(self) -> dict[str, Any]:
        """Return the JSON body.

        What was not set is left out: the API refuses unknown keys and nulls.
        """
        payload = self._body()
        if self.webhook_url:
            payload["webhookUrl"] = self.webhook_url
        if self.webhook_events:
            payload["webhookEvents"] = list(self.webhook_events)
        return payload

    @abstractmethod
    def _body(self) -> dict[str, Any]:
        """Return the JSON body without webhooks."""


def _check_prompt(prompt: Any, info: ValidationInfo) -> Any:
    return checked_text(prompt, _longest_prompt(info.data.get("model")))


def _parse_params(value: Any, info: ValidationInfo) -> ModelParams:
    context: ParseContext = info.context or ParseContext()
    return parse_params(
        value,
        name=context.params_name or "params",
        model=info.data.get("model"),
        templated=context.templated_params,
    )


_LONGEST_MODEL_ID = 100  # far above those there are: a longer text is a mix-up, such as a prompt


def model_field(default: str, models: Iterable[str]) -> Any:
    """Return a request's field for the model's id, which any of *models* is an example of."""
    noun = f"a model id such as {', '.join(islice(models, 6))}"
    return Field(
        default,
        strict=True,
        pattern=r"\S",
        max_length=_LONGEST_MODEL_ID,
        json_schema_extra={"noun": noun},
    )


class GenerateRequest(ImageRequest):
    """Images to make: the body of ``POST /v2/images/generate``. Made with :meth:`parse`.

    :param model: model id. The models of the catalogue get their own checks; another id gets the
        general ones only: the vendor's list grows.
    :param prompt: 1-2000 characters (UTF-16 units); a few models take more.
    :param params: the model's parameters, see :func:`.given.parse_params`.
    """

    path: ClassVar[str] = "/v2/images/generate"

    model: str = model_field(DEFAULT_MODEL, MODELS)
    prompt: Annotated[str, BeforeValidator(_check_prompt)]
    # Validated as well where nothing is given: a model may need some.
    params: Annotated[ModelParams, PlainValidator(_parse_params)] = Field(
        None, validate_default=True
    )

    @classmethod
    def parse(
        cls,
        *,
        prompt: Any,
        model: Any = DEFAULT_MODEL,
        params: ModelParams | Mapping[str, Any] | str | None = None,
        flux_params: ModelParams | Mapping[str, Any] | str | None = None,
        webhook_url: Any = None,
        webhook_events: Any = None,
    ) -> GenerateRequest:
        """Check everything and return the request.

        :param params: the model's parameters: an object of its family, a mapping, or text that
            holds one. For a model that the catalogue does not know, one object by its name in the
            request's body: ``{"fooParams": {...}}``.
        :param flux_params: the same argument, for Flux models. With it, a model that the catalogue
            does not know is taken for one.
        :raises InvalidRequestError: naming every wrong argument, its value and what is allowed.
            Nothing was sent.
        """
        if params is not None and flux_params is not None:
            raise invalid(FLUX, flux_params, "is another name of params, which is set, too")
        arguments = {
            "prompt": prompt,
            "model": model,
            "params": params if flux_params is None else flux_params,
            "webhook_url": webhook_url,
            "webhook_events": webhook_events,
        }
        name = "params" if flux_params is None else FLUX
        return cls.checked(arguments, ParseContext(params_name=name))

    def _body(self) -> dict[str, Any]:
        body: dict[str, Any] = {"prompt": self.prompt, "model": self.model}
        if params := self.params.to_payload():
            body[self.params.body_key] = params
        return body


def _longest_prompt(model: str | None) -> int:
    """Return what *model* takes; None, where it is not known yet, may be any."""
    if model is None:
        return max(known.prompt_max for known in MODELS.values())
    return MODELS[model].prompt_max if model in MODELS else PROMPT_MAX_LENGTH


def _set_values(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}


def _listed(images: Any) -> list[Any]:
    return images if isinstance(images, list) else [images]


def check_job_id(job_id: Any) -> str:
    """Return *job_id*, without surrounding white space, if it can be one.

    :raises InvalidRequestError: if it is not text, or blank.
    """
    # The text "None" is what a template makes of nothing.
    if isinstance(job_id, str) and job_id.strip() not in ("", "None"):
        return job_id.strip()
    raise invalid("job_id", job_id, "must be the id of an Apiframe job")


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
