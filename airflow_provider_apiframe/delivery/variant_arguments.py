"""What a task that makes variants of an image takes, checked."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    ValidationInfo,
    field_validator,
    model_validator,
)

from airflow_provider_apiframe.api.errors import InvalidRequestError
from airflow_provider_apiframe.api.params.base import (
    Arguments,
    BrokenRulesError,
    ParseContext,
    Reasons,
)
from airflow_provider_apiframe.api.params.text import read_literal
from airflow_provider_apiframe.api.validation import RuleError, truncated_repr
from airflow_provider_apiframe.delivery.naming import SaveTo
from airflow_provider_apiframe.delivery.resize import TRANSPARENT, Fit, Format

MAX_SIDE = 8192
"""Pixels: 8192x8192 has as many as the largest source that is read."""

MAX_VARIANTS = 100

# A name becomes part of a file name and an XCom's key. A mere number would name another image of
# the job: poster-2.png.
_NAME = re.compile(r"(?![0-9]+$)(?!return_value$)[A-Za-z0-9][A-Za-z0-9_-]{0,49}")
_NAME_ALLOWED = (
    'a name is 1 to 50 of the characters A-Z, a-z, 0-9, "_" and "-", begins with a letter or a '
    'digit, and is neither a number nor "return_value"'
)


def _within_max_side(size: str) -> str:
    if max(map(int, size.split("x"))) > MAX_SIDE:
        raise ValueError("too large")
    return size


_Size = Annotated[
    str,
    Field(
        pattern=r"^[1-9][0-9]{0,4}x[1-9][0-9]{0,4}$",
        json_schema_extra={
            "noun": f'a size "WIDTHxHEIGHT" in pixels, each from 1 to {MAX_SIDE}, such as '
            '"1080x1920"'
        },
    ),
    AfterValidator(_within_max_side),
]
_Colour = Annotated[
    str,
    Field(
        pattern=rf"^(#[0-9a-fA-F]{{6}}|{TRANSPARENT})$",
        json_schema_extra={"noun": f'a colour "#rrggbb" or "{TRANSPARENT}"'},
    ),
]


@dataclass(frozen=True)
class _Context(ParseContext):
    """:param is_templated: tells values that are not known yet."""

    is_templated: Callable[[Any], bool] = lambda value: False


class Variant(Arguments):
    """How a variant looks.

    :param size: "WIDTHxHEIGHT" in pixels, each 1-8192, e.g. "1080x1920".
    :param fit: "cover" (default) fills the size and cuts off what sticks out; "contain" is as large
        as fits into the size, so that one side may be shorter; "pad" adds bars to that. Smaller
        images are enlarged.
    :param format: "jpg", "png" or "webp"; default: the source's.
    :param quality: 1-100, default 90; no effect for png.
    :param background: "#rrggbb" or "transparent", default "#ffffff": what is behind the image with
        "pad", and where a jpg's source is transparent. A jpg cannot be transparent.
    :raises InvalidRequestError: naming every wrong value and what is allowed.
    """

    size: _Size
    fit: Fit = "cover"
    format: Format | None = Field(None, description="default: the source's")
    quality: int = Field(90, ge=1, le=100, description="no effect for png")
    background: _Colour = "#ffffff"

    @property
    def pixels(self) -> tuple[int, int]:
        """Width and height."""
        width, height = map(int, self.size.split("x"))
        return width, height

    @model_validator(mode="after")
    def _no_transparent_jpg(self) -> Variant:
        if (self.format, self.background) == ("jpg", TRANSPARENT):
            raise BrokenRulesError({"background": ["a jpg cannot be transparent"]})
        return self

    @classmethod
    def _wrong_names(cls, values: Mapping[str, Any], context: ParseContext) -> Reasons:
        reasons: Reasons = {}
        for name in (name for name in values if name not in cls.model_fields):
            near = difflib.get_close_matches(name, cls.model_fields, n=1)
            known = f"known are {', '.join(cls.model_fields)}"
            advice = f"did you mean {near[0]!r}?" if near else known
            reasons[name] = [f"unknown key, {advice}"]
        return reasons


def literal_if_text(value: Any) -> Any:
    """Return what text says as JSON or as a Python literal; anything else, and text that says
    neither, as it is."""
    try:
        return read_literal(value) if isinstance(value, str) else value
    except ValueError:
        return value


def _read_variants(variants: Any, info: ValidationInfo) -> dict[str, Variant]:
    context = info.context or _Context()
    variants = literal_if_text(variants)
    if not isinstance(variants, Mapping) or not 1 <= len(variants) <= MAX_VARIANTS:
        raise InvalidRequestError(
            f"variants={truncated_repr(variants)}: must be a mapping of 1 to {MAX_VARIANTS} names "
            'to sizes or settings, e.g. {"story": "1080x1920"}'
        )
    unsafe = [name for name in variants if not (isinstance(name, str) and _NAME.fullmatch(name))]
    if unsafe:
        raise InvalidRequestError(f"variants: {truncated_repr(unsafe)}: {_NAME_ALLOWED}")
    wrong: list[str] = []
    checked: dict[str, Variant] = {}
    for name, settings in variants.items():
        try:
            checked[name] = _variant(settings, context)
        except InvalidRequestError as error:
            wrong.append(f"variants[{name!r}]: {error}")
    if wrong:
        raise InvalidRequestError("; ".join(wrong))
    return checked


def _variant(settings: Any, context: _Context) -> Variant:
    values = settings if isinstance(settings, Mapping) else {"size": settings}
    keyed = {str(name)[:80]: value for name, value in values.items()}
    templated = {name for name, value in keyed.items() if context.is_templated(value)}
    return Variant.checked(keyed, ParseContext(templated=frozenset(templated)))


class VariantArguments(Arguments):
    """What a task that makes variants takes besides the result; what it means is said at the
    operator."""

    variants: Annotated[dict[str, Variant], BeforeValidator(_read_variants)]
    save_to: str | None = Field(
        None,
        pattern=r"^(/|[a-z][a-z0-9+.-]*://)\S.*/$",
        json_schema_extra={
            "noun": 'a folder: an absolute path or a URL that ends with "/", such as '
            '"s3://bucket/resized/"'
        },
    )
    save_conn_id: str | None = Field(
        None,
        pattern=r"\S",
        json_schema_extra={"noun": "the id of an Airflow connection"},
    )

    @field_validator("save_to")
    @classmethod
    def _check_save_to(cls, save_to: str | None) -> str | None:
        # The same text leads nowhere else than it does where images are saved.
        if save_to is not None and SaveTo.parse(save_to).placeholders:
            raise RuleError(
                "takes no placeholders; leave it out to put variants beside their image, or use a "
                "template such as {{ run_id }}"
            )
        return save_to

    @classmethod
    def read(
        cls,
        values: Mapping[str, Any],
        *,
        is_templated: Callable[[Any], bool] = lambda value: False,
    ) -> VariantArguments:
        """Check all arguments at once.

        :param is_templated: tells values that are not known yet; those wait, as does what is
            not given.
        :raises InvalidRequestError: naming every wrong one, its value and what is allowed.
        """
        known = {name: value for name, value in values.items() if not is_templated(value)}
        unknown = dict.fromkeys(cls.model_fields.keys() - known.keys())
        context = _Context(templated=frozenset(unknown), is_templated=is_templated)
        return cls.checked({**unknown, **known}, context)
