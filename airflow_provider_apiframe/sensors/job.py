"""ApiframeJobSensor: waits for a job that another task submitted, and hands over its images."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import (
    AirflowFailException,
    AirflowSensorTimeout,
    AirflowSkipException,
    BaseSensorOperator,
    PokeReturnValue,
    conf,
)

from airflow_provider_apiframe.api.errors import ApiframeError, UnexpectedResponseError
from airflow_provider_apiframe.api.models import Job
from airflow_provider_apiframe.api.pages import job_page
from airflow_provider_apiframe.api.params.request import check_job_id
from airflow_provider_apiframe.delivery.assets import report_saved_images
from airflow_provider_apiframe.delivery.deliver import deliver
from airflow_provider_apiframe.delivery.failure import keeping_failure
from airflow_provider_apiframe.delivery.metrics import report_credits
from airflow_provider_apiframe.delivery.progress import ProgressRecord
from airflow_provider_apiframe.delivery.result import ImageJobResult
from airflow_provider_apiframe.delivery.storage import ImageStorage, Provenance
from airflow_provider_apiframe.exceptions import fail_without_retry
from airflow_provider_apiframe.hooks.apiframe import ApiframeHook
from airflow_provider_apiframe.links.image import ImageLink, image_url
from airflow_provider_apiframe.links.job import ApiframeJobLink
from airflow_provider_apiframe.literals import (
    CheckedPartial,
    check_literals,
    errors_of_the_dag_file,
    is_templated,
)
from airflow_provider_apiframe.polling.wait import Wait
from airflow_provider_apiframe.submission.needed_outputs import (
    check_needed_outputs,
    needed_outputs,
)
from airflow_provider_apiframe.triggers.base import JobWaitError
from airflow_provider_apiframe.triggers.job import ApiframeJobTrigger, job_from_event
from airflow_provider_apiframe.version_compat import push_multiple_outputs

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context


class ApiframeJobSensor(BaseSensorOperator):
    """Wait until an Apiframe job is finished and return its images.

    Costs no credits, so retries are harmless. Works in all three ways a sensor can wait:
    ``mode="poke"``, ``mode="reschedule"`` and ``deferrable=True``. A poke is one request; an outage
    is ridden out.

    :param job_id: the job, e.g. ``submit.output["job_id"]`` of an operator with
        ``wait_for_completion=False``. Templated.
    :param apiframe_conn_id: id of the Airflow connection; a key of the user that submitted the job.
        Templated.
    :param deferrable: wait on the triggerer, without holding a worker slot. Default:
        ``[operators] default_deferrable``.
    :param poke_interval: seconds between two pokes, default 5.
    :param timeout: seconds until the sensor gives up, default 600. The job goes on.
    :param save_to: where the images are saved, as in
        :class:`~airflow_provider_apiframe.operators.base.ApiframeOperator`, and so are
        *save_conn_id*, *provenance* and *multiple_outputs*. Templated, but the last two.
    :returns: a :class:`airflow_provider_apiframe.delivery.result.ImageJobResult`; each of its keys
        is an XCom of its own as well.
    :raises ApiframeError: what a retry may mend: an image could not be saved.
    :raises AirflowFailException: the job FAILED or was CANCELLED, is unknown, or the connection or
        key cannot be used.
    :raises AirflowSensorTimeout: not finished in time; with ``soft_fail=True`` the task is skipped
        instead.
    """

    template_fields: Sequence[str] = ("job_id", "save_to", "save_conn_id", "apiframe_conn_id")
    ui_color = "#efe4fb"
    operator_extra_links = (ImageLink(), ApiframeJobLink())
    _progress: ProgressRecord | None = None  # of this process

    def __init__(
        self,
        *,
        job_id: str,
        apiframe_conn_id: str = ApiframeHook.default_conn_name,
        deferrable: bool = conf.getboolean("operators", "default_deferrable", fallback=False),
        poke_interval: float = 5.0,
        timeout: float = 600.0,
        save_to: str | None = None,
        save_conn_id: str | None = None,
        provenance: Provenance | None = "iptc",
        multiple_outputs: bool = True,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            poke_interval=poke_interval,
            timeout=timeout,
            multiple_outputs=multiple_outputs,
            **kwargs,
        )
        _check_literals(
            task_id=self.task_id,
            job_id=job_id,
            save_to=save_to,
            save_conn_id=save_conn_id,
            provenance=provenance,
        )
        self.job_id = job_id
        self.apiframe_conn_id = apiframe_conn_id
        self.deferrable = deferrable
        self.save_to = save_to
        self.save_conn_id = save_conn_id
        self.provenance = provenance
        self._needed_outputs = needed_outputs(save_to=save_to)

    @classmethod
    def partial(cls, **kwargs: Any) -> Any:
        """Check the literals of mapped tasks when the DAG is parsed."""
        _check_literals(**kwargs)
        partial = super().partial(**kwargs)
        return CheckedPartial(partial, kwargs, check=_check_literals)

    @cached_property
    def hook(self) -> ApiframeHook:
        """The hook for this task's connection."""
        return ApiframeHook(self.apiframe_conn_id)

    def execute(self, context: Context) -> Any:
        """Poke once, then defer if the sensor is deferrable; poke or reschedule otherwise."""
        if not self.deferrable:
            with keeping_failure(self, context):
                return super().execute(context)
        with self._skip_if_soft(), keeping_failure(self, context):
            job = self._poll(context)
            if job and job.is_terminal:
                return self._deliver(job, context)
            wait = Wait.starting_now(
                self.job_id, timeout=float(self.timeout), poll_interval=float(self.poke_interval)
            )
        prompt = job.prompt if job else None
        trigger = ApiframeJobTrigger.of(
            wait, self.apiframe_conn_id, prompt=prompt, keeps_progress=bool(self.do_xcom_push)
        )
        return self.defer(trigger=trigger, method_name="execute_complete")

    def poke(self, context: Context) -> PokeReturnValue:
        """Poll the job once."""
        job = self._poll(context)
        if job and job.is_terminal:
            return PokeReturnValue(is_done=True, xcom_value=self._deliver(job, context))
        return PokeReturnValue(is_done=False)

    def execute_complete(
        self, context: Context, event: dict[str, Any] | None = None
    ) -> ImageJobResult:
        """Resume after the trigger fired."""
        with self._skip_if_soft(), keeping_failure(self, context), fail_without_retry():
            try:
                job = job_from_event(event)
            except JobWaitError as error:
                if error.timed_out:
                    raise AirflowSensorTimeout(str(error)) from None
                raise
            return self._deliver(job, context)

    @property
    def current_job_id(self) -> str | None:
        """The job that is waited for, once the argument is rendered; None where it is no text."""
        return self.job_id if isinstance(self.job_id, str) else None

    def _poll(self, context: Context) -> Job | None:
        """Return the job as it is now, None where an outage hides it. One request."""
        try:
            job = self.hook.get_job(self.job_id, retry=False)
        except UnexpectedResponseError:
            # A proxy's page in place of a response: worth one of the task's retries, which cost
            # nothing.
            raise
        except ApiframeError as error:
            if not error.transient:
                with fail_without_retry():
                    raise
            self.log.warning("Job %s could not be read, polling again: %s", self.job_id, error)
            return None
        percentage = "" if job.progress is None else f", {job.progress:g} %"
        self.log.info("Job %s is %s%s", job.id, job.status, percentage)
        page = job_page(self.hook.client.settings.base_url, job.id)
        ApiframeJobLink().show(self, context, page)
        self._keep_progress(job, context)
        return job

    def _keep_progress(self, job: Job, context: Context) -> None:
        if self._progress is None:
            self._progress = ProgressRecord(context.get("task_state_store"))
        self._progress.write(job)

    def _deliver(self, job: Job, context: Context) -> ImageJobResult:
        self._keep_progress(job, context)
        # A retry of the sensor cannot mend a job that failed: only the task that submitted it can.
        with fail_without_retry(include_transient=True):
            job.raise_for_status()
        with fail_without_retry():
            result = deliver(job, storage=self._storage(context))
        ImageLink().show(self, context, image_url(result, context["ti"]))
        report_saved_images(self, context, self.hook, result)
        result = push_multiple_outputs(result, self, context)
        report_credits(
            job,
            dag_id=context["ti"].dag_id,
            task_id=context["ti"].task_id,
            store=context.get("task_state_store"),
        )
        return result

    def _storage(self, context: Context) -> ImageStorage | None:
        check_needed_outputs(self, self._needed_outputs)
        return ImageStorage.of(
            context,
            self.hook,
            self.save_to,
            conn_id=self.save_conn_id,
            provenance=self.provenance,
        )

    @contextmanager
    def _skip_if_soft(self) -> Iterator[None]:
        """Do for the deferred wait what Airflow does for the other modes.

        That is to skip the task with ``soft_fail=True`` or ``never_fail=True``.
        """
        try:
            yield
        except Exception as error:
            soft = self.soft_fail and isinstance(
                error, (AirflowSensorTimeout, AirflowFailException)
            )
            if soft or getattr(self, "never_fail", False):
                raise AirflowSkipException(str(error)) from error
            raise


def _check_literals(**arguments: Any) -> None:
    """Check the *arguments* whose values are known while the DAG is read.

    :raises InvalidParameterError: naming the task and what is wrong.
    """
    task_id = arguments.get("task_id")
    if "job_id" in arguments and not is_templated(arguments["job_id"]):
        with errors_of_the_dag_file(task_id):
            check_job_id(arguments["job_id"])
    names = ("save_to", "save_conn_id", "provenance")
    known = {name: arguments[name] for name in names if name in arguments}
    check_literals(task_id=task_id, **known)
