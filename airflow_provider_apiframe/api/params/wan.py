"""The ``wanImageParams`` and ``wanImage27Params`` of a request.

Source: OpenAPI GenerateImageRequest, branches "wan-image-2.6" and "wan-image-2.7...".
"""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from airflow_provider_apiframe.api.params.base import ModelParams
from airflow_provider_apiframe.api.params.fields import Image, Length


class _WanImage(ModelParams):
    """What both take."""

    image_fields: ClassVar[tuple[str, ...]] = ("image",)

    aspect_ratio: Literal["1:1", "2:3", "3:2", "3:4", "4:3", "9:16", "16:9", "21:9"] | None = None
    image: Image | None = Field(None, description="the image to work from")
    seed: int | None = Field(None, ge=0, le=2147483647)


class WanImageParams(_WanImage):
    """What ``wan-image-2.6`` takes.

    :raises InvalidRequestError: naming every wrong parameter, its value and what is allowed.
    """

    key: ClassVar[str] = "wanImageParams"

    negative_prompt: Annotated[str, Length(500)] | None = None
    prompt_extend: bool | None = Field(None, description="lets the model rewrite the prompt")


class WanImage27Params(_WanImage):
    """What ``wan-image-2.7`` and ``wan-image-2.7-pro`` take.

    :raises InvalidRequestError: naming every wrong parameter, its value and what is allowed.
    """

    key: ClassVar[str] = "wanImage27Params"

    thinking_mode: bool | None = Field(None, description="lets the model think first")
