"""Submits a request for a task, or reconnects to the job that an earlier try submitted.

It does what ``idempotency.py`` promises.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, NamedTuple

from airflow_provider_apiframe.api.errors import ApiframeError, NotFoundError
from airflow_provider_apiframe.api.job_failures import classify_failure
from airflow_provider_apiframe.api.models import Job
from airflow_provider_apiframe.api.params.request import GenerateRequest
from airflow_provider_apiframe.submission.budget import check_budget
from airflow_provider_apiframe.submission.idempotency import (
    IdempotencyScope,
    SubmissionRecord,
    fingerprint,
)

if TYPE_CHECKING:
    from airflow_provider_apiframe.hooks.apiframe import ApiframeHook

log = logging.getLogger(__name__)

RECORD_KEY = "apiframe_job"
"""Under this key a ``SubmissionRecord`` lies in the task state store (Airflow 3.3+)."""


class Submitted(NamedTuple):
    """The job of a task, and whether an earlier try submitted it, so that this one paid nothing."""

    job: Job
    reused: bool


@dataclass(frozen=True)
class Submission:
    """One try's way to the one job that its scope pays for.

    :param hook: of the task's connection.
    :param scope: the tries that want the same image.
    :param reuse_across_clears: take the recorded job of another scope, too: the task keeps its
        image when it is cleared.
    :param store: Airflow's task state store, None where there is none.
    :param max_credits: what the image may cost, None without a limit.
    """

    hook: ApiframeHook
    scope: IdempotencyScope
    reuse_across_clears: bool = False
    store: Any = None
    max_credits: float | None = None

    def submit(self, request: GenerateRequest) -> Submitted:
        """Return the job for *request*, in any state.

        What earlier tries may have submitted is submitted again with the same keys, one generation
        after the other: where there is a job, that returns the job and costs nothing. Its true
        state is read, for the response to a repeat may be old. Only the generation after all tries
        is surely new.

        :raises BudgetExceededError: it may cost more than it is allowed to.
        """
        generation = 0
        if record := self._record_of_earlier_try(request):
            job = self._recorded_job(record)
            if not self._should_resubmit(job):
                return _reconnected(job)
            generation = record.generation + 1
        if self.max_credits is not None:
            first_try = self.scope.earlier_tries == 0
            check_budget(self.hook, request.model, self.max_credits, first_try=first_try)
        newest = self._newest_job()
        while True:
            accepted = self.hook.generate_image(request, self.scope.key(request, generation))
            self._record(
                SubmissionRecord(
                    job_id=accepted.job_id,
                    fingerprint=fingerprint(request),
                    scope=self.scope.number,
                    generation=generation,
                )
            )
            job = Job(id=accepted.job_id, status=accepted.status)
            # A job that is finished when it is accepted is that of a run with the same id, which
            # was deleted and made again.
            was_terminal = job.is_terminal
            may_be_earlier = generation < self.scope.earlier_tries
            if was_terminal or may_be_earlier:
                job = self.hook.get_job(job.id)
            is_earlier = was_terminal or (job.created <= newest if newest and job.created else None)
            if may_be_earlier and is_earlier is not False and self._should_resubmit(job):
                generation += 1
                continue
            if is_earlier:
                return _reconnected(job)
            log.info(
                "Apiframe accepted job %s (%s) for model %s", job.id, job.status, request.model
            )
            return Submitted(job, reused=False)

    def _should_resubmit(self, job: Job) -> bool:
        """Return whether a new job takes the place of one that failed, and may not fail again."""
        if not job.is_failed:
            return False
        if not (classify_failure(job.error).transient or self.reuse_across_clears):
            return False
        log.info("Job %s of an earlier try is %s; submitting a new one", job.id, job.status)
        return True

    def _newest_job(self) -> datetime | None:
        """Return when the newest job was created, by the API's own clock.

        What is no newer was there before this try. Only ``reused`` and what the log says hang on
        it: None on a first try, and where the API does not say.
        """
        if self.scope.earlier_tries == 0:
            return None
        try:
            jobs = self.hook.list_jobs(limit=1).jobs
        except ApiframeError as error:
            log.warning(
                "The list of jobs cannot be read, so reused may be false for a job of an earlier "
                "try: %s",
                error,
            )
            return None
        return jobs[0].created if jobs else datetime.min.replace(tzinfo=UTC)

    def _recorded_job(self, record: SubmissionRecord) -> Job:
        try:
            return self.hook.get_job(record.job_id)
        except NotFoundError as error:
            raise error.adding(
                "An earlier try submitted that job, and paid for it. Nothing was submitted now; to "
                "pay for a new image, clear the task with regenerate_on_clear=True."
            ) from None

    def _record_of_earlier_try(self, request: GenerateRequest) -> SubmissionRecord | None:
        if self.store is None or self.scope.earlier_tries == 0:
            return None
        # A store that cannot be read is not an empty one: its error ends the try, before anything
        # is paid.
        record = SubmissionRecord.read(self.store.get(RECORD_KEY))
        if record is None:
            return None
        if record.scope != self.scope.number and not self.reuse_across_clears:
            log.info(
                "Cleared since job %s: this is a new image, and paid for. "
                "regenerate_on_clear=False keeps one",
                record.job_id,
            )
            return None
        if record.fingerprint == fingerprint(request):
            return record
        log.warning(
            "Another request than the one of job %s, which an earlier try submitted: this may pay "
            "for another image. A template that gives another value on each try (a random number, "
            "the time) does that, so does a change of the DAG",
            record.job_id,
        )
        return None

    def _record(self, record: SubmissionRecord) -> None:
        if self.store is None:
            return
        try:
            self.store.set(RECORD_KEY, record.model_dump())
        except Exception as error:  # whatever it is: the image is paid, and the key finds it
            log.warning(
                "Job %s could not be recorded in the task state store: %s", record.job_id, error
            )


def _reconnected(job: Job) -> Submitted:
    log.info(
        "This try reconnected to job %s of an earlier try, nothing paid; it is %s",
        job.id,
        job.status,
    )
    return Submitted(job, reused=True)
