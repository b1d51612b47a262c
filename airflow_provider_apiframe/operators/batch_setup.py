"""What a try of a batch operator works with: the requests, the manifest, the storage, the limits.

All is read and checked here, before anything is paid.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Any

from airflow_provider_apiframe.api.errors import ApiframeError, InvalidRequestError
from airflow_provider_apiframe.api.models import Job
from airflow_provider_apiframe.delivery.batch_lines import FAILED
from airflow_provider_apiframe.delivery.manifest import (
    ManifestFile,
    ManifestLine,
    manifest_uri,
)
from airflow_provider_apiframe.delivery.metrics import report_credits
from airflow_provider_apiframe.delivery.naming import SaveTo, placeholder_values
from airflow_provider_apiframe.delivery.storage import ImageStorage
from airflow_provider_apiframe.operators.batch_arguments import (
    check_batch_save_to,
    check_enough_requests,
)
from airflow_provider_apiframe.submission.batch import BatchSubmission
from airflow_provider_apiframe.submission.batch_files import BatchFiles
from airflow_provider_apiframe.submission.batch_limits import BatchLimits
from airflow_provider_apiframe.submission.batch_plan import Batch
from airflow_provider_apiframe.submission.batch_requests import (
    BatchRequest,
    identity,
    identity_of_all,
    read_requests,
)
from airflow_provider_apiframe.submission.batch_run import MAX_WAVE, BatchRun
from airflow_provider_apiframe.submission.earlier_jobs import newest_job
from airflow_provider_apiframe.submission.idempotency import (
    KEY_WINDOW,
    IdempotencyScope,
    SubmissionRecord,
)
from airflow_provider_apiframe.submission.needed_outputs import check_needed_outputs
from airflow_provider_apiframe.submission.records import Records

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_apiframe.operators.batch import ApiframeBatchOperator

log = logging.getLogger(__name__)


class RequestsChangedError(ApiframeError):
    """Requests of a batch changed before they were submitted. Those that did not are made.

    ``transient`` is set per instance: whether a retry pays for nothing again.
    """

    def __init__(self, message: str, *, transient: bool) -> None:
        super().__init__(message)
        self.transient = transient


def scope_of(task: ApiframeBatchOperator, context: Context) -> IdempotencyScope:
    """Return the scope that a running task instance belongs to."""
    return IdempotencyScope.of(
        context, retries=task.retries or 0, regenerate_on_clear=task.regenerate_on_clear
    )


def prepare(
    task: ApiframeBatchOperator,
    context: Context,
    scope: IdempotencyScope,
    carried: Mapping[str, Any] | None = None,
) -> BatchRun:
    """Return the way through the batch, for a try that begins or resumes.

    :param scope: of the try, see :func:`scope_of`.
    :param carried: what a try that resumes carried over, None for one that begins.
    :raises ApiframeError: an argument, a request, a file or the storage cannot be used. Where
        something is paid already, that is left to the end, see :attr:`.BatchRun.unreadable`.
    """
    check_needed_outputs(task, [names for names in task._needed_outputs if "save_to" in names])
    check_batch_save_to(task.save_to)
    storage = _storage(task, context)
    scope = _told_apart(scope, Records(context.get("task_state_store")))  # Airflow 3.3+
    manifest = _manifest(task, context, scope, carried)
    # A first try takes no manifest for its own: it is of a run with the same id that was deleted.
    may_be_ours = scope.earlier_tries > 0 or carried is not None
    known = (manifest.read() if may_be_ours else None) or {}
    unreadable: ApiframeError | None = None
    requests: dict[str, BatchRequest] = {}
    files = BatchFiles()
    begun_with = carried.get("requests") if carried else None
    try:
        wanted, files = _requests(task)
        # What was paid stays in the batch although its request is gone.
        check_enough_requests(task.min_success, len(wanted.keys() | known.keys()))
        for output_format in {each.request.output_format for each in wanted.values()}:
            storage.check(output_format)
        if carried is None:
            begun_with = identity_of_all(wanted)
        elif begun_with and known and begun_with != identity_of_all(wanted):
            wanted = {key: each for key, each in wanted.items() if key in known}
            unreadable = _changed(wanted, known)
        requests = wanted
    except ApiframeError as error:
        if not any(line.job_id for line in known.values()):
            raise
        log.warning("What is paid is collected before this fails the task: %s", error)
        unreadable = error
    batch = Batch.of(
        requests, known, earlier_tries=scope.earlier_tries, resumes=carried is not None
    )
    newest_before: datetime | None = None
    if carried is None:
        batch, newest_before = batch.afresh(), newest_job(task.hook)
        # Jobs that go on are counted when they have ended.
        reused = sum(bool(line.image_urls) for line in known.values())
    else:
        reused = int(carried.get("reused") or 0)
        with suppress(ValueError):
            newest_before = datetime.fromisoformat(str(carried.get("newest_before")))
    run_started = getattr(context.get("dag_run"), "start_date", None)
    since = run_started
    if scope.run_clear_number and not task.regenerate_on_clear:
        # Clearing a task starts its run anew, and this one wants the images from before.
        since = datetime.now(UTC) - KEY_WINDOW
    return BatchRun(
        batch=batch,
        submission=BatchSubmission(task.hook, scope, files, since),
        limits=BatchLimits(task.hook, task.max_credits, run_started),
        manifest=manifest,
        storage=storage,
        wave_size=min(task.max_active or MAX_WAVE, MAX_WAVE),
        newest_before=newest_before,
        reused=reused,
        unreadable=unreadable,
        is_unsure=bool(scope.earlier_tries > 0 if carried is None else carried.get("unsure")),
        unheard=scope.earlier_tries > 0 or bool(carried and carried.get("unheard")),
        begun_with=begun_with,
        on_saved=partial(_count, task, context),
    )


def _storage(task: ApiframeBatchOperator, context: Context) -> ImageStorage:
    storage = ImageStorage.of(
        context,
        task.hook,
        task.save_to,
        conn_id=task.save_conn_id,
        provenance=task.provenance,
    )
    assert storage is not None, "save_to was checked"
    return storage


def _told_apart(scope: IdempotencyScope, records: Records) -> IdempotencyScope:
    """Return the scope, told apart from the recorded one; record it where it begins."""
    record = records.read()
    begins = record is None or record.scope != scope.number or scope.was_cleared_since(record)
    scope = scope.following(record)
    if begins:  # before anything is paid: the tries after this one cannot tell any more
        records.write(
            SubmissionRecord(
                job_id=None,
                fingerprint="",
                scope=scope.number,
                clear_number=scope.clear_number,
                run_clear_number=scope.run_clear_number,
                generation=0,
            )
        )
    return scope


def _manifest(
    task: ApiframeBatchOperator,
    context: Context,
    scope: IdempotencyScope,
    carried: Mapping[str, Any] | None,
) -> ManifestFile:
    if carried and carried.get("manifest"):  # save_to may be rendered to another place
        return ManifestFile(str(carried["manifest"]), task.save_conn_id)
    of_scope = json.dumps([*scope.identity, scope.number, scope.clear_number])
    place = manifest_uri(SaveTo.parse(task.save_to), placeholder_values(context), of_scope)
    return ManifestFile(place, task.save_conn_id)


def _changed(
    requests: Mapping[str, BatchRequest], known: Mapping[str, ManifestLine]
) -> RequestsChangedError | None:
    """Return what to raise, when all else is done, for requests that changed while a try ran.

    :param requests: those that did not change.
    :param known: what the try began with.
    """
    log.warning(
        "The requests are not those that this try began with. A template that gives another value "
        "each time (a random number, the time) does that, so does a change of the DAG or of a "
        "file. It goes on with those that it began with."
    )
    gone = [line for key, line in known.items() if key not in requests]
    unsubmitted = [line for line in gone if line.job_id is None and line.error is None]
    if not unsubmitted:
        return None
    is_paid = any(line.job_id and line.status not in FAILED for line in gone)
    return RequestsChangedError(
        f"{len(unsubmitted):,} of the {len(known):,} requests that this try began with changed "
        "before they were submitted: a task that was deferred renders its arguments, and reads "
        "its files, anew. Nothing was submitted for them. A random number or the time belongs "
        "into a task before this one, which makes the list of requests.",
        transient=not is_paid,  # a retry would pay for those again
    )


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
    requests: dict[str, BatchRequest] = {}
    for wanted in found:
        first = requests.setdefault(identity(files.hashed(wanted.request), wanted.id), wanted)
        if first is not wanted:
            raise InvalidRequestError(
                f"requests: {wanted.place} is the same request as {first.place}: the names of "
                "their input images differ, and the content is the same. Nothing was submitted "
                "for them; give one another seed, or both an id, if they are meant"
            )
    return requests, files


def _count(task: ApiframeBatchOperator, context: Context, lines: Sequence[ManifestLine]) -> None:
    """Count what the images cost that were saved just now, each once."""
    ti = context["ti"]
    for line in lines:
        job = Job(
            id=line.job_id or "",
            status=line.status,
            model=line.model,
            credit_cost=line.credit_cost,
        )
        report_credits(job, dag_id=ti.dag_id, task_id=ti.task_id)
