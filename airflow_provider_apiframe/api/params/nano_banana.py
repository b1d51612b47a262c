"""The ``nanoBananaParams`` of a request.

Source: OpenAPI GenerateImageRequest, branches "nano-banana...".
"""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from airflow_provider_apiframe.api.params.base import ModelParams
from airflow_provider_apiframe.api.params.fields import Images, JpgPngWebp, Word


class NanoBananaParams(ModelParams):
    """What the Nano Banana models take.

    :raises InvalidRequestError: naming every wrong parameter, its value and what is allowed.
    """

    key: ClassVar[str] = "nanoBananaParams"
    image_fields: ClassVar[tuple[str, ...]] = ("image_input",)

    aspect_ratio: Word | None = None
    resolution: Literal["512px", "1K", "2K", "4K"] | None = None
    image_input: Images | None = Field(None, max_length=14, description="images to work from")
    output_format: JpgPngWebp | None = None
    google_search: bool | None = Field(None, description="lets the model search the web")
    image_search: bool | None = Field(None, description="lets the model search for images")
