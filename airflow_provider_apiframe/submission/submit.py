"""Submits a request for a task, or reconnects to the job that an earlier try submitted.

It does what ``idempotency.py`` promises.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, NamedTuple

from airflow_provider_apiframe.api.errors import (
    ApiframeError,
    BudgetExceededError,
    ConflictError,
    InvalidRequestError,
)
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

CLOCK_TOLERANCE = timedelta(minutes=5)
"""By how much Airflow's clock and the API's may differ."""


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
    :param run_started: when the task's run started, None where that is not known.
    """

    hook: ApiframeHook
    scope: IdempotencyScope
    reuse_across_clears: bool = False
    store: Any = None
    max_credits: float | None = None
    run_started: datetime | None = None

    def submit(self, request: GenerateRequest) -> Submitted:
        """Return the job for *request*, in any state.

        What earlier tries may have submitted is submitted again with the same keys, one generation
        after the other: where there is a job, that returns the job and costs nothing. Its true
        state is read, for the response to a repeat may be old. Only the generation after all tries
        is surely new.

        :raises BudgetExceededError: it may cost more than it is allowed to.
        """
        try:
            return self._submit(request)
        except (InvalidRequestError, ConflictError, BudgetExceededError):
            raise
        except ApiframeError as error:
            if self.scope.earlier_tries and not error.transient:
                # An earlier try may have paid, and then a later one can still reconnect.
                error.transient = True
                error.adding("An earlier try may have submitted the image: worth a retry.")
            raise

    def _submit(self, request: GenerateRequest) -> Submitted:
        record, generation = self._read_record(), 0
        scope = self._scope_after(record, request)
        if record and record.job_id and self._is_for(record, scope, request):
            job = self._current(record.job_id)
            if not self._should_resubmit(job):
                return _reconnected(job)
            generation = record.generation + 1
        if self.max_credits is not None:
            self._check_budget(request, self.max_credits)
        newest = self._newest_job()
        while True:
            job = self._submit_generation(request, scope, generation)
            may_be_earlier = generation < scope.earlier_tries
            # A job that is finished when it is accepted was there before: an earlier try's, or that
            # of a run with the same id, which was deleted and made again.
            was_terminal = job.is_terminal
            if was_terminal or may_be_earlier:
                job = self._current(job.id)
            if not (may_be_earlier and self._should_resubmit(job)):
                break
            generation += 1
        if was_terminal or (newest and job.created and job.created <= newest):
            return _reconnected(job)
        log.info("Apiframe accepted job %s (%s) for model %s", job.id, job.status, request.model)
        return Submitted(job, reused=False)

    def _submit_generation(
        self, request: GenerateRequest, scope: IdempotencyScope, generation: int
    ) -> Job:
        accepted = self.hook.generate_image(request, scope.key(request, generation))
        self._record(request, scope, generation, accepted.job_id)
        return Job(id=accepted.job_id, status=accepted.status)

    def _scope_after(
        self, record: SubmissionRecord | None, request: GenerateRequest
    ) -> IdempotencyScope:
        """Return this try's scope, told apart from the recorded one of the same number."""
        scope = self.scope
        if record is None or record.scope != scope.number:
            return scope
        if not scope.was_cleared_since(record):
            return replace(scope, clear_number=record.clear_number)
        scope = replace(scope, clear_number=scope.run_clear_number)
        # Before anything is paid: the tries after this one cannot tell any more.
        self._record(request, scope, generation=0, job_id=None)
        return scope

    def _current(self, job_id: str) -> Job:
        """Return the job as it is now.

        It was accepted, so nothing but its own end is final: where the API cannot say how it is,
        whoever waits for it rides that out.
        """
        try:
            return self.hook.get_job(job_id)
        except ApiframeError as error:
            log.warning("Job %s could not be read; waiting for it all the same: %s", job_id, error)
            return Job(id=job_id, status="UNKNOWN")

    def _check_budget(self, request: GenerateRequest, max_credits: float) -> None:
        first_try = self.scope.earlier_tries == 0
        try:
            check_budget(self.hook, request.model, max_credits, first_try=first_try)
        except BudgetExceededError as error:
            if first_try or not self._may_have_submitted(request.model):
                raise
            log.warning(
                "An earlier try may have paid for the image already, so this one goes on: %s", error
            )

    def _may_have_submitted(self, model: str) -> bool:
        """Return whether there is a job that an earlier try may have made."""
        if self.run_started is None:
            return True
        since = self.run_started - CLOCK_TOLERANCE
        try:
            jobs = self.hook.list_jobs(limit=100, model=model).jobs
        except ApiframeError:
            return True  # nobody can say that there is none
        return any(job.created is None or job.created >= since for job in jobs)

    def _should_resubmit(self, job: Job) -> bool:
        """Return whether a new job takes the place of a failed one, which may succeed now."""
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

    def _read_record(self) -> SubmissionRecord | None:
        if self.store is None or self.scope.earlier_tries == 0:
            return None
        # A store that cannot be read is not an empty one: its error ends the try, before anything
        # is paid.
        value = self.store.get(RECORD_KEY)
        record = SubmissionRecord.read(value)
        if record is None and value is not None:
            log.warning(
                "What the task state store holds under %r is no record of this provider; ignored",
                RECORD_KEY,
            )
        return record

    def _is_for(
        self, record: SubmissionRecord, scope: IdempotencyScope, request: GenerateRequest
    ) -> bool:
        """Return whether the recorded job is the one that this try wants."""
        same_scope = (record.scope, record.clear_number) == (scope.number, scope.clear_number)
        if not same_scope and not self.reuse_across_clears:
            log.info(
                "Cleared since job %s: this is a new image, and paid for. "
                "regenerate_on_clear=False keeps one",
                record.job_id,
            )
            return False
        if record.fingerprint == fingerprint(request):
            return True
        log.warning(
            "Another request than the one of job %s, which an earlier try submitted: this may pay "
            "for another image. A template that gives another value on each try (a random number, "
            "the time) does that, so does a change of the DAG",
            record.job_id,
        )
        return False

    def _record(
        self, request: GenerateRequest, scope: IdempotencyScope, generation: int, job_id: str | None
    ) -> None:
        if self.store is None:
            return
        record = SubmissionRecord(
            job_id=job_id,
            fingerprint=fingerprint(request),
            scope=scope.number,
            clear_number=scope.clear_number,
            run_clear_number=scope.run_clear_number,
            generation=generation,
        )
        try:
            self.store.set(RECORD_KEY, record.model_dump())
        except Exception as error:  # whatever it is: the image is paid, and the key finds it
            log.warning("Job %s could not be recorded in the task state store: %s", job_id, error)


def _reconnected(job: Job) -> Submitted:
    log.info(
        "This try reconnected to job %s of an earlier try, nothing paid; it is %s",
        job.id,
        job.status,
    )
    return Submitted(job, reused=True)
