"""The ``klingImageParams`` of a request.

Source: OpenAPI GenerateImageRequest, branch "kling-image".
"""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from airflow_provider_apiframe.api.params.base import ModelParams
from airflow_provider_apiframe.api.params.fields import CommonRatio, Image, Length


class KlingImageParams(ModelParams):
    """What ``kling-image`` takes.

    :raises InvalidRequestError: naming every wrong parameter, its value and what is allowed.
    """

    key: ClassVar[str] = "klingImageParams"
    image_fields: ClassVar[tuple[str, ...]] = ("image",)

    aspect_ratio: CommonRatio | None = None
    image: Image | None = Field(None, description="the image to work from")
    image_fidelity: float | None = Field(None, ge=0, le=1, description="how close to the image")
    model_name: Literal["kling-v1", "kling-v1-5", "kling-v2"] | None = None
    n: int | None = Field(None, ge=1, le=4, description="images to make")
    negative_prompt: Annotated[str, Length(2500)] | None = None
