"""OpenAI's models: DALL-E and GPT Image."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import Field, with_config
from typing_extensions import TypedDict

from airflow_provider_apiframe.sandbox.web.schemas.fields import STRICT, Generation, Integer, Url

AspectRatio = Literal["1:1", "3:2", "2:3"]


@with_config(STRICT)
class DalleParams(TypedDict, total=False):
    """The `dalleParams`."""

    aspect_ratio: AspectRatio
    style: Literal["vivid", "natural"]


@with_config(STRICT)
class DalleBody(Generation, total=False):
    """A generation by DALL-E."""

    dalleParams: DalleParams


@with_config(STRICT)
class _SharedGptParams(TypedDict, total=False):
    """What the two models of GPT Image have in common; here alone a null is no mistake."""

    aspect_ratio: AspectRatio
    input_images: list[Url] | None
    number_of_images: Annotated[Integer, Field(ge=1, le=10)]
    output_format: Literal["png", "jpeg", "webp"]
    quality: Literal["low", "medium", "high", "auto"]


@with_config(STRICT)
class GptImageParams(_SharedGptParams, total=False):
    """The `gptImageParams`."""

    background: Literal["auto", "transparent", "opaque"]
    input_fidelity: Literal["low", "high"]


@with_config(STRICT)
class GptImage2Params(_SharedGptParams, total=False):
    """The `gptImage2Params`."""

    background: Literal["auto", "opaque"]
    moderation: Literal["auto", "low"]


@with_config(STRICT)
class GptImageBody(Generation, total=False):
    """A generation by GPT Image 1.5."""

    gptImageParams: GptImageParams


@with_config(STRICT)
class GptImage2Body(Generation, total=False):
    """A generation by GPT Image 2."""

    gptImage2Params: GptImage2Params


BODIES: Mapping[str, type] = {
    "dall-e-3": DalleBody,
    "dall-e-2": DalleBody,
    "gpt-image-1.5": GptImageBody,
    "gpt-image-2": GptImage2Body,
}
