"""Families of few models: Seedream, Stable Diffusion, Kling, Grok and Reve."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, with_config
from typing_extensions import TypedDict

from airflow_provider_apiframe.sandbox.web.schemas.fields import (
    STRICT,
    Generation,
    ImageFormat,
    Integer,
    JpgOrPng,
    Number,
    Share,
    Text2000,
    Url,
    length,
)

SeedreamSide = Annotated[Integer, Field(ge=512, le=4096)]


@with_config(STRICT)
class SeedreamParams(TypedDict, total=False):
    """The `seedreamParams`."""

    aspect_ratio: str
    size: str
    resolution: str
    width: SeedreamSide
    height: SeedreamSide
    image_input: Annotated[list[Url], Field(max_length=14)]
    guidance_scale: Annotated[Number, Field(ge=1, le=10)]
    enhance_prompt: bool
    use_pre_llm: bool
    output_format: JpgOrPng
    seed: Integer


@with_config(STRICT)
class SeedreamBody(Generation, total=False):
    """A generation by Seedream."""

    seedreamParams: SeedreamParams


@with_config(STRICT)
class StableDiffusionParams(TypedDict, total=False):
    """The `stableDiffusionParams`."""

    aspect_ratio: Literal["1:1", "16:9", "21:9", "3:2", "2:3", "4:5", "5:4", "9:16", "9:21"]
    cfg: Annotated[Number, Field(ge=0, le=20)]
    steps: Annotated[Integer, Field(ge=1, le=40)]
    image: Url
    prompt_strength: Share
    negative_prompt: Text2000
    output_format: ImageFormat
    output_quality: Annotated[Integer, Field(ge=0, le=100)]
    seed: Integer


@with_config(STRICT)
class StableDiffusionBody(Generation, total=False):
    """A generation by Stable Diffusion."""

    stableDiffusionParams: StableDiffusionParams


@with_config(STRICT)
class KlingImageParams(TypedDict, total=False):
    """The `klingImageParams`."""

    aspect_ratio: Literal["16:9", "9:16", "1:1", "4:3", "3:4", "3:2", "2:3"]
    image: Url
    image_fidelity: Share
    model_name: Literal["kling-v1", "kling-v1-5", "kling-v2"]
    n: Annotated[Integer, Field(ge=1, le=4)]
    negative_prompt: Annotated[str, AfterValidator(length(0, 2500))]


@with_config(STRICT)
class KlingImageBody(Generation, total=False):
    """A generation by Kling."""

    klingImageParams: KlingImageParams


@with_config(STRICT)
class GrokImagineParams(TypedDict, total=False):
    """The `grokImagineParams`."""

    aspect_ratio: Literal["1:1", "2:3", "3:2", "16:9", "9:16"]
    image: Url


@with_config(STRICT)
class GrokImagineBody(Generation, total=False):
    """A generation by Grok."""

    grokImagineParams: GrokImagineParams


@with_config(STRICT)
class ReveParams(TypedDict, total=False):
    """The `reveParams`."""

    aspect_ratio: Literal["16:9", "9:16", "3:2", "2:3", "4:3", "3:4", "1:1"]
    seed: Integer
    version: str


@with_config(STRICT)
class ReveBody(Generation, total=False):
    """A generation by Reve."""

    reveParams: ReveParams


BODIES: Mapping[str, type] = {
    "seedream-3": SeedreamBody,
    "seedream-3.1": SeedreamBody,
    "seedream-4": SeedreamBody,
    "seedream-4.5": SeedreamBody,
    "seedream-5-lite": SeedreamBody,
    "seedream-5-pro": SeedreamBody,
    "stable-diffusion-3.5-large": StableDiffusionBody,
    "stable-diffusion-3.5-large-turbo": StableDiffusionBody,
    "stable-diffusion-3.5-medium": StableDiffusionBody,
    "stable-diffusion-3": StableDiffusionBody,
    "kling-image": KlingImageBody,
    "grok-imagine-image": GrokImagineBody,
    "reve-create": ReveBody,
}
