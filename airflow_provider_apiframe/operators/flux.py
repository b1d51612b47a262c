"""FluxGenerateOperator: one task, one image."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from airflow_provider_apiframe.api.params.catalog import DEFAULT_MODEL
from airflow_provider_apiframe.literals import as_stored
from airflow_provider_apiframe.operators.base import ApiframeOperator
from airflow_provider_apiframe.operators.request import RequestOperator

if TYPE_CHECKING:
    from airflow_provider_apiframe.api.params.flux import FluxParams


class FluxGenerateOperator(RequestOperator):
    """Generate one image with a Flux model and hand its links to the next task.

    Values without a template are checked when the DAG file is parsed, so a wrong parameter is an
    import error; after rendering everything is checked again, before anything is sent or paid.

    :param prompt: what to paint, 1-2000 characters (UTF-16 units). Templated.
    :param model: model id, default "flux-2-flex". Templated.
    :param flux_params: the model's parameters (see
        :class:`airflow_provider_apiframe.api.params.flux.FluxParams`): a mapping with templates at
        any depth, a FluxParams, or text that renders to JSON or to a Python literal; numbers may
        come as text. Only what is set is sent. Templated.
    :param kwargs: what all operators share, see
        :class:`airflow_provider_apiframe.operators.base.ApiframeOperator`: ``apiframe_conn_id``,
        ``wait_for_completion``, ``deferrable``, ``poll_interval``, ``timeout``,
        ``regenerate_on_clear``, ``max_credits``, ``save_to``, ``save_conn_id``, ``provenance``,
        ``webhook_url``, ``webhook_events``, ``multiple_outputs``; and what all tasks of Airflow
        take.
    :returns: a :class:`airflow_provider_apiframe.delivery.result.ImageJobResult`; each of its keys
        is an XCom of its own as well, so ``operator.output["image_urls"]`` works. ``job_id`` is
        pushed as soon as the job is accepted.
    :raises InvalidParameterError: a parameter is wrong; when the DAG is parsed, or before anything
        is sent. No retry.
    :raises AirflowFailException: retrying cannot help: bad connection or key, no credits, a job
        without an image.
    :raises ApiframeError: what a retry may mend: a failed (and refunded) job, an outage, a deadline
        passed. The retry reconnects to a job that goes on, and pays nothing for it.
    """

    params_name: ClassVar[Literal["flux_params", "params"]] = "flux_params"
    params_field: ClassVar[str] = "flux_params"
    defaults: ClassVar[dict[str, Any]] = {"model": DEFAULT_MODEL}
    request_fields: ClassVar[tuple[str, ...]] = ("prompt", "model", "flux_params")
    template_fields: Sequence[str] = (*request_fields, *ApiframeOperator.template_fields)
    template_fields_renderers: ClassVar[dict[str, str]] = {"flux_params": "json"}

    def __init__(
        self,
        *,
        prompt: str,
        model: str = DEFAULT_MODEL,
        flux_params: FluxParams | Mapping[str, Any] | str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self._check(prompt=prompt, model=model, flux_params=flux_params)
        self.prompt = prompt
        self.model = model
        self.flux_params = as_stored(flux_params)
