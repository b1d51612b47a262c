"""Alibaba's models: Qwen Image and Wan Image."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal, Required

from pydantic import AfterValidator, Field, with_config
from typing_extensions import TypedDict

from airflow_provider_apiframe.sandbox.web.schemas.fields import (
    STRICT,
    Generation,
    Integer,
    Number,
    Seed32,
    Share,
    Submission,
    Text500,
    Url,
    length,
)

LONGEST_WAN_27_PROMPT = 5000  # UTF-16 units

WanRatio = Literal["1:1", "2:3", "3:2", "3:4", "4:3", "9:16", "16:9", "21:9"]


@with_config(STRICT)
class QwenImageParams(TypedDict, total=False):
    """The `qwenImageParams`."""

    image_size: Literal[
        "square", "square_hd", "portrait_4_3", "portrait_16_9", "landscape_4_3", "landscape_16_9"
    ]
    num_images: Annotated[Integer, Field(ge=1, le=4)]
    num_inference_steps: Annotated[Integer, Field(ge=2, le=250)]
    guidance_scale: Annotated[Number, Field(ge=0, le=20)]
    strength: Share
    task_type: Literal["text-to-image", "image-to-image", "image-edit"]
    image_url: Url
    acceleration: Literal["none", "regular", "high"]
    negative_prompt: Text500
    output_format: Literal["png", "jpeg"]
    seed: Integer


@with_config(STRICT)
class QwenImageBody(Generation, total=False):
    """A generation by Qwen Image."""

    qwenImageParams: QwenImageParams


@with_config(STRICT)
class QwenImage2Params(TypedDict, total=False):
    """The `qwenImage2Params`."""

    aspect_ratio: Literal["1:1", "2:3", "3:2", "3:4", "4:3", "9:16", "16:9", "21:9", "2:1", "1:2"]
    image: Url
    negative_prompt: Text500
    seed: Integer


@with_config(STRICT)
class QwenImage2Body(Generation, total=False):
    """A generation by Qwen Image 2."""

    qwenImage2Params: QwenImage2Params


@with_config(STRICT)
class WanImageParams(TypedDict, total=False):
    """The `wanImageParams`."""

    aspect_ratio: WanRatio
    image: Url
    negative_prompt: Text500
    prompt_extend: bool
    seed: Seed32


@with_config(STRICT)
class WanImageBody(Generation, total=False):
    """A generation by Wan Image 2.6."""

    wanImageParams: WanImageParams


@with_config(STRICT)
class WanImage27Params(TypedDict, total=False):
    """The `wanImage27Params`."""

    aspect_ratio: WanRatio
    image: Url
    thinking_mode: bool
    seed: Seed32


@with_config(STRICT)
class WanImage27Body(Submission, total=False):
    """A generation by Wan Image 2.7, which reads longer prompts than all others."""

    prompt: Required[Annotated[str, AfterValidator(length(1, LONGEST_WAN_27_PROMPT))]]
    model: Required[str]
    wanImage27Params: WanImage27Params


BODIES: Mapping[str, type] = {
    "qwen-image": QwenImageBody,
    "qwen-image-2": QwenImage2Body,
    "qwen-image-2-pro": QwenImage2Body,
    "wan-image-2.6": WanImageBody,
    "wan-image-2.7": WanImage27Body,
    "wan-image-2.7-pro": WanImage27Body,
}
