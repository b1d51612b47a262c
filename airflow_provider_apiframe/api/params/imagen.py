"""The ``imagenParams`` of a request.

Source: OpenAPI GenerateImageRequest, branches "imagen-...".
"""

from __future__ import annotations

from typing import ClassVar, Literal

from airflow_provider_apiframe.api.params.base import ModelParams
from airflow_provider_apiframe.api.params.fields import JpgPng


class ImagenParams(ModelParams):
    """What the Imagen models take.

    :raises InvalidRequestError: naming every wrong parameter, its value and what is allowed.
    """

    key: ClassVar[str] = "imagenParams"

    aspect_ratio: Literal["1:1", "9:16", "16:9", "3:4", "4:3"] | None = None
    image_size: Literal["1K", "2K"] | None = None
    output_format: JpgPng | None = None
