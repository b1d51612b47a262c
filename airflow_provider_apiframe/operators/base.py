"""ApiframeOperator: what all operators that submit a job share."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from contextlib import suppress
from functools import cached_property
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import BaseOperator, conf

from airflow_provider_apiframe.api.errors import InvalidRequestError
from airflow_provider_apiframe.api.models import Job
from airflow_provider_apiframe.api.pages import job_page
from airflow_provider_apiframe.api.params.request import ImageRequest
from airflow_provider_apiframe.delivery.assets import report_saved_images
from airflow_provider_apiframe.delivery.deliver import deliver, saved_by_a_retry
from airflow_provider_apiframe.delivery.failure import keeping_failure
from airflow_provider_apiframe.delivery.metrics import report_credits
from airflow_provider_apiframe.delivery.progress import ProgressRecord
from airflow_provider_apiframe.delivery.result import ImageJobResult, build_result
from airflow_provider_apiframe.delivery.storage import ImageStorage, Provenance
from airflow_provider_apiframe.exceptions import cannot_cancel_hint, fail_without_retry
from airflow_provider_apiframe.hooks.apiframe import ApiframeHook
from airflow_provider_apiframe.links.image import ImageLink, image_url
from airflow_provider_apiframe.links.job import ApiframeJobLink
from airflow_provider_apiframe.literals import check_literals
from airflow_provider_apiframe.operators.worker_connection import (
    warn_of_a_connection_that_only_the_worker_sees,
)
from airflow_provider_apiframe.polling.blocking import wait_for_job
from airflow_provider_apiframe.polling.wait import Wait
from airflow_provider_apiframe.submission.idempotency import IdempotencyScope
from airflow_provider_apiframe.submission.needed_outputs import (
    check_needed_outputs,
    needed_outputs,
)
from airflow_provider_apiframe.submission.records import Records
from airflow_provider_apiframe.submission.submit import Submission
from airflow_provider_apiframe.triggers.job import (
    ApiframeJobTrigger,
    job_from_event,
    was_reused,
)
from airflow_provider_apiframe.version_compat import push_multiple_outputs

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context


class ApiframeOperator(BaseOperator):
    """Submit a job, or reconnect to the one of an earlier try; wait for it, or defer; deliver it.

    :param apiframe_conn_id: id of the Airflow connection, default "apiframe_default". Templated.
    :param wait_for_completion: wait for the image (default). False returns as soon as the job is
        accepted; collect it later with ``ApiframeJobSensor``.
    :param deferrable: wait on the triggerer, without holding a worker slot. Default:
        ``[operators] default_deferrable``.
    :param poll_interval: seconds between two polls of the job, > 0, default 2.
    :param timeout: seconds from acceptance until the try gives up waiting, > 0, default 600. The
        job goes on; a retry reconnects to it, and waits as long.
    :param regenerate_on_clear: whether clearing the task by hand makes a new image (default), which
        is paid for. False returns the image that was made already: on Airflow 3.3 for as long as
        the task state store keeps the job's id (30 days by default), before that for 24 hours.
        Links of an old image may be dead.
    :param max_credits: credits the image may cost, > 0; default: no limit. Checked before anything
        is submitted, against the most that the vendor's catalogue says the model may cost, and that
        against the team's balance.
    :param save_to: where the images are saved before their links die: a storage URL of a folder
        that ends with "/" ("s3://bucket/{{ ds }}/"; "file:///data/images/" or an absolute local
        path only where all tasks run on one machine, or share the folder), where each image goes to
        ``{dag_id}/{run_id}/{task_id}[-{map_index}]/{job_id}-{n}.{ext}``; or with a file name
        ("s3://bucket/{run_id}/poster.png"), to which the second image of a job adds ``-2``.
        ``{dag_id}``, ``{run_id}``, ``{task_id}``, ``{map_index}``, ``{job_id}``, ``{n}`` (number of
        the image, from 1), ``{ext}`` and ``{ds}`` can be used in it. Default: the images stay with
        the vendor. Templated.
    :param save_conn_id: id of the Airflow connection with the storage's credentials, for *save_to*
        and for reference images that are paths. Default: the one in the URL
        ("s3://conn_id@bucket/"), or what the filesystem finds by itself. Templated.
    :param provenance: what saved images say of themselves: "iptc" (default) adds the
        machine-readable mark of AI images (IPTC DigitalSourceType) without touching the pixels,
        "c2pa" also signs them with the certificate in the connection ``c2pa_default``; None leaves
        the bytes as they are.
    :param webhook_url: http(s) URL that Apiframe calls when the job ends, besides this task's own
        waiting. Templated.
    :param webhook_events: of "progress", "completed", "failed"; the API's default is completed and
        failed.
    :param multiple_outputs: whether each key of the result is an XCom of its own as well (default),
        so that ``operator.output["image_urls"]`` works. False pushes the result and ``job_id``
        only: 2 XComs in place of 11, which an XCom backend may store as an object each. Other tasks
        take ``operator.output`` then, and ``result["image_urls"]`` of it.
    """

    template_fields: Sequence[str] = ("save_to", "save_conn_id", "webhook_url", "apiframe_conn_id")
    ui_color = "#efe4fb"
    operator_extra_links = (ImageLink(), ApiframeJobLink())
    prompt: str | None = None
    model: str | None = None
    current_job_id: str | None = None
    """The job of this try, once it is accepted."""
    decided_arguments: dict[str, Any] | None = None
    """Arguments that were decided when the task ran, as JSON values. A task that is deferred gets
    them back with the event: it resumes as a new object, which only has what the DAG file says."""

    def __init__(
        self,
        *,
        apiframe_conn_id: str = ApiframeHook.default_conn_name,
        wait_for_completion: bool = True,
        deferrable: bool = conf.getboolean("operators", "default_deferrable", fallback=False),
        poll_interval: float = 2.0,
        timeout: float = 600.0,
        regenerate_on_clear: bool = True,
        max_credits: float | None = None,
        save_to: str | None = None,
        save_conn_id: str | None = None,
        provenance: Provenance | None = "iptc",
        webhook_url: str | None = None,
        webhook_events: Sequence[str] | None = None,
        multiple_outputs: bool = True,
        **kwargs: Any,
    ) -> None:
        super().__init__(multiple_outputs=multiple_outputs, **kwargs)
        check_literals(
            task_id=self.task_id,
            apiframe_conn_id=apiframe_conn_id,
            wait_for_completion=wait_for_completion,
            deferrable=deferrable,
            poll_interval=poll_interval,
            timeout=timeout,
            regenerate_on_clear=regenerate_on_clear,
            max_credits=max_credits,
            save_to=save_to,
            save_conn_id=save_conn_id,
            provenance=provenance,
            webhook_url=webhook_url,
            webhook_events=webhook_events,
        )
        self.apiframe_conn_id = apiframe_conn_id
        self.wait_for_completion = wait_for_completion
        self.deferrable = deferrable
        self.poll_interval = float(poll_interval)
        self.timeout = float(timeout)
        self.regenerate_on_clear = regenerate_on_clear
        self.max_credits = None if max_credits is None else float(max_credits)
        self.save_to = save_to
        self.save_conn_id = save_conn_id
        self.provenance = provenance
        self.webhook_url = webhook_url
        self.webhook_events = webhook_events
        self._needed_outputs = needed_outputs(save_to=save_to)

    @abstractmethod
    def _request(self) -> ImageRequest:
        """Return what to submit, from the rendered arguments."""

    @cached_property
    def hook(self) -> ApiframeHook:
        """The hook for this task's connection."""
        return ApiframeHook(self.apiframe_conn_id)

    def execute(self, context: Context) -> ImageJobResult:
        """Submit, then return at once, defer, or wait, as the arguments say."""
        with keeping_failure(self, context), fail_without_retry():
            submission = self._submission(context)
            with submission.keeping_what_is_paid():
                check_needed_outputs(self, self._needed_outputs)
                request = self._request()
                if storage := self._storage(context):
                    storage.check(request.output_format)
            if self.deferrable and self.wait_for_completion:
                warn_of_a_connection_that_only_the_worker_sees(self.apiframe_conn_id)
            job, reused = submission.submit(request)
            self.current_job_id = job.id
            if self.do_xcom_push:
                context["ti"].xcom_push(key="job_id", value=job.id)
            page = job_page(self.hook.client.settings.base_url, job.id)
            ApiframeJobLink().show(self, context, page)
            if not self.wait_for_completion and not job.is_failed:
                result = build_result(
                    job, prompt=request.prompt, model=request.model, reused=reused
                )
                return push_multiple_outputs(result, self, context)
            # A job that is COMPLETED without links may just not have them yet.
            if job.is_failed or job.image_urls:
                return self._deliver(job, context, reused=reused)
            wait = Wait.starting_now(job.id, timeout=self.timeout, poll_interval=self.poll_interval)
            progress = ProgressRecord(context.get("task_state_store"))
            progress.write(job)
            if self.deferrable:
                trigger = ApiframeJobTrigger.of(
                    wait,
                    self.apiframe_conn_id,
                    reused=reused,
                    prompt=job.prompt or request.prompt,
                    keeps_progress=bool(self.do_xcom_push),
                    arguments=self.decided_arguments,
                )
                self.defer(trigger=trigger, method_name="execute_complete")
            job = wait_for_job(self.hook.client, wait, on_poll=progress.write)
            return self._deliver(job, context, reused=reused)

    def execute_complete(
        self, context: Context, event: dict[str, Any] | None = None
    ) -> ImageJobResult:
        """Resume after the trigger fired."""
        with keeping_failure(self, context), fail_without_retry():
            job = job_from_event(event)
            self.current_job_id = job.id
            return self._deliver(job, context, reused=was_reused(event))

    def on_kill(self) -> None:
        """Say which job goes on and how to collect it: Apiframe has no way to cancel one."""
        if self.current_job_id is None:
            self.log.warning(
                "Stopped before Apiframe named a job. If it accepted one, a retry of this task "
                "reconnects to it"
            )
        else:
            self.log.warning(cannot_cancel_hint(self.current_job_id))

    def _submission(self, context: Context) -> Submission:
        return Submission(
            self.hook,
            IdempotencyScope.of(
                context,
                retries=self.retries or 0,
                regenerate_on_clear=self.regenerate_on_clear,
            ),
            reuse_across_clears=not self.regenerate_on_clear,
            records=Records(context.get("task_state_store")),  # Airflow 3.3+
            max_credits=self.max_credits,
            run_started=getattr(context.get("dag_run"), "start_date", None),
            storage_conn_id=self.save_conn_id,
        )

    def _storage(self, context: Context) -> ImageStorage | None:
        check_needed_outputs(self, [names for names in self._needed_outputs if "save_to" in names])
        return ImageStorage.of(
            context,
            self.hook,
            self.save_to,
            conn_id=self.save_conn_id,
            provenance=self.provenance,
        )

    def _deliver(self, job: Job, context: Context, *, reused: bool) -> ImageJobResult:
        ProgressRecord(context.get("task_state_store")).write(job)
        job.raise_for_status()
        with saved_by_a_retry(job):  # this worker may lack what the first one had
            storage = self._storage(context)
        result = deliver(job, prompt=self.prompt, model=self.model, reused=reused, storage=storage)
        ImageLink().show(self, context, image_url(result, context["ti"]))
        seed, inputs = None, []
        with suppress(InvalidRequestError):  # rendered anew, and the image is paid
            request = self._request()
            seed, inputs = request.seed, request.reference_images
        report_saved_images(self, context, self.hook, result, seed=seed, inputs=inputs)
        result = push_multiple_outputs(result, self, context)
        report_credits(
            job,
            self.max_credits,
            dag_id=context["ti"].dag_id,
            task_id=context["ti"].task_id,
            store=context.get("task_state_store"),
        )
        return result
