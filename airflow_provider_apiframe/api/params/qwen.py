"""The ``qwenImageParams`` and ``qwenImage2Params`` of a request.

Source: OpenAPI GenerateImageRequest, branches "qwen-image" and "qwen-image-2...".
"""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from airflow_provider_apiframe.api.params.base import ModelParams
from airflow_provider_apiframe.api.params.fields import Image, Length, Seed

_NegativePrompt = Annotated[str, Length(500)]


class QwenImageParams(ModelParams):
    """What ``qwen-image`` takes.

    :raises InvalidRequestError: naming every wrong parameter, its value and what is allowed.
    """

    key: ClassVar[str] = "qwenImageParams"
    image_fields: ClassVar[tuple[str, ...]] = ("image_url",)

    image_size: (
        Literal[
            "square",
            "square_hd",
            "portrait_4_3",
            "portrait_16_9",
            "landscape_4_3",
            "landscape_16_9",
        ]
        | None
    ) = None
    num_images: int | None = Field(None, ge=1, le=4, description="images to make")
    num_inference_steps: int | None = Field(None, ge=2, le=250)
    guidance_scale: float | None = Field(None, ge=0, le=20)
    strength: float | None = Field(None, ge=0, le=1, description="how far from the image")
    task_type: Literal["text-to-image", "image-to-image", "image-edit"] | None = None
    image_url: Image | None = Field(None, description="the image to work from")
    acceleration: Literal["none", "regular", "high"] | None = None
    negative_prompt: _NegativePrompt | None = None
    output_format: Literal["png", "jpeg"] | None = None
    seed: Seed | None = None


class QwenImage2Params(ModelParams):
    """What ``qwen-image-2`` and ``qwen-image-2-pro`` take.

    :raises InvalidRequestError: naming every wrong parameter, its value and what is allowed.
    """

    key: ClassVar[str] = "qwenImage2Params"
    image_fields: ClassVar[tuple[str, ...]] = ("image",)

    aspect_ratio: (
        Literal["1:1", "2:3", "3:2", "3:4", "4:3", "9:16", "16:9", "21:9", "2:1", "1:2"] | None
    ) = None
    image: Image | None = Field(None, description="the image to work from")
    negative_prompt: _NegativePrompt | None = None
    seed: Seed | None = None
