"""Google's models: Nano Banana and Imagen."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import Field, with_config
from typing_extensions import TypedDict

from airflow_provider_apiframe.sandbox.web.schemas.fields import (
    STRICT,
    Generation,
    ImageFormat,
    JpgOrPng,
    Url,
)


@with_config(STRICT)
class NanoBananaParams(TypedDict, total=False):
    """The `nanoBananaParams`."""

    aspect_ratio: str
    resolution: Literal["512px", "1K", "2K", "4K"]
    image_input: Annotated[list[Url], Field(max_length=14)]
    output_format: ImageFormat
    google_search: bool
    image_search: bool


@with_config(STRICT)
class NanoBananaBody(Generation, total=False):
    """A generation by Nano Banana."""

    nanoBananaParams: NanoBananaParams


@with_config(STRICT)
class ImagenParams(TypedDict, total=False):
    """The `imagenParams`."""

    aspect_ratio: Literal["1:1", "9:16", "16:9", "3:4", "4:3"]
    image_size: Literal["1K", "2K"]
    output_format: JpgOrPng


@with_config(STRICT)
class ImagenBody(Generation, total=False):
    """A generation by Imagen."""

    imagenParams: ImagenParams


BODIES: Mapping[str, type] = {
    "nano-banana": NanoBananaBody,
    "nano-banana-pro": NanoBananaBody,
    "nano-banana-2": NanoBananaBody,
    "nano-banana-2-lite": NanoBananaBody,
    "imagen-3": ImagenBody,
    "imagen-3-fast": ImagenBody,
    "imagen-4": ImagenBody,
    "imagen-4-ultra": ImagenBody,
    "imagen-4-fast": ImagenBody,
}
