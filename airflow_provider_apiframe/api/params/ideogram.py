"""The ``ideogramParams`` of a request.

Source: OpenAPI GenerateImageRequest, branches "ideogram-...".
"""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from airflow_provider_apiframe.api.params.base import ModelParams
from airflow_provider_apiframe.api.params.fields import Image, Images, Length, Seed, Word


class IdeogramParams(ModelParams):
    """What the Ideogram models take. ``ideogram-character`` needs ``character_reference_image``.

    The vendor names no limit for ``negative_prompt``; the one here is ours.

    :raises InvalidRequestError: naming every wrong parameter, its value and what is allowed.
    """

    key: ClassVar[str] = "ideogramParams"
    image_fields: ClassVar[tuple[str, ...]] = (
        "image",
        "mask",
        "character_reference_image",
        "style_reference_images",
    )

    aspect_ratio: Word | None = None
    resolution: Word | None = None
    style_type: Word | None = None
    style_preset: Word | None = None
    negative_prompt: Annotated[str, Length(10_000)] | None = None
    image: Image | None = Field(None, description="the image to change")
    mask: Image | None = Field(None, description="which part of the image to change")
    character_reference_image: Image | None = Field(None, description="who is to be in the image")
    style_reference_images: Images | None = Field(None, max_length=3)
    magic_prompt_option: Literal["Auto", "On", "Off"] | None = Field(
        None, description="whether the model rewrites the prompt"
    )
    rendering_speed: Literal["default", "turbo", "quality"] | None = None
    seed: Seed | None = None
