"""What the API says of the jobs of the tries before this one."""

from __future__ import annotations

import logging
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from airflow_provider_apiframe.api.errors import ApiframeError, DownloadError, NotFoundError
from airflow_provider_apiframe.api.image_file import MAX_UPLOAD_BYTES
from airflow_provider_apiframe.api.models import Job
from airflow_provider_apiframe.submission.references import HASH_PREFIX, References

if TYPE_CHECKING:
    from airflow_provider_apiframe.api.params.request import ImageRequest
    from airflow_provider_apiframe.hooks.apiframe import ApiframeHook

log = logging.getLogger(__name__)

CLOCK_TOLERANCE = timedelta(minutes=5)
"""By how much Airflow's clock and the API's may differ."""

MAX_JOBS = 100
"""One page of the list. Which request made a job the list does not show: each is read by its id."""


def current_job(hook: ApiframeHook, job_id: str) -> Job:
    """Return the job as it is now.

    It was accepted, so nothing but its own end is final: where the API cannot say how it is,
    whoever waits for it rides that out.
    """
    try:
        return hook.get_job(job_id)
    except ApiframeError as error:
        log.warning("Job %s could not be read; waiting for it all the same: %s", job_id, error)
        return Job(id=job_id, status="UNKNOWN")


def newest_job(hook: ApiframeHook) -> datetime | None:
    """Return when the newest job was created, by the API's own clock; None where it does not say.

    What is no newer was there before this try. No payment hangs on it: only ``reused``, what the
    log says, and whether this try or the next one follows up a failed job.
    """
    try:
        jobs = hook.list_jobs(limit=1).jobs
    except ApiframeError as error:
        log.warning(
            "The list of jobs cannot be read, so reused may be false for a job of an earlier try: "
            "%s",
            error,
        )
        return None
    return jobs[0].created if jobs else datetime.min.replace(tzinfo=UTC)


def is_listed(hook: ApiframeHook, job_id: str) -> bool:
    """Return whether the list of jobs shows a job that was made just now."""
    try:
        return job_id in {job.id for job in hook.list_jobs(limit=MAX_JOBS).jobs}
    except ApiframeError as error:
        log.warning("The list of jobs cannot be read: %s", error)
        return False


def may_have_submitted(
    hook: ApiframeHook, request: ImageRequest, run_started: datetime | None
) -> bool:
    """Return whether there is a job that an earlier try of the run may have made.

    A job of another model or with another prompt is none.
    """
    if run_started is None:
        return True
    try:
        jobs, is_whole = jobs_since(hook, request.model, run_started)
        return any(_may_be_of(hook, job, request) for job in jobs) or not is_whole
    except ApiframeError:
        return True  # nobody can say that there is none


def _may_be_of(hook: ApiframeHook, job: Job, request: ImageRequest) -> bool:
    if request.prompt is None:
        return True
    made_from = hook.get_job(job.id).prompt  # the list leaves it out
    return made_from is None or made_from.strip() == request.prompt.strip()


def find_submitted(
    hook: ApiframeHook, references: References, since: datetime | None
) -> Job | None:
    """Return the job that an earlier try made from the same request and the same files.

    The uploads' URLs differ from try to try, so a job is ours when its input is this request but
    for the images, and each of its images is the same, byte for byte.

    :param since: when the earliest of these tries may have begun, None where that is not known.
    :returns: the job as it is now; a failed one only where no other can be ours. None where none is
        proven to be ours, or more than one: identical requests of one run cannot be told apart.
    :raises ApiframeError: the API or an image is away just now.
    """
    if since is None:
        return None
    listed, is_whole = jobs_since(hook, references.request.model, since)
    proven = (_proven(hook, job.id, references) for job in listed)
    found = [job for job in proven if job]
    alive = [job for job in found if not job.is_failed]
    if alive:
        return alive[0] if len(alive) == 1 else None
    return found[0] if found and is_whole else None


def jobs_since(hook: ApiframeHook, model: str, moment: datetime) -> tuple[list[Job], bool]:
    """Return the jobs since *moment*, newest first, and whether these are all."""
    page = hook.list_jobs(limit=MAX_JOBS, model=model)
    since = moment - CLOCK_TOLERANCE
    jobs = [job for job in page.jobs if job.created is None or job.created >= since]
    is_last = page.next_cursor is None and not page.has_more
    return jobs, is_last or len(jobs) < len(page.jobs)


def _proven(hook: ApiframeHook, job_id: str, references: References) -> Job | None:
    try:
        job = hook.get_job(job_id)
    except NotFoundError:
        return None
    pairs = references.hashed.paired_images(job.input)
    same = pairs is not None and all(_is_same(hook, ours, theirs) for ours, theirs in pairs)
    return job if same else None


def _is_same(hook: ApiframeHook, ours: str, theirs: str) -> bool:
    """Return whether a job's input image is *ours*: the same URL, or the same content."""
    sha256 = ours.removeprefix(HASH_PREFIX)
    if sha256 == ours:
        return ours == theirs
    try:
        return hook.client.content_sha256(theirs, max_bytes=MAX_UPLOAD_BYTES) == sha256
    except DownloadError as error:
        if error.transient:
            raise
        log.warning("An input image of an earlier job cannot be compared: %s", error)
        return False
