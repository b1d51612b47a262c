"""The Flux family: six models with fluxParams, and one that draws with a trained LoRA."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal, Required, cast

from pydantic import AfterValidator, Field, ValidationInfo, with_config
from pydantic_core import PydanticKnownError
from typing_extensions import TypedDict

from airflow_provider_apiframe.sandbox.settings import Dialect
from airflow_provider_apiframe.sandbox.web.schemas.fields import (
    RATIO,
    STRICT,
    Generation,
    ImageFormat,
    Integer,
    Number,
    Share,
    Url,
    Uuid,
    alternatives,
)

PAGE_RATIOS = ("match_input_image", "custom")
OPENAPI_RESOLUTIONS = ("0.5MP", "1MP", "2MP", "4MP", "match_input_image")
PAGE_RESOLUTIONS = ("0.5 MP", "1 MP", "2 MP", "4 MP")
RESOLUTIONS: Mapping[Dialect, tuple[str, ...]] = {
    "openapi": OPENAPI_RESOLUTIONS,
    "page": PAGE_RESOLUTIONS,
    "both": OPENAPI_RESOLUTIONS + PAGE_RESOLUTIONS,
}


def _check_ratio(ratio: str, info: ValidationInfo) -> str:
    words = () if info.context == "openapi" else PAGE_RATIOS
    if not RATIO.fullmatch(ratio) and ratio not in words:
        raise ValueError("Invalid")
    return ratio


def _check_resolution(resolution: str, info: ValidationInfo) -> str:
    allowed = RESOLUTIONS[cast(Dialect, info.context)]
    if resolution not in allowed:
        raise PydanticKnownError("literal_error", {"expected": alternatives(allowed)})
    return resolution


Side = Annotated[Integer, Field(ge=256, le=2048)]


@with_config(STRICT)
class _SharedParams(TypedDict, total=False):
    """All but `resolution`; the vendor takes all of them from each model."""

    aspect_ratio: Annotated[str, AfterValidator(_check_ratio)]
    width: Side
    height: Side
    input_images: Annotated[list[Url], Field(max_length=10)]
    image_prompt: Url
    image_prompt_strength: Share
    steps: Annotated[Integer, Field(ge=1, le=50)]
    guidance: Annotated[Number, Field(ge=1.5, le=10)]
    output_format: ImageFormat
    output_quality: Annotated[Integer, Field(ge=0, le=100)]
    seed: Integer
    prompt_upsampling: bool
    raw: bool
    go_fast: bool


@with_config(STRICT)
class AnyResolutionParams(_SharedParams, total=False):
    """The `fluxParams` of the models for which OpenAPI lists no resolutions."""

    resolution: str


@with_config(STRICT)
class ListedResolutionParams(_SharedParams, total=False):
    """The `fluxParams` of the models for which OpenAPI lists the resolutions."""

    resolution: Annotated[str, AfterValidator(_check_resolution)]


@with_config(STRICT)
class LoraParams(TypedDict, total=False):
    """The `fluxLoraParams` of flux-lora."""

    loraId: Required[Uuid]
    aspect_ratio: Literal["1:1", "16:9", "9:16", "4:3", "3:4", "3:2", "2:3"]
    guidance_scale: Annotated[Number, Field(ge=1, le=10)]
    lora_strength: Annotated[Number, Field(ge=0, le=1.5)]
    num_inference_steps: Annotated[Integer, Field(ge=4, le=50)]
    num_outputs: Annotated[Integer, Field(ge=1, le=4)]
    output_format: ImageFormat
    seed: Integer


@with_config(STRICT)
class AnyResolutionBody(Generation, total=False):
    """A generation whose resolution may be any text."""

    fluxParams: AnyResolutionParams


@with_config(STRICT)
class ListedResolutionBody(Generation, total=False):
    """A generation in one of the listed resolutions."""

    fluxParams: ListedResolutionParams


@with_config(STRICT)
class LoraBody(Generation, total=False):
    """A generation with a LoRA."""

    fluxLoraParams: Required[LoraParams]


BODIES: Mapping[str, type] = {
    "flux-1.1-pro": AnyResolutionBody,
    "flux-1.1-pro-ultra": AnyResolutionBody,
    "flux-2-pro": ListedResolutionBody,
    "flux-2-dev": AnyResolutionBody,
    "flux-2-flex": ListedResolutionBody,
    "flux-2-max": ListedResolutionBody,
    "flux-lora": LoraBody,
}
