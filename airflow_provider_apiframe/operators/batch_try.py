"""One try of a batch operator: its arguments and Airflow's context, as what a batch needs."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Self

from airflow_provider_apiframe.api.errors import ApiframeError, JobTimeoutError
from airflow_provider_apiframe.api.models import Job
from airflow_provider_apiframe.api.pages import job_page
from airflow_provider_apiframe.delivery.assets import report_saved_batch
from airflow_provider_apiframe.delivery.batch_result import BatchResult, check_success
from airflow_provider_apiframe.delivery.manifest import (
    ManifestFile,
    ManifestLine,
    manifest_uri,
)
from airflow_provider_apiframe.delivery.metrics import report_credits
from airflow_provider_apiframe.delivery.naming import SaveTo, placeholder_values
from airflow_provider_apiframe.delivery.progress import ProgressRecord, progress_of_batch
from airflow_provider_apiframe.delivery.storage import ImageStorage
from airflow_provider_apiframe.hooks.public_urls import public_url
from airflow_provider_apiframe.links.image import ImageLink
from airflow_provider_apiframe.links.job import ApiframeJobLink
from airflow_provider_apiframe.operators.batch_arguments import check_batch_save_to
from airflow_provider_apiframe.polling.blocking import wait_for_jobs
from airflow_provider_apiframe.polling.wait import Wait
from airflow_provider_apiframe.submission.batch import BatchSubmission
from airflow_provider_apiframe.submission.batch_files import BatchFiles
from airflow_provider_apiframe.submission.batch_limits import BatchLimits
from airflow_provider_apiframe.submission.batch_plan import Batch
from airflow_provider_apiframe.submission.batch_requests import (
    BatchRequest,
    identity,
    read_requests,
)
from airflow_provider_apiframe.submission.batch_run import MAX_WAVE, BatchRun
from airflow_provider_apiframe.submission.earlier_jobs import newest_job
from airflow_provider_apiframe.submission.idempotency import IdempotencyScope, SubmissionRecord
from airflow_provider_apiframe.submission.needed_outputs import check_needed_outputs
from airflow_provider_apiframe.submission.records import Records
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
        scope = _scope(task, context)
        with keeping_what_is_paid(scope.earlier_tries > 0):
            begun = cls._of(task, context, scope, None)
            run = begun.run
            if task.do_xcom_push:
                context["ti"].xcom_push(key="manifest", value=run.manifest_uri)
            run.save()  # what an earlier try made and could not save
        return begun

    @classmethod
    def resuming(
        cls, task: ApiframeBatchOperator, context: Context, carried: Mapping[str, Any]
    ) -> Self:
        """Return a try that goes on after it was deferred.

        :param carried: what it carried over the deferral, see :attr:`carried`.
        :raises ApiframeError: the storage is away. A retry goes on.
        """
        with keeping_what_is_paid(True):
            return cls._of(task, context, _scope(task, context), carried)

    @classmethod
    def _of(
        cls,
        task: ApiframeBatchOperator,
        context: Context,
        scope: IdempotencyScope,
        carried: Mapping[str, Any] | None,
    ) -> Self:
        check_needed_outputs(task, [names for names in task._needed_outputs if "save_to" in names])
        check_batch_save_to(task.save_to)
        records = Records(context.get("task_state_store"))  # Airflow 3.3+
        record = records.read()
        begins_scope = record is None or scope.was_cleared_since(record)
        scope = scope.following(record)
        manifest = _manifest(task, context, scope)
        hook, is_new_try = task.hook, carried is None
        storage = ImageStorage.of(
            context,
            hook,
            task.save_to,
            conn_id=task.save_conn_id,
            provenance=task.provenance,
        )
        assert storage is not None, "save_to is required"
        may_be_paid = scope.earlier_tries > 0 or not is_new_try
        known = (manifest.read() if may_be_paid else None) or {}
        unreadable: ApiframeError | None = None
        requests: dict[str, BatchRequest] = {}
        files = BatchFiles()
        try:
            requests, files = _requests(task)
            for output_format in {wanted.request.output_format for wanted in requests.values()}:
                storage.check(output_format)
        except ApiframeError as error:
            if not any(line.job_id for line in known.values()):
                raise
            log.warning("What is paid is collected before this fails the task: %s", error)
            unreadable = error
        if begins_scope:
            records.write(_record(scope))  # before anything is paid
        batch = Batch.of(requests, known, earlier_tries=scope.earlier_tries)
        newest_before, reused = None, 0
        if carried is None:
            batch = batch.afresh()
            newest_before = newest_job(hook)
            # Those that go on are counted when they have ended.
            reused = sum(
                line.status == "COMPLETED" and bool(line.image_urls) for line in known.values()
            )
        else:
            with suppress(ValueError):
                newest_before = datetime.fromisoformat(str(carried.get("newest_before")))
            reused = int(carried.get("reused") or 0)
        return cls(
            task,
            context,
            BatchRun(
                batch=batch,
                submission=BatchSubmission(
                    hook, scope, files, getattr(context.get("dag_run"), "start_date", None)
                ),
                limits=BatchLimits(
                    hook,
                    task.max_credits,
                    getattr(context.get("dag_run"), "start_date", None),
                ),
                manifest=manifest,
                storage=storage,
                wave_size=min(task.max_active or MAX_WAVE, MAX_WAVE),
                newest_before=newest_before,
                reused=reused,
                unreadable=unreadable,
                is_unsure=is_new_try and scope.earlier_tries > 0,
                unheard=scope.earlier_tries > 0 or bool(carried and carried.get("unheard")),
                on_saved=lambda lines: _count(task, context, lines),
            ),
        )

    @property
    def carried(self) -> dict[str, Any]:
        """What a deferral carries over, as JSON values; all else is in the manifest."""
        newest = self.run.newest_before
        return {
            "reused": self.run.reused,
            "newest_before": newest.isoformat() if newest else None,
            "unheard": self.run.unheard,
        }

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
        if result["unfinished"]:
            log.warning(
                "%d jobs were not finished in time. They go on and are paid for; the manifest has "
                "their ids, and ApiframeJobSensor collects one by its id",
                result["unfinished"],
            )
        if public := public_url(result["manifest"]):
            ImageLink().show(self.task, self.context, public)
        inputs = dict.fromkeys(
            image
            for wanted in self.run.batch.requests.values()
            for image in wanted.request.reference_images
        )
        report_saved_batch(self.task, self.context, self.task.hook, result, inputs=inputs)
        return push_multiple_outputs(result, self.task, self.context)


def _scope(task: ApiframeBatchOperator, context: Context) -> IdempotencyScope:
    return IdempotencyScope.of(
        context, retries=task.retries or 0, regenerate_on_clear=task.regenerate_on_clear
    )


def _record(scope: IdempotencyScope) -> SubmissionRecord:
    """Return what tells the tries after this one which scope they belong to."""
    return SubmissionRecord(
        job_id=None,
        fingerprint="",
        scope=scope.number,
        clear_number=scope.clear_number,
        run_clear_number=scope.run_clear_number,
        generation=0,
    )


def _manifest(
    task: ApiframeBatchOperator, context: Context, scope: IdempotencyScope
) -> ManifestFile:
    of_scope = json.dumps([*scope.identity, scope.number, scope.clear_number])
    place = manifest_uri(SaveTo.parse(task.save_to), placeholder_values(context), of_scope)
    return ManifestFile(place, task.save_conn_id)


def _requests(task: ApiframeBatchOperator) -> tuple[dict[str, BatchRequest], BatchFiles]:
    """Return the requests by their identity, and the files that they name.

    :raises ApiframeError: one of them cannot be used.
    """
    check_needed_outputs(task, task._needed_outputs)
    for index, names in task._needed_in_requests:
        check_needed_outputs(task.requests[index], [names])
    found = read_requests(
        task.requests,
        model=task.model,
        params=getattr(task, task.params_field),
        params_name=task.params_name,
        storage_conn_id=task.save_conn_id,
    )
    files = BatchFiles.read((wanted.request for wanted in found), task.save_conn_id)
    return {identity(files.hashed(wanted.request), wanted.id): wanted for wanted in found}, files


def _count(task: ApiframeBatchOperator, context: Context, lines: Sequence[ManifestLine]) -> None:
    """Count what the images cost that were saved just now, each once."""
    for line in lines:
        job = Job(
            id=line.job_id or "",
            status=line.status,
            model=line.model,
            credit_cost=line.credit_cost,
        )
        report_credits(job, dag_id=context["ti"].dag_id, task_id=context["ti"].task_id)


def _job(job_id: str, outcome: Job | JobTimeoutError) -> Job:
    if isinstance(outcome, Job):
        return outcome
    return Job(id=job_id, status="UNKNOWN", error=str(outcome).partition(" [job ")[0])
