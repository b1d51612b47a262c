"""The ``gptImageParams`` and ``gptImage2Params`` of a request.

Source: OpenAPI GenerateImageRequest, branches "gpt-image-1.5" and "gpt-image-2".
"""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from airflow_provider_apiframe.api.params.base import ModelParams
from airflow_provider_apiframe.api.params.fields import Images


class _GptImage(ModelParams):
    """What both take.

    The vendor names no limit for ``input_images``; the one here is ours.
    """

    image_fields: ClassVar[tuple[str, ...]] = ("input_images",)

    aspect_ratio: Literal["1:1", "3:2", "2:3"] | None = None
    input_images: Images | None = Field(None, max_length=50, description="images to work from")
    number_of_images: int | None = Field(None, ge=1, le=10, description="images to make")
    output_format: Literal["png", "jpeg", "webp"] | None = None
    quality: Literal["low", "medium", "high", "auto"] | None = Field(
        None, description="the price depends on it"
    )


class GptImageParams(_GptImage):
    """What ``gpt-image-1.5`` takes.

    :raises InvalidRequestError: naming every wrong parameter, its value and what is allowed.
    """

    key: ClassVar[str] = "gptImageParams"

    background: Literal["auto", "transparent", "opaque"] | None = None
    input_fidelity: Literal["low", "high"] | None = Field(
        None, description="how close to the input images"
    )


class GptImage2Params(_GptImage):
    """What ``gpt-image-2`` takes.

    :raises InvalidRequestError: naming every wrong parameter, its value and what is allowed.
    """

    key: ClassVar[str] = "gptImage2Params"

    background: Literal["auto", "opaque"] | None = None
    moderation: Literal["auto", "low"] | None = None
