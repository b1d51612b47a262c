"""Types of fields that the families share, with the words of Zod for what is wrong with them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Annotated, Any, Literal, Required
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, ConfigDict, Field, with_config
from pydantic_core import PydanticKnownError

# Before Python 3.12 pydantic needs this one, which comes with it.
from typing_extensions import TypedDict

RATIO = re.compile(r"[0-9]+:[0-9]+")
LONGEST_PROMPT = 2000  # UTF-16 units
STRICT = ConfigDict(strict=True, extra="forbid")


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


def alternatives(values: Iterable[str]) -> str:
    """Return values as Zod lists what it expects."""
    return " | ".join(f"'{value}'" for value in values)


def length(shortest: int, longest: int) -> Callable[[str], str]:
    """Return a check of a text's length in UTF-16 units."""

    def check(text: str) -> str:
        units = utf16_length(text)
        if units < shortest:
            raise PydanticKnownError("string_too_short", {"min_length": shortest})
        if units > longest:
            raise PydanticKnownError("string_too_long", {"max_length": longest})
        return text

    return check


def one_of(*numbers: float) -> Callable[[Any], Any]:
    """Return a check that a value is one of some numbers, for which Zod has one error only."""

    def check(value: Any) -> Any:
        if isinstance(value, bool) or not isinstance(value, int | float) or value not in numbers:
            raise ValueError("Invalid input")
        return value

    return check


def _whole(value: Any) -> Any:
    # JavaScript has one type of number: 30.0 is 30.
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _check_integer(value: Any) -> Any:
    value = _whole(value)
    if isinstance(value, float):
        raise PydanticKnownError("int_from_float")
    return value


def _check_url(url: str) -> str:
    if not is_url(url):
        raise ValueError("Invalid url")
    return url


def _check_uuid(text: str) -> str:
    if not is_uuid(text):
        raise ValueError("Invalid uuid")
    return text


def _check_ratio(ratio: str) -> str:
    if not RATIO.fullmatch(ratio):
        raise ValueError("Invalid")
    return ratio


Integer = Annotated[int, BeforeValidator(_check_integer)]
Number = Annotated[float, AfterValidator(_whole)]
Share = Annotated[Number, Field(ge=0, le=1)]
Seed32 = Annotated[Integer, Field(ge=0, le=2147483647)]
Url = Annotated[str, AfterValidator(_check_url)]
Uuid = Annotated[str, AfterValidator(_check_uuid)]
Ratio = Annotated[str, AfterValidator(_check_ratio)]
Prompt = Annotated[str, AfterValidator(length(1, LONGEST_PROMPT))]
Text500 = Annotated[str, AfterValidator(length(0, 500))]
Text2000 = Annotated[str, AfterValidator(length(0, 2000))]
ImageFormat = Literal["jpg", "png", "webp"]
JpgOrPng = Literal["jpg", "png"]


@with_config(STRICT)
class Submission(TypedDict, total=False):
    """What the bodies of all submissions have in common."""

    webhookUrl: Url
    webhookEvents: Annotated[list[Literal["progress", "completed", "failed"]], Field(min_length=1)]


@with_config(STRICT)
class Generation(Submission, total=False):
    """What the bodies of POST /v2/images/generate have in common."""

    prompt: Required[Prompt]
    model: Required[str]
