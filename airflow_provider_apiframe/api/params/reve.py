"""The ``reveParams`` of a request.

Source: OpenAPI GenerateImageRequest, branch "reve-create".
"""

from __future__ import annotations

from typing import ClassVar, Literal

from airflow_provider_apiframe.api.params.base import ModelParams
from airflow_provider_apiframe.api.params.fields import Seed, Word


class ReveParams(ModelParams):
    """What ``reve-create`` takes.

    :raises InvalidRequestError: naming every wrong parameter, its value and what is allowed.
    """

    key: ClassVar[str] = "reveParams"

    aspect_ratio: Literal["16:9", "9:16", "3:2", "2:3", "4:3", "3:4", "1:1"] | None = None
    seed: Seed | None = None
    version: Word | None = None
