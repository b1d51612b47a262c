"""The ``midjourneyParams`` of a request.

Source: OpenAPI GenerateImageRequest, branch "midjourney". One job makes four images.
"""

from __future__ import annotations

from typing import ClassVar

from airflow_provider_apiframe.api.params.base import ModelParams
from airflow_provider_apiframe.api.params.fields import Ratio


class MidjourneyParams(ModelParams):
    """What ``midjourney`` takes.

    :raises InvalidRequestError: naming every wrong parameter, its value and what is allowed.
    """

    key: ClassVar[str] = "midjourneyParams"

    aspect_ratio: Ratio | None = None
