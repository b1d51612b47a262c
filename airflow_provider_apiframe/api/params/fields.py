"""Types of fields that several families of models share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic_core import CoreSchema, core_schema

from airflow_provider_apiframe.api.params.references import (
    IMAGE_NOUN,
    IMAGES_NOUN,
    flat_references,
    one_reference,
)
from airflow_provider_apiframe.api.params.text import checked_text, text_noun

# Backends in JavaScript round numbers beyond this, and would quietly use another seed.
_MAX_SEED = 2**53 - 1


@dataclass(frozen=True)
class Length:
    """How long a text may be, in UTF-16 units, as the JavaScript backend counts.

    :param most: at most so many.
    :param least: 0, or 1 for a text that is not blank.
    """

    most: int
    least: int = 0

    def __get_pydantic_core_schema__(
        self, source: Any, handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        return core_schema.no_info_before_validator_function(self._check, handler(source))

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        noun = text_noun(self.most, self.least)
        return {**handler(schema), "maxLength": self.most, "noun": noun}

    def _check(self, value: Any) -> str:
        return checked_text(value, self.most, self.least)


def _whole(value: Any) -> Any:
    """Return text and floats that stand for a whole number as one; anything else as it is."""
    if isinstance(value, bool):  # which Literal would take for 0 or 1
        raise ValueError("a boolean is no number")
    try:
        number = float(value) if isinstance(value, (str, float)) else value
    except ValueError:
        return value
    return int(number) if isinstance(number, float) and number.is_integer() else number


WholeNumber = BeforeValidator(_whole)
"""For a choice of numbers, which may come as text."""

Seed = Annotated[int, Field(ge=-_MAX_SEED, le=_MAX_SEED)]

Ratio = Annotated[
    str,
    Field(
        pattern=r"^[1-9][0-9]*:[1-9][0-9]*$",
        json_schema_extra={"noun": 'a ratio "W:H" such as "16:9"'},
    ),
]

# Names of their own, because Literals of the same words in another order are the same to typing:
# which order the texts have would depend on what was loaded first.
CommonRatio = Literal["1:1", "16:9", "9:16", "4:3", "3:4", "3:2", "2:3"]
JpgPng = Literal["jpg", "png"]
JpgPngWebp = Literal["jpg", "png", "webp"]

Word = Annotated[str, Length(100, least=1)]
"""One of the model's own words. The vendor's contract says no more than that it is text."""

Image = Annotated[
    str, Field(json_schema_extra={"noun": f"an {IMAGE_NOUN}"}), BeforeValidator(one_reference)
]
Images = Annotated[
    list[str], Field(json_schema_extra={"noun": IMAGES_NOUN}), BeforeValidator(flat_references)
]

Uuid = Annotated[
    str,
    Field(
        pattern=r"(?i)^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$",
        json_schema_extra={"noun": "a UUID"},
    ),
]
