"""The ``stableDiffusionParams`` of a request.

Source: OpenAPI GenerateImageRequest, branches "stable-diffusion-...".
"""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from airflow_provider_apiframe.api.params.base import ModelParams
from airflow_provider_apiframe.api.params.fields import Image, JpgPngWebp, Length, Seed


class StableDiffusionParams(ModelParams):
    """What the Stable Diffusion models take.

    :raises InvalidRequestError: naming every wrong parameter, its value and what is allowed.
    """

    key: ClassVar[str] = "stableDiffusionParams"
    image_fields: ClassVar[tuple[str, ...]] = ("image",)

    aspect_ratio: (
        Literal["1:1", "16:9", "21:9", "3:2", "2:3", "4:5", "5:4", "9:16", "9:21"] | None
    ) = None
    cfg: float | None = Field(None, ge=0, le=20, description="how close to the prompt")
    steps: int | None = Field(None, ge=1, le=40)
    image: Image | None = Field(None, description="the image to start from")
    prompt_strength: float | None = Field(None, ge=0, le=1, description="beside the image")
    negative_prompt: Annotated[str, Length(2000)] | None = None
    output_format: JpgPngWebp | None = None
    output_quality: int | None = Field(None, ge=0, le=100)
    seed: Seed | None = None
