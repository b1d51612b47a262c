"""The ``fluxLoraParams`` of a request: Flux with a LoRA that the team trained.

Source: OpenAPI GenerateImageRequest, branch "flux-lora"; defaults from its docs page.
"""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from airflow_provider_apiframe.api.params.base import ModelParams
from airflow_provider_apiframe.api.params.fields import CommonRatio, JpgPngWebp, Seed, Uuid


class FluxLoraParams(ModelParams):
    """What ``flux-lora`` takes. ``loraId`` is required.

    :raises InvalidRequestError: naming every wrong parameter, its value and what is allowed.
    """

    key: ClassVar[str] = "fluxLoraParams"

    loraId: Uuid | None = Field(None, description="of a LoRA of your team that is READY")
    aspect_ratio: CommonRatio | None = None
    guidance_scale: float | None = Field(None, ge=1, le=10, description="default 3.5")
    lora_strength: float | None = Field(None, ge=0, le=1.5, description="default 1.0")
    num_inference_steps: int | None = Field(None, ge=4, le=50, description="default 28")
    num_outputs: int | None = Field(None, ge=1, le=4, description="images to make, default 1")
    output_format: JpgPngWebp | None = None
    seed: Seed | None = None
