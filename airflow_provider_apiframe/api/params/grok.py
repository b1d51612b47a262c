"""The ``grokImagineParams`` of a request.

Source: OpenAPI GenerateImageRequest, branch "grok-imagine-image".
"""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from airflow_provider_apiframe.api.params.base import ModelParams
from airflow_provider_apiframe.api.params.fields import Image


class GrokImagineParams(ModelParams):
    """What ``grok-imagine-image`` takes.

    :raises InvalidRequestError: naming every wrong parameter, its value and what is allowed.
    """

    key: ClassVar[str] = "grokImagineParams"
    image_fields: ClassVar[tuple[str, ...]] = ("image",)

    aspect_ratio: Literal["1:1", "2:3", "3:2", "16:9", "9:16"] | None = None
    image: Image | None = Field(None, description="the image to work from")
