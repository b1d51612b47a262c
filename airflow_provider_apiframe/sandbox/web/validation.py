"""Whether the API would take a request, and how it says no.

The vendor's backend checks with Zod: one table puts pydantic's findings into Zod's words (OpenAPI
ValidationError). What is taken stands in `schemas`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, Field, ValidationError

from airflow_provider_apiframe.sandbox.settings import Dialect
from airflow_provider_apiframe.sandbox.state.jobs import Status
from airflow_provider_apiframe.sandbox.state.pagination import read_cursor
from airflow_provider_apiframe.sandbox.web.schemas.fields import Uuid, alternatives
from airflow_provider_apiframe.sandbox.web.schemas.requests import KINDS, adapter

Details = dict[str, list[str]]

# pydantic's type of an error -> the words of Zod for it. `received` is the JSON type of the value,
# the other names are pydantic's. The checks of the schemas raise a ValueError in Zod's words
# themselves.
ZOD_WORDS = {
    "missing": "Required",
    "value_error": "{error}",
    "bool_type": "Expected boolean, received {received}",
    "dict_type": "Expected object, received {received}",
    "float_type": "Expected number, received {received}",
    "int_from_float": "Expected integer, received float",
    "int_parsing": "Expected number, received nan",
    "int_type": "Expected number, received {received}",
    "list_type": "Expected array, received {received}",
    "string_type": "Expected string, received {received}",
    "string_unicode": "Invalid",
    "enum": "Invalid enum value. Expected {expected}, received '{value}'",
    "enum_type": "Expected {expected}, received {received}",
    "greater_than_equal": "Number must be greater than or equal to {ge:g}",
    "less_than_equal": "Number must be less than or equal to {le:g}",
    "string_too_short": "String must contain at least {min_length} character(s)",
    "string_too_long": "String must contain at most {max_length} character(s)",
    "too_short": "Array must contain at least {min_length} element(s)",
    "too_long": "Array must contain at most {max_length} element(s)",
}


class InvalidRequest(Exception):
    """A request that the API would refuse.

    :ivar details: per dotted path the messages of what is wrong there; the path of the body itself
        is "".
    """

    def __init__(self, details: Details) -> None:
        super().__init__(details)
        self.details = details


class JobQuery(BaseModel):
    """The query of GET /v2/jobs; a parameter that the API doesn't know is ignored."""

    status: Status | None = None
    model: str | None = None
    limit: int = Field(20, ge=1, le=100)
    cursor: Annotated[tuple[float, str], BeforeValidator(read_cursor)] | None = None
    scope: Literal["user", "team"] = "user"
    search: Annotated[Uuid, AfterValidator(str.lower)] | None = None
    include_models: Literal["true", "false"] = "false"


Modality = Literal["image", "video", "music"]


def validate_submission(kind: str, body: Any, dialect: Dialect) -> dict[str, Any]:
    """Return the JSON body of a submission, with nothing in it that was not sent.

    :param kind: what follows /v2/images/ in its path, e.g. "generate".
    :param body: any JSON value.
    :param dialect: whose spellings of Flux's `aspect_ratio` and `resolution` count, see `Settings`.
    :raises InvalidRequest: the API would refuse it.
    """
    name, bodies = KINDS[kind].discriminator, KINDS[kind].bodies
    if not isinstance(body, dict):
        raise InvalidRequest({"": [f"Expected object, received {_json_type(body)}"]})
    choice = body.get(name)
    if not isinstance(choice, str) or choice not in bodies:
        # A discriminated union stops here: without it there is no telling which parameters belong.
        expected = f"Invalid discriminator value. Expected {alternatives(bodies)}"
        raise InvalidRequest({name: [expected]})
    try:
        return adapter(bodies[choice]).validate_python(body, context=dialect)
    except ValidationError as error:
        raise InvalidRequest(zod_details(error.errors())) from None


def zod_details(errors: Iterable[Mapping[str, Any]]) -> Details:
    """Return what pydantic found as the details of the vendor's ValidationError."""
    details: Details = {}
    unknown_keys: Details = {}
    for error in errors:
        *parents, name = error["loc"] or ("",)
        if error["type"] == "extra_forbidden":
            unknown_keys.setdefault(".".join(map(str, parents)), []).append(name)
        else:
            path = ".".join(map(str, (*parents, name)))
            details.setdefault(path, []).append(_in_zod_words(error))
    for path, names in unknown_keys.items():
        keys = ", ".join(f"'{name}'" for name in names)
        details.setdefault(path, []).append(f"Unrecognized key(s) in object: {keys}")
    return details


def _in_zod_words(error: Mapping[str, Any]) -> str:
    kind, value = error["type"], error["input"]
    facts = {"received": _json_type(value), **error.get("ctx", {})}
    if kind == "literal_error":
        # pydantic lists the values as 'a', 'b' or 'c', and has one error for both of Zod's.
        facts["expected"] = facts["expected"].replace(", ", " | ").replace(" or ", " | ")
        kind = "enum" if isinstance(value, str) else "enum_type"
    return ZOD_WORDS[kind].format_map({**facts, "value": value})


def _json_type(value: Any) -> str:
    if value is None:
        return "null"
    names = {bool: "boolean", int: "number", float: "number", str: "string", list: "array"}
    return names.get(type(value), "object")
