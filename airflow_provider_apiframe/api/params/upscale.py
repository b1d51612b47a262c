"""The ``topazUpscaleParams`` and ``clarityUpscaleParams`` of a request, but for the image.

Source: OpenAPI ImageUpscaleRequest.
"""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from airflow_provider_apiframe.api.params.base import ModelParams
from airflow_provider_apiframe.api.params.fields import (
    JpgPng,
    JpgPngWebp,
    Length,
    Seed,
    WholeNumber,
)


class TopazUpscaleParams(ModelParams):
    """What ``topaz-image-upscale`` takes. Its price goes by the megapixels that come out.

    :raises InvalidRequestError: naming every wrong parameter, its value and what is allowed.
    """

    key: ClassVar[str] = "topazUpscaleParams"

    upscale_factor: Annotated[Literal[1, 2, 4, 6], WholeNumber] | None = Field(
        None, json_schema_extra={"noun": "1, 2, 4 or 6"}
    )
    model_type: (
        Literal["standard-v2", "low-res-v2", "cgi", "high-fidelity-v2", "text-refine", "redefine"]
        | None
    ) = None
    face_enhance: bool | None = None
    face_enhance_creativity: float | None = Field(None, ge=0, le=1)
    face_enhance_strength: float | None = Field(None, ge=0, le=1)
    output_format: JpgPng | None = None
    seed: Seed | None = None


class ClarityUpscaleParams(ModelParams):
    """What ``clarity-upscale`` takes. Its price is the same for every size.

    :raises InvalidRequestError: naming every wrong parameter, its value and what is allowed.
    """

    key: ClassVar[str] = "clarityUpscaleParams"

    prompt: Annotated[str, Length(2000)] | None = None
    negative_prompt: Annotated[str, Length(2000)] | None = None
    scale_factor: Annotated[Literal[1, 2, 4, 8], WholeNumber] | None = Field(
        None, json_schema_extra={"noun": "1, 2, 4 or 8"}
    )
    creativity: float | None = Field(None, ge=0, le=1)
    resemblance: float | None = Field(None, ge=0, le=3)
    dynamic: float | None = Field(None, ge=1, le=50)
    num_inference_steps: int | None = Field(None, ge=1, le=100)
    sharpen: float | None = Field(None, ge=0, le=10)
    output_format: JpgPngWebp | None = None
    seed: Seed | None = None
