"""Whether the API would take a request body: the strict checks of the OpenAPI GenerateImageRequest.

A check looks at one value and reports what is wrong with it, in the words of Zod, which the
vendor's backend uses (OpenAPI ValidationError). JSON types are strict ("30" is no number, true is
no number, 30.0 is an integer as in JavaScript), unknown keys are refused, and a string's length
counts UTF-16 units.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import urlsplit

from airflow_provider_apiframe.sandbox.settings import Dialect
from airflow_provider_apiframe.sandbox.state.models import MODELS

Details = dict[str, list[str]]
Check = Callable[[Any, str, Details], None]

OPENAPI_RESOLUTIONS = ("0.5MP", "1MP", "2MP", "4MP", "match_input_image")
PAGE_RESOLUTIONS = ("0.5 MP", "1 MP", "2 MP", "4 MP")
PAGE_RATIOS = ("match_input_image", "custom")

_ABSENT = object()


def utf16_length(text: str) -> int:
    """Return the length of `text` as JavaScript counts it."""
    return len(text.encode("utf-16-le", "surrogatepass")) // 2


def validate_generate(body: Any, dialect: Dialect) -> Details:
    """Check the JSON body of POST /v2/images/generate.

    Args:
        body: any JSON value.
        dialect: whose spellings of `aspect_ratio` and `resolution` count, see `Settings`.

    Returns:
        Per dotted path the messages of what is wrong there; the path of the body itself is "".
        Empty when valid.
    """
    details: Details = {}
    model = body.get("model", _ABSENT) if isinstance(body, dict) else None
    if not isinstance(body, dict):
        _wrong_type("object", body, "", details)
    elif not isinstance(model, str) or model not in MODELS:
        # A discriminated union stops here: without a model there is no telling which parameters
        # belong.
        _report(details, "model", f"Invalid discriminator value. Expected {_alternatives(MODELS)}")
    else:
        _generate_check(model, dialect)(body, "", details)
    return details


def validate_job_query(query: Mapping[str, str]) -> Details:
    """Check the query of GET /v2/jobs; a parameter the API doesn't know is ignored."""
    details: Details = {}
    for name, check in _JOB_QUERY.items():
        if name in query:
            check(query[name], name, details)
    return details


def validate_modality(query: Mapping[str, str]) -> Details:
    """Check the query of GET /v2/models."""
    details: Details = {}
    if "modality" in query:
        _choice("image", "video", "music")(query["modality"], "modality", details)
    return details


def is_uuid(text: str) -> bool:
    """Whether `text` is a UUID in its usual form."""
    return re.fullmatch(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}", text) is not None


def is_url(text: str) -> bool:
    """Whether `text` is an absolute URL; http and https need a host."""
    try:
        parts = urlsplit(text)
        host, _ = parts.hostname, parts.port
    except ValueError:
        return False
    if re.search(r"\s", text) or not re.fullmatch(r"[A-Za-z][A-Za-z0-9+.-]*", parts.scheme):
        return False
    return bool(host) if parts.scheme in ("http", "https") else len(text) > len(parts.scheme) + 1


def _report(details: Details, path: str, message: str) -> None:
    details.setdefault(path, []).append(message)


def _alternatives(values: Any) -> str:
    return " | ".join(f"'{value}'" for value in values)


def _javascript_type(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, int | float):
        return "number"
    if isinstance(value, str):
        return "string"
    return "array" if isinstance(value, list) else "object"


def _wrong_type(expected: str, value: Any, path: str, details: Details) -> None:
    message = (
        "Required"
        if value is _ABSENT
        else f"Expected {expected}, received {_javascript_type(value)}"
    )
    _report(details, path, message)


def _text(
    low: int = 0, high: int | None = None, rule: Callable[[str], bool] = bool, wrong: str = ""
) -> Check:
    def check(value: Any, path: str, details: Details) -> None:
        if not isinstance(value, str):
            _wrong_type("string", value, path, details)
            return
        if utf16_length(value) < low:
            _report(details, path, f"String must contain at least {low} character(s)")
        if high is not None and utf16_length(value) > high:
            _report(details, path, f"String must contain at most {high} character(s)")
        if wrong and not rule(value):
            _report(details, path, wrong)

    return check


def _number(low: float | None = None, high: float | None = None, *, integer: bool = False) -> Check:
    def check(value: Any, path: str, details: Details) -> None:
        if isinstance(value, bool) or not isinstance(value, int | float):
            _wrong_type("number", value, path, details)
            return
        if integer and isinstance(value, float) and not value.is_integer():
            _report(details, path, "Expected integer, received float")
        if low is not None and value < low:
            _report(details, path, f"Number must be greater than or equal to {low}")
        if high is not None and value > high:
            _report(details, path, f"Number must be less than or equal to {high}")

    return check


def _boolean(value: Any, path: str, details: Details) -> None:
    if not isinstance(value, bool):
        _wrong_type("boolean", value, path, details)


def _choice(*values: str) -> Check:
    def check(value: Any, path: str, details: Details) -> None:
        if not isinstance(value, str):
            _wrong_type(_alternatives(values), value, path, details)
            return
        if value not in values:
            message = f"Invalid enum value. Expected {_alternatives(values)}, received '{value}'"
            _report(details, path, message)

    return check


def _array(item: Check, low: int = 0, high: int | None = None) -> Check:
    def check(value: Any, path: str, details: Details) -> None:
        if not isinstance(value, list):
            _wrong_type("array", value, path, details)
            return
        if len(value) < low:
            _report(details, path, f"Array must contain at least {low} element(s)")
        if high is not None and len(value) > high:
            _report(details, path, f"Array must contain at most {high} element(s)")
        for index, element in enumerate(value):
            item(element, f"{path}.{index}", details)

    return check


def _object(fields: Mapping[str, Check], required: tuple[str, ...] = ()) -> Check:
    def check(value: Any, path: str, details: Details) -> None:
        if not isinstance(value, dict):
            _wrong_type("object", value, path, details)
            return
        for name, field in fields.items():
            if name in value or name in required:
                field(value.get(name, _ABSENT), f"{path}.{name}" if path else name, details)
        unknown = [name for name in value if name not in fields]
        if unknown:
            names = ", ".join(f"'{name}'" for name in unknown)
            _report(details, path, f"Unrecognized key(s) in object: {names}")

    return check


def _is_ratio(text: str) -> bool:
    return re.fullmatch(r"[0-9]+:[0-9]+", text) is not None


_URL = _text(rule=is_url, wrong="Invalid url")


def _aspect_ratio(dialect: Dialect) -> Check:
    words = () if dialect == "openapi" else PAGE_RATIOS
    return _text(rule=lambda text: _is_ratio(text) or text in words, wrong="Invalid")


def _resolution(model: str, dialect: Dialect) -> Check:
    if MODELS[model].free_resolution:
        return _text()
    spellings = {
        "openapi": OPENAPI_RESOLUTIONS,
        "page": PAGE_RESOLUTIONS,
        "both": OPENAPI_RESOLUTIONS + PAGE_RESOLUTIONS,
    }
    return _choice(*spellings[dialect])


def _generate_check(model: str, dialect: Dialect) -> Check:
    flux_params = _object(
        {
            "aspect_ratio": _aspect_ratio(dialect),
            "width": _number(256, 2048, integer=True),
            "height": _number(256, 2048, integer=True),
            "resolution": _resolution(model, dialect),
            "input_images": _array(_URL, high=10),
            "image_prompt": _URL,
            "image_prompt_strength": _number(0, 1),
            "steps": _number(1, 50, integer=True),
            "guidance": _number(1.5, 10),
            "output_format": _choice("jpg", "png", "webp"),
            "output_quality": _number(0, 100, integer=True),
            "seed": _number(integer=True),
            "prompt_upsampling": _boolean,
            "raw": _boolean,
            "go_fast": _boolean,
        }
    )
    return _object(
        {
            "prompt": _text(1, 2000),
            "model": _choice(model),
            "fluxParams": flux_params,
            "webhookUrl": _URL,
            "webhookEvents": _array(_choice("progress", "completed", "failed"), low=1),
        },
        required=("prompt", "model"),
    )


def _limit(value: str, path: str, details: Details) -> None:
    try:
        number = float(value)
    except ValueError:
        _report(details, path, "Expected number, received nan")
    else:
        _number(1, 100, integer=True)(number, path, details)


_JOB_QUERY: dict[str, Check] = {
    "status": _choice("QUEUED", "PROCESSING", "COMPLETED", "FAILED", "CANCELLED"),
    "limit": _limit,
    "scope": _choice("user", "team"),
    "search": _text(rule=is_uuid, wrong="Invalid uuid"),
    "include_models": _choice("true", "false"),
}
