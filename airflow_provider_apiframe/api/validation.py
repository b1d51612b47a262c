"""Validation by pydantic, with errors for people: a range stands once, in its field, and its text
is derived from there."""

from __future__ import annotations

import reprlib
from collections.abc import Iterator, Sized
from functools import cache
from typing import Any, get_args

from pydantic import BaseModel, ConfigDict, ValidationInfo, field_validator
from pydantic_core import ErrorDetails

_NOUNS = {
    "integer": "a whole number",
    "number": "a number",
    "boolean": "true or false",
    "string": "text",
}

# Deep, long or endless values cost no more to show than short ones.
_REPR = reprlib.Repr()
_REPR.maxlevel = 6
_REPR.maxlist = _REPR.maxtuple = _REPR.maxdict = _REPR.maxset = _REPR.maxfrozenset = 30
_REPR.maxstring = _REPR.maxother = 400


class RuleError(ValueError):
    """A broken rule, in words of its own: they take the place of what the field's range says."""


class WrongItemError(ValueError):
    """An item that is not what the field takes; its text is the item, for a list may be long."""


class FrozenModel(BaseModel):
    """A frozen model that reads numbers written as text, but takes no boolean for a number."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    @field_validator("*", mode="before")
    @classmethod
    def _no_boolean_for_a_number(cls, value: Any, info: ValidationInfo) -> Any:
        # pydantic would read True as 1; nobody means that.
        annotation = cls.model_fields[str(info.field_name)].annotation
        if isinstance(value, bool) and {int, float} & set(_types_in(annotation)):
            raise ValueError("a boolean is no number")
        return value


def _types_in(annotation: Any) -> Iterator[Any]:
    """Yield an annotation and what it is made of, e.g. of ``Annotated[int, ...] | None``."""
    yield annotation
    for inner in get_args(annotation):
        yield from _types_in(inner)


def reason_of(model: type[BaseModel], problem: ErrorDetails) -> str:
    """Say in words why pydantic refused a field of *model*."""
    error = problem.get("ctx", {}).get("error")
    if isinstance(error, RuleError):
        return str(error)
    if problem["type"] == "extra_forbidden":
        return f"is unknown; known are {', '.join(model.model_fields)}"
    must = f"must be {allowed(model, str(problem['loc'][0]))}"
    return f"{must}, which {error} is not" if isinstance(error, WrongItemError) else must


@cache
def fields_of(model: type[BaseModel]) -> dict[str, dict[str, Any]]:
    """Return the JSON schema of each field of *model*: constraints, title, description, default."""
    properties: dict[str, dict[str, Any]] = model.model_json_schema()["properties"]
    return properties


def allowed(model: type[BaseModel], name: str) -> str:
    """Say what the field *name* takes, e.g. "a whole number from 1 to 50 (default 30)"."""
    field = fields_of(model)[name]
    remark = field.get("description")
    return f"{value_range(field)} ({remark})" if remark else value_range(field)


def value_range(field: dict[str, Any]) -> str:
    """Say what a JSON schema allows, e.g. "a whole number from 1 to 50".

    Its ``noun`` (by ``json_schema_extra``) says what the type does not, e.g. "an http(s) URL".
    """
    schema = {**field, **field.get("anyOf", [{}])[0]}
    choices = [f'"{choice}"' for choice in schema.get("enum", ())]
    text = str(
        schema.get("noun")
        or (f"{', '.join(choices[:-1])} or {choices[-1]}" if choices else _NOUNS[schema["type"]])
    )
    if "maxItems" in schema:
        text = f"a list of up to {schema['maxItems']} {text}"
    if "maximum" in schema:
        text += f" from {schema['minimum']:.17g} to {schema['maximum']:.17g}"
    elif "minimum" in schema:
        text += f", at least {schema['minimum']:g}"
    elif "exclusiveMinimum" in schema:
        text += f" above {schema['exclusiveMinimum']:g}"
    return text


def truncated_repr(value: Any, limit: int = 80) -> str:
    """Return ``repr(value)``, cut to *limit* characters; what was cut says how long it is."""
    try:
        text = _REPR.repr(value)
    except Exception:  # Python shows no number of more than 4,300 digits; a repr may be broken
        return f"<{type(value).__name__}>"
    if len(text) <= limit:
        return text
    length = (
        f" ({len(value)} {'characters' if isinstance(value, str) else 'items'})"
        if isinstance(value, Sized)
        else ""
    )
    return f"{text[:limit]}...{length}"
