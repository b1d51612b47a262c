"""Submits a request for a task, or reconnects to the job that an earlier try submitted.

It does what ``idempotency.py`` promises.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, NamedTuple

from airflow_provider_apiframe.api.errors import (
    ApiframeError,
    BudgetExceededError,
    ConflictError,
    InvalidRequestError,
)
from airflow_provider_apiframe.api.job_failures import classify_failure
from airflow_provider_apiframe.api.models import Job
from airflow_provider_apiframe.api.params.request import ImageRequest
from airflow_provider_apiframe.submission.earlier_jobs import (
    current_job,
    find_submitted,
    is_listed,
    newest_job,
)
from airflow_provider_apiframe.submission.idempotency import (
    KEY_WINDOW,
    IdempotencyScope,
    SubmissionRecord,
    fingerprint,
    hashes_by_path,
)
from airflow_provider_apiframe.submission.limits import Admission, check_limits
from airflow_provider_apiframe.submission.records import Records
from airflow_provider_apiframe.submission.references import References

if TYPE_CHECKING:
    from airflow_provider_apiframe.hooks.apiframe import ApiframeHook

log = logging.getLogger(__name__)


class Submitted(NamedTuple):
    """The job of a task, and whether an earlier try submitted it, so that this one paid nothing."""

    job: Job
    reused: bool


@contextmanager
def keeping_what_is_paid(may_be_paid: bool) -> Iterator[None]:
    """Leave to a retry what fails in here, where something may be paid already.

    Wrong requests, conflicts and budgets aside: their errors are final on every try.
    """
    try:
        yield
    except (InvalidRequestError, ConflictError, BudgetExceededError):
        raise
    except ApiframeError as error:
        if may_be_paid and not error.transient:
            # An earlier try may have paid, and then a later one can still reconnect.
            error.transient = True
            error.adding("An earlier try may have submitted the image: worth a retry.")
        raise


@dataclass(frozen=True)
class Submission:
    """One try's way to the one job that its scope pays for.

    :param hook: of the task's connection.
    :param scope: the tries that want the same image.
    :param reuse_across_clears: take the recorded job of another scope, too: the task keeps its
        image when it is cleared.
    :param records: what tries record for the tries after them.
    :param max_credits: what the image may cost, None without a limit.
    :param run_started: when the task's run started, None where that is not known.
    :param storage_conn_id: Airflow connection that reads the storage paths among the request's
        reference images, where they name none. None means the default of each scheme.
    """

    hook: ApiframeHook
    scope: IdempotencyScope
    reuse_across_clears: bool = False
    records: Records = field(default_factory=Records)
    max_credits: float | None = None
    run_started: datetime | None = None
    storage_conn_id: str | None = None

    def submit(self, request: ImageRequest) -> Submitted:
        """Return the job for *request*, in any state.

        What earlier tries may have submitted is submitted again with the same keys, one generation
        after the other: where there is a job, that returns the job and costs nothing. Its true
        state is read, for the response to a repeat may be old. Only the generation after all tries
        is surely new.

        :raises BudgetExceededError: it may cost more than it is allowed to.
        """
        with self.keeping_what_is_paid():
            return self._submit(request)

    @contextmanager
    def keeping_what_is_paid(self) -> Iterator[None]:
        """Leave to a retry what fails in here on a retry, see :func:`keeping_what_is_paid`."""
        with keeping_what_is_paid(self.scope.earlier_tries > 0):
            yield

    def _submit(self, request: ImageRequest) -> Submitted:
        record = self.records.read() if self.scope.earlier_tries else None
        references = References.read(request, self.storage_conn_id, record)
        scope, generation = self._scope_after(record, references), 0
        is_recorded = record is not None and self._is_for(record, scope, references)
        if record and is_recorded:
            generation = record.generation
            if record.job_id is None:
                references = references.using(record.uploads)
            else:
                job = current_job(self.hook, record.job_id)
                if not self._should_resubmit(job):
                    return _reconnected(job)
                generation += 1
        admission = check_limits(
            self.hook,
            request,
            self.max_credits,
            scope=scope,
            run_started=self.run_started,
            is_recorded=None if self.records.store is None else is_recorded,
        )
        with admission.reservation:
            if admission.reservation.limited and not is_recorded:
                # Without it the limit, used up by this very image, would refuse a retry.
                self._record(references, scope, generation, job_id=None, is_needed=True)
            return self._submit_or_reconnect(references, scope, generation, admission)

    def _submit_or_reconnect(
        self, references: References, scope: IdempotencyScope, generation: int, admission: Admission
    ) -> Submitted:
        """Go through the generations, from *generation* on, to the one that counts."""
        newest = newest_job(self.hook) if scope.earlier_tries else None
        while True:
            may_be_earlier = generation < scope.earlier_tries
            if not may_be_earlier:
                admission.check_new()
            job = self._submit_generation(references, scope, generation)
            # A job that is finished when it is accepted was there before: an earlier try's, or that
            # of a run with the same id, which was deleted and made again.
            was_terminal = job.is_terminal
            if was_terminal or may_be_earlier:
                job = current_job(self.hook, job.id)
            if not may_be_earlier or self._was_made_now(job, newest):
                break
            if not self._should_resubmit(job):
                break
            generation += 1
            references = references.using({})  # the job may have failed because they expired
        if was_terminal or (newest and job.created and job.created <= newest):
            return _reconnected(job)
        admission.reservation.accepted(job.id)
        model = references.request.model
        log.info("Apiframe accepted job %s (%s) for model %s", job.id, job.status, model)
        return Submitted(job, reused=False)

    def _submit_generation(
        self, references: References, scope: IdempotencyScope, generation: int
    ) -> Job:
        try:
            return self._upload_and_post(references, scope, generation)
        except InvalidRequestError as error:
            if not references.uploads:
                raise
            log.warning("Uploading the input images anew, for those of an earlier try: %s", error)
            return self._upload_and_post(references.using({}), scope, generation)

    def _upload_and_post(
        self, references: References, scope: IdempotencyScope, generation: int
    ) -> Job:
        ready = references.uploaded(self.hook)
        if ready.uploads:
            self._record(ready, scope, generation, job_id=None)
        try:
            accepted = self.hook.submit(ready.sent, scope.key(references.hashed, generation))
            job = Job(id=accepted.job_id, status=accepted.status)
        except ConflictError as error:
            if not ready.uploads:
                raise
            job = self._job_of_other_uploads(ready, error)
        self._record(references.using({}), scope, generation, job.id)
        return job

    def _job_of_other_uploads(self, references: References, conflict: ConflictError) -> Job:
        """Return the job that an earlier try made under the key from other uploads of the files.

        :raises ConflictError: it cannot be found, or not be told from another one.
        """
        # Clearing a task starts its run anew, and one that keeps its image wants that from before.
        since = datetime.now(UTC) - KEY_WINDOW if self.reuse_across_clears else self.run_started
        earlier = self.scope.earlier_tries
        job = find_submitted(self.hook, references, since) if earlier else None
        if job is None:
            raise conflict.adding(
                "That may be the job of an earlier try, which uploaded the same input images to "
                "other URLs; no one job could be proven to be it. ApiframeJobSensor collects it by "
                "its id; clearing this task pays for a new image."
            )
        return job

    def _scope_after(
        self, record: SubmissionRecord | None, references: References
    ) -> IdempotencyScope:
        """Return this try's scope, told apart from the recorded one of the same number."""
        scope = self.scope.following(record)
        if record and self.scope.was_cleared_since(record):
            # Before anything is paid: the tries after this one cannot tell any more.
            self._record(references, scope, generation=0, job_id=None)
        return scope

    def _was_made_now(self, job: Job, newest: datetime | None) -> bool:
        """Return whether it is proven that this try made a failed job, so the next one goes on.

        :param newest: when the newest job that the list showed before was created.
        """
        is_newer = newest is not None and job.created is not None and job.created > newest
        # A list that leaves jobs out proves nothing.
        return job.is_failed and is_newer and is_listed(self.hook, job.id)

    def _should_resubmit(self, job: Job) -> bool:
        """Return whether a new job takes the place of a failed one, which may succeed now."""
        if not job.is_failed:
            return False
        if not (classify_failure(job.error).transient or self.reuse_across_clears):
            return False
        log.info("Job %s of an earlier try is %s; submitting a new one", job.id, job.status)
        return True

    def _is_for(
        self, record: SubmissionRecord, scope: IdempotencyScope, references: References
    ) -> bool:
        """Return whether the recorded submit is the one that this try wants."""
        same_scope = (record.scope, record.clear_number) == (scope.number, scope.clear_number)
        same_request = record.fingerprint == fingerprint(references.hashed)
        if record.job_id is None:
            return same_scope and same_request
        if not same_scope and not self.reuse_across_clears:
            log.info(
                "Cleared since job %s: this is a new image, and paid for. "
                "regenerate_on_clear=False keeps one",
                record.job_id,
            )
            return False
        if not same_request:
            log.warning(
                "Another request than the one of job %s, which an earlier try submitted: this may "
                "pay for another image. A template that gives another value on each try (a random "
                "number, the time) does that, so does a change of the DAG or of an input image",
                record.job_id,
            )
        return same_request

    def _record(
        self,
        references: References,
        scope: IdempotencyScope,
        generation: int,
        job_id: str | None,
        *,
        is_needed: bool = False,
    ) -> None:
        record = SubmissionRecord(
            job_id=job_id,
            fingerprint=fingerprint(references.hashed),
            scope=scope.number,
            clear_number=scope.clear_number,
            run_clear_number=scope.run_clear_number,
            generation=generation,
            file_hashes=hashes_by_path(references.hashes),
            uploads=dict(references.uploads),
        )
        write = self.records.write_before_submit if is_needed else self.records.write
        write(record)


def _reconnected(job: Job) -> Submitted:
    log.info(
        "This try reconnected to job %s of an earlier try, nothing paid; it is %s",
        job.id,
        job.status,
    )
    return Submitted(job, reused=True)
