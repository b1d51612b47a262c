"""What the parameters of all model families share.

A family's module is its fields and its rules.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Self

from pydantic import Field, ValidationError, ValidationInfo, field_validator

from airflow_provider_apiframe.api.errors import InvalidRequestError
from airflow_provider_apiframe.api.params.catalog import MODELS, TOOLS, Model
from airflow_provider_apiframe.api.params.names import other_models, unknown_parameter
from airflow_provider_apiframe.api.params.references import is_url
from airflow_provider_apiframe.api.validation import FrozenModel, reason_of, truncated_repr

HttpUrl = Annotated[
    str, Field(pattern=r"^https?://[^\s/]+\S*$", json_schema_extra={"noun": "an http(s) URL"})
]
Seconds = Annotated[float, Field(gt=0, json_schema_extra={"noun": "a number of seconds"})]

Reasons = dict[str, list[str]]

_OUTPUT_FIELDS = ("num_outputs", "number_of_images", "n", "num_images")  # a family has one or none


@dataclass(frozen=True)
class ParseContext:
    """What rules look at besides the values.

    :param model: the catalogue's entry; None means the general checks only.
    :param templated: names whose values are not known yet: rules that need one of them wait.
    :param templated_params: the same for the names inside the model's parameters, where these are
        an argument among others.
    :param params_name: what the caller calls the model's parameters ("flux_params" or "params"), so
        that errors say the same; None for the family's own word.
    """

    model: Model | None = None
    templated: frozenset[str] = frozenset()
    templated_params: frozenset[str] = frozenset()
    params_name: str | None = None


class BrokenRulesError(ValueError):
    """Rules that span parameters are broken. ``reasons`` is name -> reasons."""

    def __init__(self, reasons: Reasons) -> None:
        super().__init__(str(reasons))
        self.reasons = reasons


class Arguments(FrozenModel):
    """Arguments that are checked all at once.

    :raises InvalidRequestError: naming every wrong argument, its value and what is allowed.
    """

    prefix: ClassVar[str] = ""  # what error texts begin with

    def __init__(self, context: ParseContext | None = None, /, **values: Any) -> None:
        reasons = self._wrong_names(values, context or ParseContext())
        known = {name: value for name, value in values.items() if name in type(self).model_fields}
        nested: list[InvalidRequestError] = []
        try:
            # BaseModel.__init__ takes no context.
            self.__pydantic_validator__.validate_python(known, self_instance=self, context=context)
        except ValidationError as invalid:
            for problem in invalid.errors(include_url=False):
                error = problem.get("ctx", {}).get("error")
                if isinstance(error, InvalidRequestError):
                    nested.append(error)
                elif isinstance(error, BrokenRulesError):
                    for name, broken in error.reasons.items():
                        reasons.setdefault(name, []).extend(broken)
                else:
                    # A list has a problem for each of its items.
                    name, reason = str(problem["loc"][0]), reason_of(type(self), problem)
                    if reason not in reasons.setdefault(name, []):
                        reasons[name].append(reason)
        if reasons or nested:
            texts = [self._prefix(context) + format_errors(reasons, values)] if reasons else []
            fields = {name: why for error in nested for name, why in error.fields.items()}
            raise InvalidRequestError(
                "; ".join([*texts, *map(str, nested)]), fields={**reasons, **fields}
            )

    @classmethod
    def checked(cls, values: Mapping[str, Any], context: ParseContext) -> Self:
        """Return *values* as this model, checked in *context*."""
        return cls(context, **values)

    @field_validator("*", mode="wrap")
    @classmethod
    def _wait_for_templates(cls, value: Any, validate: Any, info: ValidationInfo) -> Any:
        if info.context and info.field_name in info.context.templated:
            return None
        return validate(value)

    @classmethod
    def _prefix(cls, context: ParseContext | None) -> str:
        return cls.prefix

    @classmethod
    def _wrong_names(cls, values: Mapping[str, Any], context: ParseContext) -> Reasons:
        return {name: ["unknown argument"] for name in values.keys() - cls.model_fields.keys()}


class ImageArguments(Arguments):
    """Arguments of which some are reference images: URLs, or paths of files."""

    image_fields: ClassVar[tuple[str, ...]] = ()  # which of them are

    @property
    def reference_images(self) -> list[str]:
        """Paths and URLs of the reference images, each once."""
        images: list[str] = []
        for value in (getattr(self, name) for name in self.image_fields):
            images += [value] if isinstance(value, str) else value or []
        return list(dict.fromkeys(images))

    @property
    def paths(self) -> list[str]:
        """The reference images that are files: they are uploaded before a submit."""
        return [image for image in self.reference_images if not is_url(image)]

    def replacing(self, images: Mapping[str, str]) -> Self:
        """Return the same with other texts for some of the reference images.

        :param images: URL or path -> what takes its place.
        """
        changed: dict[str, Any] = {}
        for name in self.image_fields:
            value = getattr(self, name)
            if isinstance(value, str):
                changed[name] = images.get(value, value)
            elif value is not None:
                changed[name] = [images.get(image, image) for image in value]
        return self.model_copy(update=changed)


class ModelParams(ImageArguments):
    """The parameters of one family of models.

    Only what is set is sent; ``None`` means not set; numbers, booleans and lists may come as text,
    as templates give them.
    """

    prefix: ClassVar[str] = "params: "
    key: ClassVar[str] = ""  # the name of the object in a request's body, e.g. "fluxParams"

    @classmethod
    def parse(
        cls,
        values: Mapping[str, Any],
        *,
        model: str | None = None,
        templated: Collection[str] = (),
        name: str | None = None,
    ) -> Self:
        """Check *values* for *model*, with the rules that span parameters, and return them.

        :param values: parameter name -> value.
        :param model: model id; None or an id the catalogue does not know means the general checks
            only.
        :param templated: names whose values are not known yet: their names are checked now, their
            values and the rules that need them are not.
        :param name: what errors call the parameters, "flux_params" or "params"; None for the
            family's own word.
        :raises InvalidRequestError: naming every wrong parameter, its value and what is allowed.
        """
        known = MODELS.get(model or "") or TOOLS.get(model or "")
        context = ParseContext(known, frozenset(templated), params_name=name)
        named = {_readable_name(name): value for name, value in values.items()}
        return cls.checked(named, context)

    def as_dict(self) -> dict[str, Any]:
        """Return only what is set."""
        return self.model_dump(exclude_none=True)

    def to_payload(self) -> dict[str, Any]:
        """Return what is sent."""
        return self.as_dict()

    @property
    def body_key(self) -> str:
        """The name of the object in a request's body."""
        return self.key

    def value(self, name: str) -> Any:
        """Return the parameter *name*, None where it is not set or the family has no such one."""
        return getattr(self, name) if name in type(self).model_fields else None

    @property
    def outputs(self) -> int:
        """How many images are asked for."""
        asked = (self.value(name) for name in _OUTPUT_FIELDS)
        return max([1, *(count for count in asked if type(count) is int)])

    @classmethod
    def spellings(
        cls, payload: Mapping[str, Any], *, model: str | None
    ) -> Iterator[dict[str, Any]]:
        """Yield *payload*, and the same in each other spelling that the API may note it in."""
        yield dict(payload)

    @classmethod
    def _prefix(cls, context: ParseContext | None) -> str:
        return f"{context.params_name}: " if context and context.params_name else cls.prefix

    @classmethod
    def _wrong_names(cls, values: Mapping[str, Any], context: ParseContext) -> Reasons:
        model = context.model
        takes = [name for name in cls.model_fields if model is None or name in model.params]
        reasons: Reasons = {}
        for name, value in values.items():
            if name not in cls.model_fields:
                reasons[name] = [unknown_parameter(name, takes, model)]
            elif model and name not in takes and (value is not None or name in context.templated):
                reasons[name] = [other_models(name, model)]
        if model:
            missing = {name for name in model.required if values.get(name) is None}
            for name in sorted(missing - context.templated):
                reasons[name] = [f"is not set, and {model.id} needs it"]
        return reasons


def format_errors(reasons: Mapping[str, Iterable[str]], values: Mapping[str, Any]) -> str:
    """Return one sentence that names each wrong argument with its value and the reasons."""
    return "; ".join(
        (f"{name}={truncated_repr(values[name])}" if name in values else name)
        + f": {', '.join(why)}"
        for name, why in reasons.items()
    )


def invalid(name: str, value: Any, reason: str) -> InvalidRequestError:
    """Return the error for one argument."""
    reasons = {name: [reason]}
    return InvalidRequestError(format_errors(reasons, {name: value}), fields=reasons)


def _readable_name(name: Any) -> str:
    readable = isinstance(name, str) and name.isprintable() and len(name) <= 80
    return name if readable else truncated_repr(name)
