"""Whether the API would take a request: strict models of the vendor's OpenAPI file.

JSON types are strict ("30" is no number, true is no number), 30.0 is the integer 30 as in
JavaScript, unknown keys are refused, and a string's length counts UTF-16 units. The vendor's
backend checks with Zod: one table puts pydantic's findings into Zod's words (OpenAPI
ValidationError). All of it is written apart from the client, so that they check each other.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Required, cast
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    TypeAdapter,
    ValidationError,
    ValidationInfo,
    with_config,
)
from pydantic_core import PydanticKnownError

# Before Python 3.12 pydantic needs this one, which comes with it.
from typing_extensions import TypedDict

from airflow_provider_apiframe.sandbox.settings import Dialect
from airflow_provider_apiframe.sandbox.state.jobs import Status
from airflow_provider_apiframe.sandbox.state.models import MODELS
from airflow_provider_apiframe.sandbox.state.pagination import read_cursor

Details = dict[str, list[str]]

RATIO = re.compile(r"[0-9]+:[0-9]+")
PAGE_RATIOS = ("match_input_image", "custom")
OPENAPI_RESOLUTIONS = ("0.5MP", "1MP", "2MP", "4MP", "match_input_image")
PAGE_RESOLUTIONS = ("0.5 MP", "1 MP", "2 MP", "4 MP")
RESOLUTIONS: Mapping[Dialect, tuple[str, ...]] = {
    "openapi": OPENAPI_RESOLUTIONS,
    "page": PAGE_RESOLUTIONS,
    "both": OPENAPI_RESOLUTIONS + PAGE_RESOLUTIONS,
}
LONGEST_PROMPT = 2000  # UTF-16 units

# pydantic's type of an error -> the words of Zod for it. `received` is the JSON type of the value,
# the other names are pydantic's. The checks below raise a ValueError in Zod's words themselves.
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


@dataclass(frozen=True, slots=True)
class Rules:
    """What the models below can't know by themselves.

    :param dialect: whose spellings of `aspect_ratio` and `resolution` count, see `Settings`.
    :param free_resolution: whether the model takes any resolution.
    """

    dialect: Dialect
    free_resolution: bool


def utf16_length(text: str) -> int:
    """Return the length of `text` as JavaScript counts it."""
    return len(text.encode("utf-16-le", "surrogatepass")) // 2


def is_uuid(text: str) -> bool:
    """Return whether `text` is a UUID in its usual form."""
    return re.fullmatch(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}", text) is not None


def is_url(text: str) -> bool:
    """Return whether `text` is an absolute URL; http and https need a host."""
    try:
        parts = urlsplit(text)
        host, _ = parts.hostname, parts.port
    except ValueError:
        return False
    if re.search(r"\s", text) or not re.fullmatch(r"[A-Za-z][A-Za-z0-9+.-]*", parts.scheme):
        return False
    return bool(host) if parts.scheme in ("http", "https") else len(text) > len(parts.scheme) + 1


def _whole(value: Any) -> Any:
    # JavaScript has one type of number: 30.0 is 30.
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _check_integer(value: Any) -> Any:
    value = _whole(value)
    if isinstance(value, float):
        raise PydanticKnownError("int_from_float")
    return value


def _check_prompt(prompt: str) -> str:
    length = utf16_length(prompt)
    if not length:
        raise PydanticKnownError("string_too_short", {"min_length": 1})
    if length > LONGEST_PROMPT:
        raise PydanticKnownError("string_too_long", {"max_length": LONGEST_PROMPT})
    return prompt


def _check_url(url: str) -> str:
    if not is_url(url):
        raise ValueError("Invalid url")
    return url


def _check_ratio(ratio: str, info: ValidationInfo) -> str:
    words = () if cast(Rules, info.context).dialect == "openapi" else PAGE_RATIOS
    if not RATIO.fullmatch(ratio) and ratio not in words:
        raise ValueError("Invalid")
    return ratio


def _check_resolution(resolution: str, info: ValidationInfo) -> str:
    rules = cast(Rules, info.context)
    allowed = RESOLUTIONS[rules.dialect]
    if not rules.free_resolution and resolution not in allowed:
        raise PydanticKnownError("literal_error", {"expected": _alternatives(allowed)})
    return resolution


def _check_search(search: str) -> str:
    if not is_uuid(search):
        raise ValueError("Invalid uuid")
    return search.lower()


Integer = Annotated[int, BeforeValidator(_check_integer)]
Number = Annotated[float, AfterValidator(_whole)]
Side = Annotated[Integer, Field(ge=256, le=2048)]
Url = Annotated[str, AfterValidator(_check_url)]
STRICT = ConfigDict(strict=True, extra="forbid")


@with_config(STRICT)
class FluxParams(TypedDict, total=False):
    """The `fluxParams` of the six Flux models; the vendor takes all of them from each model."""

    aspect_ratio: Annotated[str, AfterValidator(_check_ratio)]
    width: Side
    height: Side
    resolution: Annotated[str, AfterValidator(_check_resolution)]
    input_images: Annotated[list[Url], Field(max_length=10)]
    image_prompt: Url
    image_prompt_strength: Annotated[Number, Field(ge=0, le=1)]
    steps: Annotated[Integer, Field(ge=1, le=50)]
    guidance: Annotated[Number, Field(ge=1.5, le=10)]
    output_format: Literal["jpg", "png", "webp"]
    output_quality: Annotated[Integer, Field(ge=0, le=100)]
    seed: Integer
    prompt_upsampling: bool
    raw: bool
    go_fast: bool


@with_config(STRICT)
class GenerateRequest(TypedDict, total=False):
    """The body of POST /v2/images/generate (OpenAPI GenerateImageRequest)."""

    prompt: Required[Annotated[str, AfterValidator(_check_prompt)]]
    model: Required[str]
    fluxParams: FluxParams
    webhookUrl: Url
    webhookEvents: Annotated[list[Literal["progress", "completed", "failed"]], Field(min_length=1)]


class JobQuery(BaseModel):
    """The query of GET /v2/jobs; a parameter that the API doesn't know is ignored."""

    status: Status | None = None
    model: str | None = None
    limit: int = Field(20, ge=1, le=100)
    cursor: Annotated[tuple[float, str], BeforeValidator(read_cursor)] | None = None
    scope: Literal["user", "team"] = "user"
    search: Annotated[str, AfterValidator(_check_search)] | None = None
    include_models: Literal["true", "false"] = "false"


Modality = Literal["image", "video", "music"]

_generate_request = TypeAdapter(GenerateRequest)


def validate_generate(body: Any, dialect: Dialect) -> GenerateRequest:
    """Return the JSON body of POST /v2/images/generate, with nothing in it that was not sent.

    :param body: any JSON value.
    :param dialect: whose spellings of `aspect_ratio` and `resolution` count, see `Settings`.
    :raises InvalidRequest: the API would refuse it.
    """
    model = body.get("model") if isinstance(body, dict) else next(iter(MODELS))
    if not isinstance(model, str) or model not in MODELS:
        # A discriminated union stops here: without a model there is no telling which parameters
        # belong.
        expected = f"Invalid discriminator value. Expected {_alternatives(MODELS)}"
        raise InvalidRequest({"model": [expected]})
    rules = Rules(dialect, MODELS[model].free_resolution)
    try:
        return _generate_request.validate_python(body, context=rules)
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


def _alternatives(values: Iterable[str]) -> str:
    return " | ".join(f"'{value}'" for value in values)


def _json_type(value: Any) -> str:
    if value is None:
        return "null"
    names = {bool: "boolean", int: "number", float: "number", str: "string", list: "array"}
    return names.get(type(value), "object")
