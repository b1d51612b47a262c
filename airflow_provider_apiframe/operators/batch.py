"""FluxGenerateBatchOperator and ImageGenerateBatchOperator: one task, up to 10,000 images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar

from airflow.providers.common.compat.sdk import BaseOperator, XComArg, conf

from airflow_provider_apiframe.api.params.base import ModelParams
from airflow_provider_apiframe.api.params.catalog import DEFAULT_MODEL
from airflow_provider_apiframe.delivery.batch_result import BatchResult
from airflow_provider_apiframe.delivery.failure import keeping_failure
from airflow_provider_apiframe.delivery.storage import Provenance
from airflow_provider_apiframe.exceptions import cannot_cancel_batch_hint, fail_without_retry
from airflow_provider_apiframe.hooks.apiframe import ApiframeHook
from airflow_provider_apiframe.links.image import ImageLink
from airflow_provider_apiframe.links.job import ApiframeJobLink
from airflow_provider_apiframe.literals import as_stored
from airflow_provider_apiframe.operators.batch_arguments import check_batch_arguments
from airflow_provider_apiframe.operators.batch_try import BatchTry
from airflow_provider_apiframe.operators.model_params import (
    FIELD,
    RenamedPartial,
    TakesParams,
    renamed,
)
from airflow_provider_apiframe.operators.worker_connection import (
    warn_of_a_connection_that_only_the_worker_sees,
)
from airflow_provider_apiframe.submission.batch_requests import ParamsName
from airflow_provider_apiframe.submission.needed_outputs import needed_outputs
from airflow_provider_apiframe.triggers.batch import ApiframeBatchTrigger, BatchEvent

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context


class ApiframeBatchOperator(BaseOperator):
    """Make many images in one task: submit them in waves, wait, save them, write a manifest.

    A request that fails keeps no other from its image. A retry pays for nothing twice: it keeps
    what was made, collects what goes on, submits anew what failed for a passing reason, and leaves
    what was refused.

    :param requests: 1 to 10,000 requests: a list of mappings, another task's output, text that
        renders to such a list, or the storage path of a ``.jsonl`` or ``.csv`` file. A mapping has
        ``prompt``, and may have ``model``, the model's parameters, and ``id``, a reference of your
        own that is unique in the batch, such as an SKU; it goes to the manifest. In a CSV file each
        parameter is a column of its own. All are read and checked before anything is paid. What
        tells a request from the others is what it asks for and its ``id``, not its place.
        Templated.
    :param save_to: the folder where the images are saved, a storage URL that ends with "/", or a
        file name that has ``{job_id}`` in it, see
        :class:`~airflow_provider_apiframe.operators.base.ApiframeOperator`. The manifest is in
        ``{dag_id}/{run_id}/{task_id}[-{map_index}]/`` under the folder. Templated.
    :param max_credits: credits that all images of the batch may cost together, > 0; default: no
        limit. The most that each may cost counts until its job has ended.
    :param max_active: how many jobs are under way at once, 1 or more; default, and at most, 1,000.
        The task goes on with the next ones when all of these have ended.
    :param min_success: how many requests must have their images for the task to succeed: an int is
        their number, default 1; a float from 0.0 to 1.0 their share.
    :param apiframe_conn_id: id of the Airflow connection, default "apiframe_default". Templated.
    :param deferrable: wait on the triggerer, without holding a worker slot. Default:
        ``[operators] default_deferrable``.
    :param poll_interval: seconds between two polls, > 0, default 2.
    :param timeout: seconds until the try gives up waiting for the jobs that are under way, > 0,
        default 3600; it starts anew for each wave. The jobs go on; a retry collects them.
    :param regenerate_on_clear: whether clearing the task by hand makes new images (default), which
        are paid for. False keeps those that were made, by the manifest, and makes what is missing.
    :param save_conn_id: id of the Airflow connection with the storage's credentials, for *save_to*,
        for the file of requests, and for reference images that are paths. Default: the one in the
        URL, or what the filesystem finds by itself. Templated.
    :param provenance: "iptc" (default), "c2pa" or None, see
        :class:`~airflow_provider_apiframe.operators.base.ApiframeOperator`.
    :param multiple_outputs: whether each key of the result is an XCom of its own as well (default).
    """

    ui_color = "#efe4fb"
    operator_extra_links = (ImageLink(), ApiframeJobLink())
    template_fields: Sequence[str] = (
        "requests",
        "model",
        "save_to",
        "save_conn_id",
        "apiframe_conn_id",
    )
    params_name: ClassVar[ParamsName] = "params"
    """What users call the model's parameters in a request."""
    params_field: ClassVar[str]
    """The field with those of all requests; ``params`` of a task are Airflow's own."""
    model: str | None = None
    current_job_id: str | None = None  # of one job; what failed here concerns many
    _waiting = 0  # jobs that go on when this process is stopped

    def __init__(
        self,
        *,
        requests: Any,
        save_to: str,
        model: str,
        shared_params: ModelParams | Mapping[str, Any] | str | None,
        max_credits: float | None = None,
        max_active: int | None = None,
        min_success: float = 1,
        apiframe_conn_id: str = ApiframeHook.default_conn_name,
        deferrable: bool = conf.getboolean("operators", "default_deferrable", fallback=False),
        poll_interval: float = 2.0,
        timeout: float = 3600.0,
        regenerate_on_clear: bool = True,
        save_conn_id: str | None = None,
        provenance: Provenance | None = "iptc",
        multiple_outputs: bool = True,
        **kwargs: Any,
    ) -> None:
        super().__init__(multiple_outputs=multiple_outputs, **kwargs)
        check_batch_arguments(
            task_id=self.task_id,
            requests=requests,
            model=model,
            params=shared_params,
            params_name=self.params_name,
            save_to=save_to,
            max_active=max_active,
            min_success=min_success,
            max_credits=max_credits,
            apiframe_conn_id=apiframe_conn_id,
            deferrable=deferrable,
            poll_interval=poll_interval,
            timeout=timeout,
            regenerate_on_clear=regenerate_on_clear,
            save_conn_id=save_conn_id,
            provenance=provenance,
        )
        self.requests = as_stored(requests, depth=3)
        self.save_to = save_to
        self.model = model
        self.max_credits = None if max_credits is None else float(max_credits)
        self.max_active = max_active
        self.min_success = min_success
        self.apiframe_conn_id = apiframe_conn_id
        self.deferrable = deferrable
        self.poll_interval = float(poll_interval)
        self.timeout = float(timeout)
        self.regenerate_on_clear = regenerate_on_clear
        self.save_conn_id = save_conn_id
        self.provenance = provenance
        self._needed_outputs = needed_outputs(save_to=save_to)
        self._needed_in_requests: list[tuple[int, tuple[str, ...]]] = []
        if isinstance(requests, XComArg):
            self._needed_outputs.append(("requests",))
        elif isinstance(requests, (list, tuple)):
            self._needed_in_requests = [
                (index, names)
                for index, request in enumerate(requests)
                if isinstance(request, Mapping)
                for names in needed_outputs(**request)
            ]

    @cached_property
    def hook(self) -> ApiframeHook:
        """The hook for this task's connection."""
        return ApiframeHook(self.apiframe_conn_id)

    def execute(self, context: Context) -> BatchResult:
        """Submit the first wave; then defer, or wait, and go on until all is done."""
        with keeping_failure(self, context), fail_without_retry():
            batch = BatchTry.starting(self, context)
            if self.deferrable:
                warn_of_a_connection_that_only_the_worker_sees(self.apiframe_conn_id)
            return self._go_on(batch, context)

    def execute_complete(
        self, context: Context, event: dict[str, Any] | None = None
    ) -> BatchResult:
        """Resume after the trigger fired: save the wave, and go on with the next one."""
        with keeping_failure(self, context), fail_without_retry():
            told = BatchEvent.read(event)
            batch = BatchTry.resuming(self, context, told.carried)
            batch.take(told.jobs)
            if told.broken:
                raise told.broken
            return self._go_on(batch, context)

    def _go_on(self, batch: BatchTry, context: Context) -> BatchResult:
        while job_ids := batch.next_wave():
            self._waiting = len(job_ids)
            if self.deferrable:
                trigger = ApiframeBatchTrigger.starting_now(
                    job_ids,
                    self.apiframe_conn_id,
                    timeout=self.timeout,
                    poll_interval=self.poll_interval,
                    keeps_progress=bool(self.do_xcom_push),
                    done_before=batch.run.done,
                    total=len(batch.run.lines),
                    carried=batch.run.carried,
                )
                self.defer(trigger=trigger, method_name="execute_complete")
            batch.take(batch.wait_for(job_ids))
            self._waiting = 0
        return batch.finish()

    def on_kill(self) -> None:
        """Say how many jobs go on: Apiframe has no way to cancel one."""
        if self._waiting:
            self.log.warning(cannot_cancel_batch_hint(self._waiting))
        else:
            self.log.warning(
                "Stopped while no job was waited for. What Apiframe accepted is found by a retry "
                "of this task"
            )


class FluxGenerateBatchOperator(ApiframeBatchOperator):
    """Make many images with Flux models in one task, and write a manifest of them.

    :param requests: see :class:`ApiframeBatchOperator`, and so are all others.
    :param save_to: the folder where the images are saved. Templated.
    :param model: of requests that name none, default "flux-2-flex". Templated.
    :param flux_params: parameters of all requests: a mapping, a FluxParams, or text that holds one.
        A request's own win, name by name. Templated.
    :returns: a :class:`airflow_provider_apiframe.delivery.batch_result.BatchResult`.
    :raises InvalidParameterError: an argument or a request is wrong; when the DAG is parsed, or
        before anything is sent. All wrong requests are named. No retry.
    :raises AirflowFailException: retrying cannot help: bad connection or key, no credits, too many
        requests that were refused.
    :raises ApiframeError: what a retry may mend. It pays nothing twice.
    """

    params_name: ClassVar[ParamsName] = "flux_params"
    params_field: ClassVar[str] = "flux_params"
    template_fields: Sequence[str] = ("flux_params", *ApiframeBatchOperator.template_fields)
    template_fields_renderers: ClassVar[dict[str, str]] = {
        "requests": "json",
        "flux_params": "json",
    }

    def __init__(
        self,
        *,
        requests: Any,
        save_to: str,
        model: str = DEFAULT_MODEL,
        flux_params: ModelParams | Mapping[str, Any] | str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            requests=requests, save_to=save_to, model=model, shared_params=flux_params, **kwargs
        )
        self.flux_params = as_stored(flux_params)


class ImageGenerateBatchOperator(ApiframeBatchOperator, metaclass=TakesParams):
    """Make many images with any of Apiframe's image models in one task, and write a manifest.

    As :class:`FluxGenerateBatchOperator`, but for:

    :param model: of requests that name none. Templated.
    :param params: parameters of all requests, by the names of the API; a request's own win, name by
        name. Templated; the field's name is ``model_params``, for ``params`` in a template are the
        DAG's.
    """

    params_field: ClassVar[str] = FIELD
    template_fields: Sequence[str] = (FIELD, *ApiframeBatchOperator.template_fields)
    template_fields_renderers: ClassVar[dict[str, str]] = {
        "requests": "json",
        FIELD: "json",
    }

    @classmethod
    def partial(cls, **kwargs: Any) -> Any:
        """Take ``params`` for the model's, as for a task that is not mapped."""
        return RenamedPartial(super().partial(**renamed(kwargs)))

    def __init__(
        self,
        *,
        requests: Any,
        save_to: str,
        model: str,
        model_params: ModelParams | Mapping[str, Any] | str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            requests=requests, save_to=save_to, model=model, shared_params=model_params, **kwargs
        )
        self.model_params = as_stored(model_params)
