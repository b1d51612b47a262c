"""Ideogram's models, one of which draws a given character."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal, Required

from pydantic import Field, with_config
from typing_extensions import TypedDict

from airflow_provider_apiframe.sandbox.web.schemas.fields import STRICT, Generation, Integer, Url


@with_config(STRICT)
class _SharedParams(TypedDict, total=False):
    """All but the reference image of a character."""

    aspect_ratio: str
    resolution: str
    style_type: str
    style_preset: str
    negative_prompt: str
    image: Url
    mask: Url
    style_reference_images: Annotated[list[Url], Field(max_length=3)]
    magic_prompt_option: Literal["Auto", "On", "Off"]
    rendering_speed: Literal["default", "turbo", "quality"]
    seed: Integer


@with_config(STRICT)
class Params(_SharedParams, total=False):
    """The `ideogramParams`."""

    character_reference_image: Url


@with_config(STRICT)
class CharacterParams(_SharedParams, total=False):
    """The `ideogramParams` of ideogram-character."""

    character_reference_image: Required[Url]


@with_config(STRICT)
class Body(Generation, total=False):
    """A generation."""

    ideogramParams: Params


@with_config(STRICT)
class CharacterBody(Generation, total=False):
    """A generation with a character."""

    ideogramParams: Required[CharacterParams]


BODIES: Mapping[str, type] = {
    "ideogram-v2": Body,
    "ideogram-v2-turbo": Body,
    "ideogram-v2a": Body,
    "ideogram-v2a-turbo": Body,
    "ideogram-v3-balanced": Body,
    "ideogram-v3-turbo": Body,
    "ideogram-v3-quality": Body,
    "ideogram-v4-balanced": Body,
    "ideogram-v4-turbo": Body,
    "ideogram-v4-quality": Body,
    "ideogram-character": CharacterBody,
}
