"""Operators that change an image that exists: upscale, edit, cut out, act on a Midjourney job."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from airflow_provider_apiframe.api.params.catalog import (
    DEFAULT_BACKGROUND_MODEL,
    DEFAULT_EDIT_MODEL,
    DEFAULT_UPSCALE_MODEL,
)
from airflow_provider_apiframe.api.params.midjourney_action import MidjourneyActionRequest
from airflow_provider_apiframe.api.params.request import ImageRequest
from airflow_provider_apiframe.api.params.text import read_literal
from airflow_provider_apiframe.api.params.tools import (
    BackgroundRemoveRequest,
    EditRequest,
    UpscaleRequest,
)
from airflow_provider_apiframe.literals import as_stored, is_templated
from airflow_provider_apiframe.operators.base import ApiframeOperator
from airflow_provider_apiframe.operators.model_params import FIELD, ModelParamsOperator
from airflow_provider_apiframe.operators.request import RequestOperator
from airflow_provider_apiframe.version_compat import STAYS_TEXT

if TYPE_CHECKING:
    from airflow_provider_apiframe.api.params.base import ModelParams

Image = str | Mapping[str, Any]
"""An http(s) URL, a storage path, or the result of an earlier task with one image."""

_OF_THE_IMAGE = STAYS_TEXT + (
    "{% if task.image is mapping %}"
    "{{ (task.image.get('prompt') or task.image.get('job_id') or '') | string | truncate(60) }}"
    "{% else %}"
    "{{ (task.image | string).split('?')[0].split('/')[-1] | truncate(60) }}"
    "{% endif %}"
)


class ImageUpscaleOperator(ModelParamsOperator):
    """Make an image larger, and sharper.

    :param image: an http(s) URL, a storage path ("s3://bucket/photo.png"), an absolute local path,
        or the result of an earlier task (``poster.output``) that has one image. A file is uploaded
        right before the job is submitted. Templated.
    :param model: "topaz-image-upscale" (default) or "clarity-upscale". Templated.
    :param params: the model's parameters, see
        :class:`airflow_provider_apiframe.api.params.upscale`: ``upscale_factor`` (1, 2, 4 or 6) of
        Topaz, ``scale_factor`` (1, 2, 4 or 8) of Clarity, and others. Templated, as
        ``model_params``.
    :param kwargs: what all operators share, see
        :class:`airflow_provider_apiframe.operators.base.ApiframeOperator`.
    :returns: a :class:`airflow_provider_apiframe.delivery.result.ImageJobResult`.
    :raises InvalidParameterError: an argument is wrong; when the DAG is parsed, or before anything
        is sent. No retry.
    :raises UnreadableFileError: the image is a file that cannot be read. Nothing was paid.
    """

    request_type: ClassVar[type[ImageRequest]] = UpscaleRequest
    map_index_label: ClassVar[str] = _OF_THE_IMAGE
    defaults: ClassVar[dict[str, Any]] = {"model": DEFAULT_UPSCALE_MODEL}
    request_fields: ClassVar[tuple[str, ...]] = ("image", "model", FIELD)
    template_fields: Sequence[str] = (*request_fields, *ApiframeOperator.template_fields)

    def __init__(
        self,
        *,
        image: Image,
        model: str = DEFAULT_UPSCALE_MODEL,
        model_params: ModelParams | Mapping[str, Any] | str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self._check(image=image, model=model, model_params=model_params)
        self.image = image
        self.model = model
        self.model_params = as_stored(model_params)


class ImageEditOperator(ModelParamsOperator):
    """Repaint a part of an image, or paint beyond its edges.

    :param image: the image, as for :class:`ImageUpscaleOperator`. Templated.
    :param prompt: what to paint there, 1-2000 characters (UTF-16 units). Templated.
    :param mode: "inpaint" repaints what *mask* marks; "outpaint" paints beyond the edges, as
        *outpaint* says. Templated.
    :param mask: for "inpaint": an image that is white where to repaint; in the same forms as
        *image*. Templated.
    :param outpaint: for "outpaint": "Zoom out 1.5x", "Zoom out 2x", "Make square", "Left outpaint",
        "Right outpaint", "Top outpaint" or "Bottom outpaint". Templated.
    :param model: "flux-fill-pro" (default). Templated.
    :param params: the model's other parameters, such as ``steps``, ``guidance``, ``seed`` and
        ``output_format``, see :mod:`airflow_provider_apiframe.api.params.fill`. Templated, as
        ``model_params``.
    :param kwargs: what all operators share, see
        :class:`airflow_provider_apiframe.operators.base.ApiframeOperator`.
    :returns: a :class:`airflow_provider_apiframe.delivery.result.ImageJobResult`.
    :raises InvalidParameterError: an argument is wrong; when the DAG is parsed, or before anything
        is sent. No retry.
    :raises UnreadableFileError: the image or the mask is a file that cannot be read. Nothing was
        paid.
    """

    request_type: ClassVar[type[ImageRequest]] = EditRequest
    defaults: ClassVar[dict[str, Any]] = {"model": DEFAULT_EDIT_MODEL}
    request_fields: ClassVar[tuple[str, ...]] = (
        "image",
        "prompt",
        "mode",
        "mask",
        "outpaint",
        "model",
        FIELD,
    )
    template_fields: Sequence[str] = (*request_fields, *ApiframeOperator.template_fields)

    def __init__(
        self,
        *,
        image: Image,
        prompt: str,
        mode: Literal["inpaint", "outpaint"] | str,
        mask: Image | None = None,
        outpaint: str | None = None,
        model: str = DEFAULT_EDIT_MODEL,
        model_params: ModelParams | Mapping[str, Any] | str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self._check(
            image=image,
            prompt=prompt,
            mode=mode,
            mask=mask,
            outpaint=outpaint,
            model=model,
            model_params=model_params,
        )
        self.image = image
        self.prompt = prompt
        self.mode = mode
        self.mask = mask
        self.outpaint = outpaint
        self.model = model
        self.model_params = as_stored(model_params)


class ImageBackgroundRemoveOperator(ModelParamsOperator):
    """Cut out what an image shows.

    :param image: the image, as for :class:`ImageUpscaleOperator`. Templated.
    :param model: "bria-bg-remove" (default) or "851-bg-remove". Templated.
    :param params: the model's parameters, see
        :mod:`airflow_provider_apiframe.api.params.background`. Templated, as ``model_params``.
    :param kwargs: what all operators share, see
        :class:`airflow_provider_apiframe.operators.base.ApiframeOperator`.
    :returns: a :class:`airflow_provider_apiframe.delivery.result.ImageJobResult`.
    :raises InvalidParameterError: an argument is wrong; when the DAG is parsed, or before anything
        is sent. No retry.
    :raises UnreadableFileError: the image is a file that cannot be read. Nothing was paid.
    """

    request_type: ClassVar[type[ImageRequest]] = BackgroundRemoveRequest
    map_index_label: ClassVar[str] = _OF_THE_IMAGE
    defaults: ClassVar[dict[str, Any]] = {"model": DEFAULT_BACKGROUND_MODEL}
    request_fields: ClassVar[tuple[str, ...]] = ("image", "model", FIELD)
    template_fields: Sequence[str] = (*request_fields, *ApiframeOperator.template_fields)

    def __init__(
        self,
        *,
        image: Image,
        model: str = DEFAULT_BACKGROUND_MODEL,
        model_params: ModelParams | Mapping[str, Any] | str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self._check(image=image, model=model, model_params=model_params)
        self.image = image
        self.model = model
        self.model_params = as_stored(model_params)


class MidjourneyActionOperator(RequestOperator):
    """Go on from an image of a Midjourney job: enlarge it, vary it, widen it.

    :param parent_job_id: id of a finished Midjourney job of the same account, or the result of the
        task that made it (``grid.output``). Templated.
    :param action: of a job with four images: "upsample" or "variation" of the image *index*. Of one
        that was upsampled: "inpaint" where *mask* marks it, "outpaint" by *zoom_ratio*, "pan" to
        *direction*. Templated.
    :param index: which of the four images, 1-4, row by row. Templated.
    :param zoom_ratio: 1.5 or 2. Templated.
    :param direction: "left", "right", "up" or "down". Templated.
    :param mask: a file on storage or a local one, the saved result of an earlier task, or an image
        as base64; white where to repaint. Midjourney takes no links. Templated.
    :param prompt: what to paint, for "inpaint", at most 2000 characters (UTF-16 units). Templated.
    :param kwargs: what all operators share, see
        :class:`airflow_provider_apiframe.operators.base.ApiframeOperator`.
    :returns: a :class:`airflow_provider_apiframe.delivery.result.ImageJobResult`: "upsample" makes
        one image, the others make four.
    :raises InvalidParameterError: an argument is wrong; when the DAG is parsed, or before anything
        is sent. No retry.
    :raises AirflowFailException: there is no such job in this account, or it does not take the
        action. Nothing was paid.
    """

    request_type: ClassVar[type[ImageRequest]] = MidjourneyActionRequest
    map_index_label: ClassVar[str] = (
        "{{ task.action }} {{ task.index or task.direction or task.zoom_ratio or '' }}"
    )
    request_fields: ClassVar[tuple[str, ...]] = (
        "parent_job_id",
        "action",
        "index",
        "zoom_ratio",
        "direction",
        "mask",
        "prompt",
    )
    template_fields: Sequence[str] = (*request_fields, *ApiframeOperator.template_fields)

    def __init__(
        self,
        *,
        parent_job_id: str | Mapping[str, Any],
        action: str,
        index: int | str | None = None,
        zoom_ratio: float | str | None = None,
        direction: str | None = None,
        mask: str | None = None,
        prompt: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self._check(
            parent_job_id=_job_id_of(parent_job_id),
            action=action,
            index=index,
            zoom_ratio=zoom_ratio,
            direction=direction,
            mask=mask,
            prompt=prompt,
        )
        self.parent_job_id = parent_job_id
        self.action = action
        self.index = index
        self.zoom_ratio = zoom_ratio
        self.direction = direction
        self.mask = mask
        self.prompt = prompt

    def _request(self) -> ImageRequest:
        self.parent_job_id = _job_id_of(self.parent_job_id)
        return super()._request()


def _job_id_of(parent: Any) -> Any:
    """Return the job's id, of a whole result; anything else as it is."""
    read = parent
    if isinstance(parent, str) and parent.lstrip().startswith("{") and not is_templated(parent):
        with suppress(ValueError):
            read = read_literal(parent)
    return read.get("job_id") if isinstance(read, Mapping) else parent
