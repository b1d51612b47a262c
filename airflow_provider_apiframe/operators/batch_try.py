"""One try of a batch operator: its arguments and Airflow's context, as what a batch needs."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

from airflow_provider_apiframe.api.errors import JobTimeoutError
from airflow_provider_apiframe.api.models import Job
from airflow_provider_apiframe.api.pages import job_page
from airflow_provider_apiframe.delivery.assets import report_saved_batch
from airflow_provider_apiframe.delivery.batch_result import (
    BatchResult,
    check_success,
    first_errors,
)
from airflow_provider_apiframe.delivery.progress import ProgressRecord, progress_of_batch
from airflow_provider_apiframe.hooks.public_urls import public_url
from airflow_provider_apiframe.links.image import ImageLink
from airflow_provider_apiframe.links.job import ApiframeJobLink
from airflow_provider_apiframe.operators.batch_setup import prepare, scope_of
from airflow_provider_apiframe.polling.blocking import wait_for_jobs
from airflow_provider_apiframe.polling.wait import Wait
from airflow_provider_apiframe.submission.batch_run import BatchRun
from airflow_provider_apiframe.submission.submit import keeping_what_is_paid
from airflow_provider_apiframe.version_compat import push_multiple_outputs

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_apiframe.operators.batch import ApiframeBatchOperator

log = logging.getLogger(__name__)


@dataclass
class BatchTry:
    """A batch, and the task that it is for.

    :param task: the operator, rendered.
    :param context: Airflow's context of the try.
    :param run: the way through the batch.
    """

    task: ApiframeBatchOperator
    context: Context
    run: BatchRun

    @classmethod
    def starting(cls, task: ApiframeBatchOperator, context: Context) -> Self:
        """Return a try that begins. Nothing is submitted yet; the manifest is written, so a storage
        that does not take it is found before anything is paid.

        :raises ApiframeError: an argument, a request, a file or the storage cannot be used.
        """
        scope = scope_of(task, context)
        with keeping_what_is_paid(scope.earlier_tries > 0):
            run = prepare(task, context, scope)
            if task.do_xcom_push:
                context["ti"].xcom_push(key="manifest", value=run.manifest_uri)
            run.save()  # what an earlier try made and could not save
        return cls(task, context, run)

    @classmethod
    def resuming(
        cls, task: ApiframeBatchOperator, context: Context, carried: Mapping[str, Any]
    ) -> Self:
        """Return a try that goes on after it was deferred.

        :param carried: what it carried over the deferral, see :attr:`.BatchRun.carried`.
        :raises ApiframeError: the storage is away. A retry goes on.
        """
        with keeping_what_is_paid(True):
            run = prepare(task, context, scope_of(task, context), carried)
        return cls(task, context, run)

    def next_wave(self) -> list[str]:
        """Submit what comes next; return which jobs to wait for, none when all is done.

        :raises ApiframeError: what ended the submitting, once all that was accepted is collected.
        """
        job_ids = self.run.next_wave()
        if job_ids:
            page = job_page(self.task.hook.client.settings.base_url, job_ids[0])
            ApiframeJobLink().show(self.task, self.context, page)
        return job_ids

    def wait_for(self, job_ids: Sequence[str]) -> list[Job]:
        """Wait on the worker; return the jobs, those that were not finished in time included."""
        task, settings = self.task, self.task.hook.client.settings
        waits = [
            Wait.starting_now(job_id, timeout=task.timeout, poll_interval=task.poll_interval)
            for job_id in job_ids
        ]
        progress = ProgressRecord(self.context.get("task_state_store"))
        done_before, total = self.run.done, len(self.run.lines)

        def report(ended: int) -> None:
            progress.write(progress_of_batch(done_before + ended, total))

        outcomes = wait_for_jobs(
            task.hook.client,
            waits,
            requests_per_minute=settings.requests_per_minute,
            on_poll=report,
        )
        return [_job(job_id, outcomes[job_id]) for job_id in job_ids]

    def take(self, jobs: Iterable[Job]) -> None:
        """Keep what a wait showed, and save the images of the jobs that are finished."""
        self.run.record(jobs)
        self.run.save()
        log.info("%d of %d requests are done", self.run.done, len(self.run.lines))

    def finish(self) -> BatchResult:
        """Return the XCom value.

        :raises ImageNotSavedError: an image could not be saved; a retry only saves it.
        :raises BatchFailedError: fewer were made than the task needs.
        """
        self.run.check_saved()
        result = self.run.result()
        check_success(self.run.lines, result, self.task.min_success)
        if result["failed"]:
            log.warning(
                "%d of %d requests failed, which min_success allows. The first errors: %s. The "
                "manifest has all: %s",
                result["failed"],
                result["total"],
                first_errors(self.run.lines),
                result["manifest"],
            )
        if result["unfinished"]:
            log.warning(
                "%d jobs were not finished in time. They go on and are paid for; the manifest has "
                "their ids, and ApiframeJobSensor collects one by its id",
                result["unfinished"],
            )
        if public := public_url(result["manifest"]):
            ImageLink().show(self.task, self.context, public)
        else:
            ImageLink().leads_nowhere(self.task)
        inputs = dict.fromkeys(
            image
            for wanted in self.run.batch.requests.values()
            for image in wanted.request.reference_images
        )
        report_saved_batch(self.task, self.context, self.task.hook, result, inputs=inputs)
        return push_multiple_outputs(result, self.task, self.context)


def _job(job_id: str, outcome: Job | JobTimeoutError) -> Job:
    if isinstance(outcome, Job):  # with the id that was asked for: the API takes several forms
        return outcome.model_copy(update={"id": job_id})
    return Job(id=job_id, status="UNKNOWN", error=str(outcome).partition(" [job ")[0])
