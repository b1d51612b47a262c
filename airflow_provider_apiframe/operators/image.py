"""ImageGenerateOperator: one task, one job, any of the image models."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from airflow_provider_apiframe.literals import as_stored
from airflow_provider_apiframe.operators.base import ApiframeOperator
from airflow_provider_apiframe.operators.model_params import FIELD, ModelParamsOperator

if TYPE_CHECKING:
    from airflow_provider_apiframe.api.params.base import ModelParams


class ImageGenerateOperator(ModelParamsOperator):
    """Generate images with one of Apiframe's image models and hand their links to the next task.

    Values without a template are checked when the DAG file is parsed, so a wrong parameter is an
    import error; after rendering everything is checked again, before anything is sent or paid.

    :param model: model id, such as "nano-banana-pro", "midjourney" or "flux-2-flex". One that this
        provider does not know is left to the API. Templated.
    :param prompt: what to paint, 1-2000 characters (UTF-16 units); a few models take up to 5000.
        Templated.
    :param params: the model's parameters, by the names of the API: a mapping with templates at any
        depth, one of the classes in :mod:`airflow_provider_apiframe.api.params`, or text that
        renders to JSON or to a Python literal; numbers may come as text. Only what is set is sent.
        For a model that this provider does not know, one object by its name in the API's body:
        ``{"fooParams": {...}}``. Templated; the field's name is ``model_params``, for ``params`` in
        a template are the DAG's.
    :param kwargs: what all operators share, see
        :class:`airflow_provider_apiframe.operators.base.ApiframeOperator`, and what all tasks of
        Airflow take but ``params``: set those at the DAG.
    :returns: a :class:`airflow_provider_apiframe.delivery.result.ImageJobResult`. Some models make
        several images: all are in ``image_urls`` and ``images``, and saved.
    :raises InvalidParameterError: a parameter is wrong; when the DAG is parsed, or before anything
        is sent. No retry.
    :raises AirflowFailException: retrying cannot help: bad connection or key, no credits, a job
        without an image.
    :raises ApiframeError: what a retry may mend: a failed (and refunded) job, an outage, a deadline
        passed. The retry reconnects to a job that goes on, and pays nothing for it.
    """

    request_fields: ClassVar[tuple[str, ...]] = ("model", "prompt", FIELD)
    template_fields: Sequence[str] = (*request_fields, *ApiframeOperator.template_fields)

    def __init__(
        self,
        *,
        model: str,
        prompt: str,
        model_params: ModelParams | Mapping[str, Any] | str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self._check(model=model, prompt=prompt, model_params=model_params)
        self.model = model
        self.prompt = prompt
        self.model_params = as_stored(model_params)
