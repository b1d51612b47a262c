"""What the hook does with images that are there already."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

from airflow_provider_apiframe.api.models import JobAccepted
from airflow_provider_apiframe.api.params.base import ModelParams
from airflow_provider_apiframe.api.params.catalog import (
    DEFAULT_BACKGROUND_MODEL,
    DEFAULT_EDIT_MODEL,
    DEFAULT_UPSCALE_MODEL,
)
from airflow_provider_apiframe.api.params.request import ImageRequest

# The requests are imported where they are made: DAG files with other tasks import this module.

Params = ModelParams | Mapping[str, Any] | str | None


class ImageTools:
    """The hook's methods for tools. Each submits a job, which costs credits when it is accepted.

    An image may be an http(s) URL, a storage path, an absolute local path, a path object, or the
    result of an earlier job; a file is uploaded first, anew with each call.

    What all take: *webhook_url* and *webhook_events* as for ``generate_image``, *idempotency_key*
    as for ``submit``.
    """

    @abstractmethod
    def submit(self, request: ImageRequest, idempotency_key: str | None = None) -> JobAccepted:
        """Submit a request of any kind."""

    def upscale_image(
        self,
        image: Any,
        *,
        model: str = DEFAULT_UPSCALE_MODEL,
        params: Params = None,
        webhook_url: str | None = None,
        webhook_events: Sequence[str] | None = None,
        idempotency_key: str | None = None,
    ) -> JobAccepted:
        """Submit a job that makes an image larger. Costs credits when it is accepted.

        :param image: the image.
        :param model: "topaz-image-upscale" (its price goes by the megapixels that come out) or
            "clarity-upscale" (its price is flat).
        :param params: the model's parameters, e.g. ``{"upscale_factor": 4}``.
        :returns: the job's id and status.
        :raises InvalidRequestError: an argument is wrong. Nothing was sent.
        """
        from airflow_provider_apiframe.api.params.tools import UpscaleRequest

        request = UpscaleRequest.parse(
            image=image,
            model=model,
            params=params,
            webhook_url=webhook_url,
            webhook_events=webhook_events,
        )
        return self.submit(request, idempotency_key)

    def edit_image(
        self,
        image: Any,
        prompt: str,
        *,
        mode: str,
        mask: Any = None,
        outpaint: str | None = None,
        model: str = DEFAULT_EDIT_MODEL,
        params: Params = None,
        webhook_url: str | None = None,
        webhook_events: Sequence[str] | None = None,
        idempotency_key: str | None = None,
    ) -> JobAccepted:
        """Submit a job that paints a part of an image anew, or lets it grow. Costs credits when it
        is accepted.

        :param image: the image.
        :param prompt: what is to be painted, 1-2000 characters (UTF-16 units).
        :param mode: "inpaint", which needs *mask*, or "outpaint", which needs *outpaint*.
        :param mask: an image in which the part to paint anew is white.
        :param outpaint: "Zoom out 1.5x", "Zoom out 2x", "Make square", or "Left outpaint", "Right
            outpaint", "Top outpaint", "Bottom outpaint".
        :param params: the model's parameters, e.g. ``{"steps": 50}``.
        :returns: the job's id and status.
        :raises InvalidRequestError: an argument is wrong. Nothing was sent.
        """
        from airflow_provider_apiframe.api.params.tools import EditRequest

        request = EditRequest.parse(
            image=image,
            prompt=prompt,
            mode=mode,
            mask=mask,
            outpaint=outpaint,
            model=model,
            params=params,
            webhook_url=webhook_url,
            webhook_events=webhook_events,
        )
        return self.submit(request, idempotency_key)

    def remove_background(
        self,
        image: Any,
        *,
        model: str = DEFAULT_BACKGROUND_MODEL,
        params: Params = None,
        webhook_url: str | None = None,
        webhook_events: Sequence[str] | None = None,
        idempotency_key: str | None = None,
    ) -> JobAccepted:
        """Submit a job that cuts out what an image shows. Costs credits when it is accepted.

        :param image: the image.
        :param model: "bria-bg-remove" or "851-bg-remove".
        :param params: the model's parameters, e.g. ``{"background_type": "white"}``.
        :returns: the job's id and status.
        :raises InvalidRequestError: an argument is wrong. Nothing was sent.
        """
        from airflow_provider_apiframe.api.params.tools import BackgroundRemoveRequest

        request = BackgroundRemoveRequest.parse(
            image=image,
            model=model,
            params=params,
            webhook_url=webhook_url,
            webhook_events=webhook_events,
        )
        return self.submit(request, idempotency_key)

    def midjourney_action(
        self,
        parent_job_id: str,
        action: str,
        *,
        index: int | None = None,
        zoom_ratio: float | None = None,
        direction: str | None = None,
        mask: Any = None,
        prompt: str | None = None,
        webhook_url: str | None = None,
        webhook_events: Sequence[str] | None = None,
        idempotency_key: str | None = None,
    ) -> JobAccepted:
        """Submit a job that goes on from a finished Midjourney job. Costs credits when it is
        accepted.

        :param parent_job_id: id of that job. "upsample" and "variation" go on from one with four
            images, the other actions from an upsampled one.
        :param action: "upsample" or "variation", which need *index*; "inpaint" (*mask*, and
            *prompt* if you like), "outpaint" (*zoom_ratio*) or "pan" (*direction*).
        :param index: which of the four images, 1-4.
        :param zoom_ratio: 1.5 or 2.
        :param direction: "up", "down", "left" or "right".
        :param mask: a storage path, an absolute local path, or base64 of an image; 9 MB at most.
            No URL: the API takes the mask itself.
        :param prompt: at most 2000 characters (UTF-16 units).
        :returns: the job's id and status.
        :raises InvalidRequestError: an argument is wrong. Nothing was sent.
        :raises ConflictError: that job does not allow the action. Nothing was paid.
        """
        from airflow_provider_apiframe.api.params.midjourney_action import MidjourneyActionRequest

        request = MidjourneyActionRequest.parse(
            parent_job_id=parent_job_id,
            action=action,
            index=index,
            zoom_ratio=zoom_ratio,
            direction=direction,
            mask=mask,
            prompt=prompt,
            webhook_url=webhook_url,
            webhook_events=webhook_events,
        )
        return self.submit(request, idempotency_key)
