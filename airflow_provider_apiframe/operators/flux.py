"""FluxGenerateOperator: one task, one image."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar

from airflow.providers.common.compat.sdk import BaseOperator, conf

from airflow_provider_apiframe.api.models import Job
from airflow_provider_apiframe.api.params.catalog import DEFAULT_MODEL
from airflow_provider_apiframe.api.params.flux import FluxParams
from airflow_provider_apiframe.api.params.request import (
    GenerateRequest,
    nearest_model,
)
from airflow_provider_apiframe.delivery.metrics import report_credits
from airflow_provider_apiframe.delivery.result import ImageJobResult, build_result
from airflow_provider_apiframe.exceptions import cannot_cancel_hint, fail_without_retry
from airflow_provider_apiframe.hooks.apiframe import ApiframeHook
from airflow_provider_apiframe.literals import CheckedPartial, check_literals
from airflow_provider_apiframe.polling.wait import Wait
from airflow_provider_apiframe.submission.idempotency import Series, was_cleared
from airflow_provider_apiframe.submission.submit import Submission
from airflow_provider_apiframe.triggers.job import ApiframeJobTrigger, job_from_event, was_reused
from airflow_provider_apiframe.version_compat import push_multiple_outputs

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context


class FluxGenerateOperator(BaseOperator):
    """Generate one image with a Flux model and hand its links to the next task.

    Values without a template are checked when the DAG file is read, so a wrong parameter is an
    import error; after rendering everything is checked again, before anything is sent or paid.

    :param prompt: what to paint, 1-2000 characters (UTF-16 units). Templated.
    :param model: model id, default "flux-2-flex". Templated.
    :param flux_params: the model's parameters (see
        :class:`airflow_provider_apiframe.api.models.FluxParams`): a mapping with templates at any
        depth, a FluxParams, or text that renders to JSON or to a Python literal; numbers may come
        as text. Only what is set is sent. Templated.
    :param apiframe_conn_id: id of the Airflow connection, default "apiframe_default". Templated.
    :param wait_for_completion: wait for the image (default). False returns as soon as the job is
        accepted; collect it later with ``ApiframeJobSensor``.
    :param deferrable: wait on the triggerer, without holding a worker slot. Default: ``[operators]
        default_deferrable``.
    :param poll_interval: seconds between two looks at the job, > 0, default 2.
    :param timeout: seconds from acceptance until the try gives up waiting, > 0, default 600. The
        job goes on; a retry finds it again, and waits as long.
    :param regenerate_on_clear: whether clearing the task by hand makes a new image (default), which
        is paid for. False gives the image that was made already: on Airflow 3.3 for as long as the
        task state store keeps the job's id (30 days by default), before that for 24 hours. Links of
        an old image may be dead.
    :param max_credits: credits the image may cost, > 0; default: no limit. Checked before anything
        is submitted, against the most that the vendor's catalogue says the model may cost, and that
        against the team's balance.
    :param webhook_url: http(s) URL that Apiframe calls when the job ends, besides this task's own
        waiting. Templated.
    :param webhook_events: of "progress", "completed", "failed"; the API's default is completed and
        failed.
    :returns: a :class:`airflow_provider_apiframe.delivery.result.ImageJobResult`; each of its keys
        is an XCom of its own as well, so ``operator.output["image_urls"]`` works. ``job_id`` is
        pushed as soon as the job is accepted.
    :raises InvalidParameterError: a parameter is wrong; when the DAG is read, or before anything is
        sent. No retry.
    :raises AirflowFailException: retrying cannot help: bad connection or key, no credits, an answer
        that cannot be used.
    :raises ApiframeError: what a retry may mend: a failed (and refunded) job, an outage, a deadline
        passed. The retry finds a job that goes on again, and pays nothing for it.
    """

    template_fields: Sequence[str] = (
        "prompt",
        "model",
        "flux_params",
        "webhook_url",
        "apiframe_conn_id",
    )
    template_fields_renderers: ClassVar[dict[str, str]] = {"flux_params": "json"}
    ui_color = "#efe4fb"
    _job_id: str | None = None  # of this try, for on_kill

    def __init__(
        self,
        *,
        prompt: str,
        model: str = DEFAULT_MODEL,
        flux_params: FluxParams | Mapping[str, Any] | str | None = None,
        apiframe_conn_id: str = ApiframeHook.default_conn_name,
        wait_for_completion: bool = True,
        deferrable: bool = conf.getboolean("operators", "default_deferrable", fallback=False),
        poll_interval: float = 2.0,
        timeout: float = 600.0,
        regenerate_on_clear: bool = True,
        max_credits: float | None = None,
        webhook_url: str | None = None,
        webhook_events: Sequence[str] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**{"multiple_outputs": True, **kwargs})
        check_literals(
            task_id=self.task_id,
            prompt=prompt,
            model=model,
            flux_params=flux_params,
            apiframe_conn_id=apiframe_conn_id,
            wait_for_completion=wait_for_completion,
            deferrable=deferrable,
            poll_interval=poll_interval,
            timeout=timeout,
            regenerate_on_clear=regenerate_on_clear,
            max_credits=max_credits,
            webhook_url=webhook_url,
            webhook_events=webhook_events,
        )
        self.prompt = prompt
        self.model = model
        self.flux_params = (
            flux_params.as_dict() if isinstance(flux_params, FluxParams) else flux_params
        )
        self.apiframe_conn_id = apiframe_conn_id
        self.wait_for_completion = wait_for_completion
        self.deferrable = deferrable
        self.poll_interval = float(poll_interval)
        self.timeout = float(timeout)
        self.regenerate_on_clear = regenerate_on_clear
        self.max_credits = None if max_credits is None else float(max_credits)
        self.webhook_url = webhook_url
        self.webhook_events = webhook_events

    @classmethod
    def partial(cls, **kwargs: Any) -> Any:
        """Check the literals of mapped tasks when the DAG is read, and label each with its prompt."""
        check_literals(**kwargs)
        partial = super().partial(
            **{"map_index_template": "{{ task.prompt | truncate(60) }}", **kwargs}
        )
        return CheckedPartial(partial, kwargs)

    @cached_property
    def hook(self) -> ApiframeHook:
        """The hook for this task's connection."""
        return ApiframeHook(self.apiframe_conn_id)

    def execute(self, context: Context) -> ImageJobResult:
        """Submit, then return at once, defer, or wait, as the arguments say."""
        with fail_without_retry():
            request = self._request()
            job, reused = self._submission(context).submit(request)
            self._job_id = job.id
            if self.do_xcom_push:
                context["ti"].xcom_push(key="job_id", value=job.id)
            if not self.wait_for_completion and not job.dead:
                return push_multiple_outputs(
                    build_result(job, prompt=request.prompt, model=request.model, reused=reused),
                    self,
                    context,
                )
            if job.finished:
                return self._delivered(job, context, reused=reused)
            wait = Wait.starting_now(job.id, timeout=self.timeout, poll_interval=self.poll_interval)
            if self.deferrable:
                prompt = job.prompt or request.prompt
                trigger = ApiframeJobTrigger.of(
                    wait, self.apiframe_conn_id, reused=reused, prompt=prompt
                )
                self.defer(trigger=trigger, method_name="execute_complete")
            return self._delivered(self.hook.client.wait_for_job(wait), context, reused=reused)

    def execute_complete(
        self, context: Context, event: dict[str, Any] | None = None
    ) -> ImageJobResult:
        """Resume after the trigger fired."""
        with fail_without_retry():
            job = job_from_event(event)
            self._job_id = job.id
            return self._delivered(job, context, reused=was_reused(event))

    def on_kill(self) -> None:
        """Say which job goes on and how to collect it: Apiframe has no way to cancel one."""
        if self._job_id is None:
            self.log.warning(
                "Stopped before Apiframe named a job. If it accepted one, a retry of this task finds it again"
            )
        else:
            self.log.warning(cannot_cancel_hint(self._job_id))

    def _submission(self, context: Context) -> Submission:
        return Submission(
            self.hook,
            Series.of(context["ti"], regenerate_on_clear=self.regenerate_on_clear),
            reuse_across_clears=not self.regenerate_on_clear,
            store=context.get("task_state_store"),  # Airflow 3.3+
            max_credits=self.max_credits,
        )

    def _request(self) -> GenerateRequest:
        request = GenerateRequest.parse(
            prompt=self.prompt,
            model=self.model,
            flux_params=self.flux_params,
            webhook_url=self.webhook_url,
            webhook_events=self.webhook_events,
        )
        if near := nearest_model(request.model):
            self.log.warning(
                "Model %r is not one this provider knows; did you mean %r?", request.model, near
            )
        return request

    def _delivered(self, job: Job, context: Context, *, reused: bool) -> ImageJobResult:
        job.raise_for_status()
        if job.expired:
            self.log.warning("The images of job %s have expired; their links may be dead", job.id)
        self.log.info(
            "Job %s gave %s for %s credits", job.id, ", ".join(job.image_urls), job.credit_cost
        )
        kept = (
            reused
            and not self.regenerate_on_clear
            and was_cleared(context.get("ti"), self.retries or 0)
        )
        report_credits(job, self.max_credits, counted_before=kept)
        return push_multiple_outputs(
            build_result(job, prompt=self.prompt, model=self.model, reused=reused), self, context
        )
