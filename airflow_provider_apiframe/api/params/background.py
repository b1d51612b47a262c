"""The ``briaBgRemoveParams`` and ``lab851BgRemoveParams`` of a request, but for the image.

Source: OpenAPI ImageBackgroundRemoveRequest.
"""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from airflow_provider_apiframe.api.params.base import ModelParams
from airflow_provider_apiframe.api.params.fields import JpgPng


class BriaBgRemoveParams(ModelParams):
    """What ``bria-bg-remove`` takes.

    :raises InvalidRequestError: naming every wrong parameter, its value and what is allowed.
    """

    key: ClassVar[str] = "briaBgRemoveParams"

    content_moderation: bool | None = Field(None, description="refuses what is not safe for work")


class Lab851BgRemoveParams(ModelParams):
    """What ``851-bg-remove`` takes.

    :raises InvalidRequestError: naming every wrong parameter, its value and what is allowed.
    """

    key: ClassVar[str] = "lab851BgRemoveParams"

    background_type: Literal["rgba", "map", "green", "white", "blur", "overlay"] | None = None
    format: JpgPng | None = None
    reverse: bool | None = Field(None, description="keeps the background instead")
    threshold: float | None = Field(None, ge=0, le=1)
