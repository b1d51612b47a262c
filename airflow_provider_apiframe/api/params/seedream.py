"""The ``seedreamParams`` of a request.

Source: OpenAPI GenerateImageRequest, branches "seedream-...".
"""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from airflow_provider_apiframe.api.params.base import ModelParams
from airflow_provider_apiframe.api.params.fields import Images, JpgPng, Seed, Word

_PIXELS = {"noun": "a whole number of pixels"}


class SeedreamParams(ModelParams):
    """What the Seedream models take.

    :raises InvalidRequestError: naming every wrong parameter, its value and what is allowed.
    """

    key: ClassVar[str] = "seedreamParams"
    image_fields: ClassVar[tuple[str, ...]] = ("image_input",)

    aspect_ratio: Word | None = None
    size: Word | None = None
    resolution: Word | None = None
    width: int | None = Field(None, ge=512, le=4096, json_schema_extra={**_PIXELS})
    height: int | None = Field(None, ge=512, le=4096, json_schema_extra={**_PIXELS})
    image_input: Images | None = Field(None, max_length=14, description="images to work from")
    guidance_scale: float | None = Field(None, ge=1, le=10)
    enhance_prompt: bool | None = Field(None, description="lets the model rewrite the prompt")
    use_pre_llm: bool | None = Field(None)
    output_format: JpgPng | None = None
    seed: Seed | None = None
