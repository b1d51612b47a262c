"""The ``dalleParams`` of a request.

Source: OpenAPI GenerateImageRequest, branches "dall-e-...".
"""

from __future__ import annotations

from typing import ClassVar, Literal

from airflow_provider_apiframe.api.params.base import ModelParams


class DalleParams(ModelParams):
    """What the DALL-E models take.

    :raises InvalidRequestError: naming every wrong parameter, its value and what is allowed.
    """

    key: ClassVar[str] = "dalleParams"

    aspect_ratio: Literal["1:1", "3:2", "2:3"] | None = None
    style: Literal["vivid", "natural"] | None = None
