"""What the parameters of all model families share.

A family's module is its fields and its rules.
"""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Self

from pydantic import Field, ValidationError, ValidationInfo, field_validator

from airflow_provider_apiframe.api.errors import InvalidRequestError
from airflow_provider_apiframe.api.params.catalog import MODELS, Model, models_taking
from airflow_provider_apiframe.api.params.references import is_url
from airflow_provider_apiframe.api.validation import FrozenModel, reason_of, truncated_repr

HttpUrl = Annotated[
    str, Field(pattern=r"^https?://[^\s/]+\S*$", json_schema_extra={"noun": "an http(s) URL"})
]
Seconds = Annotated[float, Field(gt=0, json_schema_extra={"noun": "a number of seconds"})]

Reasons = dict[str, list[str]]


@dataclass(frozen=True)
class ParseContext:
    """What rules look at besides the values.

    :param model: the catalogue's entry; None means the general checks only.
    :param templated: names whose values are not known yet: rules that need one of them wait.
    :param templated_params: the same for the names inside the model's parameters, where these are
        an argument among others.
    """

    model: Model | None = None
    templated: frozenset[str] = frozenset()
    templated_params: frozenset[str] = frozenset()


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
            texts = [self.prefix + format_errors(reasons, values)] if reasons else []
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
    def _wrong_names(cls, values: Mapping[str, Any], context: ParseContext) -> Reasons:
        return {name: ["unknown argument"] for name in values.keys() - cls.model_fields.keys()}


class ModelParams(Arguments):
    """The parameters of one family of models.

    Only what is set is sent; ``None`` means not set; numbers, booleans and lists may come as text,
    as templates give them.
    """

    image_fields: ClassVar[tuple[str, ...]] = ()  # which of them are reference images

    @classmethod
    def parse(
        cls,
        values: Mapping[str, Any],
        *,
        model: str | None = None,
        templated: Collection[str] = (),
    ) -> Self:
        """Check *values* for *model*, with the rules that span parameters, and return them.

        :param values: parameter name -> value.
        :param model: model id; None or an id the catalogue does not know means the general checks
            only.
        :param templated: names whose values are not known yet: their names are checked now, their
            values and the rules that need them are not.
        :raises InvalidRequestError: naming every wrong parameter, its value and what is allowed.
        """
        context = ParseContext(MODELS.get(model or ""), frozenset(templated))
        named = {_readable_name(name): value for name, value in values.items()}
        return cls.checked(named, context)

    def as_dict(self) -> dict[str, Any]:
        """Return only what is set."""
        return self.model_dump(exclude_none=True)

    def to_payload(self) -> dict[str, Any]:
        """Return what is sent."""
        return self.as_dict()

    @property
    def paths(self) -> list[str]:
        """The reference images that are files, each once: they are uploaded before a submit."""
        images: list[str] = []
        for value in (getattr(self, name) for name in self.image_fields):
            images += [value] if isinstance(value, str) else value or []
        return [image for image in dict.fromkeys(images) if not is_url(image)]

    def replacing(self, images: Mapping[str, str]) -> Self:
        """Return these parameters with other texts for some of the reference images."""
        changed: dict[str, Any] = {}
        for name in self.image_fields:
            value = getattr(self, name)
            if isinstance(value, str):
                changed[name] = images.get(value, value)
            elif value is not None:
                changed[name] = [images.get(image, image) for image in value]
        return self.model_copy(update=changed)

    @classmethod
    def _wrong_names(cls, values: Mapping[str, Any], context: ParseContext) -> Reasons:
        model = context.model
        takes = [name for name in cls.model_fields if model is None or name in model.params]
        reasons: Reasons = {}
        for name, value in values.items():
            if name not in cls.model_fields:
                near = difflib.get_close_matches(name.lower(), takes, n=1)
                advice = f"did you mean {near[0]!r}?" if near else f"known are {', '.join(takes)}"
                reasons[name] = [f"unknown parameter, {advice}"]
            elif model and name not in takes and (value is not None or name in context.templated):
                others = ", ".join(models_taking(name))
                reasons[name] = [f"{model.id} does not take it; models that do: {others}"]
        return reasons


def format_errors(reasons: Mapping[str, Iterable[str]], values: Mapping[str, Any]) -> str:
    """Return one sentence that names each wrong argument with its value and the reasons."""
    return "; ".join(
        (f"{name}={truncated_repr(values[name])}" if name in values else name)
        + f": {', '.join(why)}"
        for name, why in reasons.items()
    )


def _readable_name(name: Any) -> str:
    readable = isinstance(name, str) and name.isprintable() and len(name) <= 80
    return name if readable else truncated_repr(name)
