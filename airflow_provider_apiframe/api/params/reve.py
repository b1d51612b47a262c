"""The ``reveParams`` of a request.

Source: OpenAPI GenerateImageRequest, branch "reve-create".
"""

from __future__ import annotations

from typing import ClassVar

from airflow_provider_apiframe.api.params.base import ModelParams
from airflow_provider_apiframe.api.params.fields import CommonRatio, Seed, Word


class ReveParams(ModelParams):
    """What ``reve-create`` takes.

    :raises InvalidRequestError: naming every wrong parameter, its value and what is allowed.
    """

    key: ClassVar[str] = "reveParams"

    aspect_ratio: CommonRatio | None = None
    seed: Seed | None = None
    version: Word | None = None
