"""Options as pydantic models: what is allowed, and what is wrong, in one plain sentence."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, ValidationError

_NAMES = {
    "boolean": "true or false",
    "integer": "a whole number",
    "null": "null",
    "number": "a number",
    "object": "an object",
    "string": "a text",
}


class OptionModel(BaseModel):
    """Options with their types, ranges, defaults and descriptions; unknown ones are refused."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)

    @classmethod
    def parse(cls, options: Mapping[str, Any]) -> Self:
        """Return the model with these options.

        :raises ValueError: an option is unknown or out of its range; the text names the option,
            its value and what is allowed.
        """
        try:
            return cls.model_validate(options)
        except ValidationError as error:
            raise ValueError(cls._explain(error, options)) from None

    @classmethod
    def _explain(cls, error: ValidationError, options: Mapping[str, Any]) -> str:
        first = error.errors()[0]
        if not first["loc"]:
            return str(first["ctx"]["error"])
        name = str(first["loc"][0])
        if first["type"] == "extra_forbidden":
            return f"unknown option {name!r}; known: {', '.join(sorted(cls.model_fields))}"
        allowed = describe_allowed(cls.model_json_schema()["properties"][name])
        return f"{name} must be {allowed}, not {options.get(name)!r}"


def describe_allowed(schema: Mapping[str, Any]) -> str:
    """Return the words for what the JSON schema of an option allows."""
    if "allowed" in schema:
        return str(schema["allowed"])
    return " or ".join(_describe(each) for each in schema.get("anyOf", [schema]))


def _describe(schema: Mapping[str, Any]) -> str:
    if "enum" in schema:
        return f"one of {', '.join(schema['enum'])}"
    name = _NAMES[schema["type"]]
    if "minimum" in schema and "maximum" in schema:
        return f"{name} from {schema['minimum']:g} to {schema['maximum']:g}"
    return f"{name} of {schema['minimum']:g} or more" if "minimum" in schema else name
