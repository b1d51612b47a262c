"""The ``fluxFillParams`` of a request, but for what says which part is to be filled with what.

Source: OpenAPI ImageEditRequest; defaults from its docs page.
"""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from airflow_provider_apiframe.api.params.base import ModelParams
from airflow_provider_apiframe.api.params.fields import JpgPng, Seed


class FluxFillParams(ModelParams):
    """What ``flux-fill-pro`` takes.

    :raises InvalidRequestError: naming every wrong parameter, its value and what is allowed.
    """

    key: ClassVar[str] = "fluxFillParams"

    steps: int | None = Field(None, ge=1, le=50, description="default 50")
    guidance: float | None = Field(None, ge=2, le=5, description="default 3")
    safety_tolerance: int | None = Field(
        None, ge=1, le=6, description="from strict to permissive, default 2"
    )
    output_format: JpgPng | None = None
    seed: Seed | None = None
    prompt_upsampling: bool | None = Field(None, description="lets the model rewrite the prompt")
