"""What becomes of a manifest's line when its job has ended, and when its images are saved."""

from __future__ import annotations

import logging
from itertools import accumulate

from airflow_provider_apiframe.api.errors import UnexpectedResponseError
from airflow_provider_apiframe.api.job_failures import classify_failure
from airflow_provider_apiframe.api.models import Job
from airflow_provider_apiframe.api.settings import without_keys
from airflow_provider_apiframe.delivery.manifest import ManifestLine
from airflow_provider_apiframe.delivery.result import ImageResult

log = logging.getLogger(__name__)

MAX_ERROR_CHARACTERS = 1000
MAX_NAME_CHARACTERS = 200
"""Of a model and of a status, which the API may make as long as a response."""

MAX_LINK_CHARACTERS = 32_000
"""Of all links of a job: a wave has a thousand jobs, and what comes of them is one event."""

FAILED = ("FAILED", "CANCELLED")
TERMINAL = ("COMPLETED", *FAILED)


def polled(line: ManifestLine, job: Job) -> ManifestLine:
    """Return a line whose job ended; or was given up by this try, then the job has an error."""
    error = problem_of(job)
    return line.model_copy(
        update={
            "status": job.status[:MAX_NAME_CHARACTERS],
            "error": error_text(error) if error else None,
            "image_urls": links_of(job),
            "credit_cost": job.credit_cost,
            "model": (job.model or line.model)[:MAX_NAME_CHARACTERS],
        }
    )


def saved(line: ManifestLine, images: list[ImageResult]) -> ManifestLine:
    """Return a line whose images are saved."""
    return line.model_copy(update={"images": images, "error": None})


def not_saved(line: ManifestLine, error: Exception) -> ManifestLine:
    """Return a line whose images are made, and could not be saved."""
    return line.model_copy(update={"error": error_text(error)})


def expired(line: ManifestLine, error: Exception) -> ManifestLine:
    """Return a line whose images the vendor has deleted."""
    return line.model_copy(update={"error": error_text(error), "image_urls": []})


def failed_for_now(line: ManifestLine) -> bool:
    """Return whether a line's job ended without an image for a reason that passes."""
    if line.status == "CANCELLED":
        return True
    return line.status == "FAILED" and classify_failure(line.error).transient


def is_saved(line: ManifestLine) -> bool:
    """Return whether all is done: the images are made and saved."""
    return bool(line.images) and line.error is None


def awaits_saving(line: ManifestLine) -> bool:
    """Return whether the images are made, and could not be saved by this try."""
    return line.status == "COMPLETED" and bool(line.image_urls) and not is_saved(line)


def is_unfinished(line: ManifestLine) -> bool:
    """Return whether a line has a job that goes on."""
    return line.job_id is not None and line.status not in TERMINAL


def links_of(job: Job) -> list[str]:
    """Return the links to a job's images, as many as a line keeps."""
    lengths = accumulate(map(len, job.image_urls))
    links = [
        link
        for link, length in zip(job.image_urls, lengths, strict=True)
        if length <= MAX_LINK_CHARACTERS
    ]
    if len(links) < len(job.image_urls):
        log.warning(
            "Job %s has %d links of more than %d characters; the first %d are kept",
            job.id,
            len(job.image_urls),
            MAX_LINK_CHARACTERS,
            len(links),
        )
    return links


def problem_of(job: Job) -> str | None:
    """Return why a job gave no image, None where it did, whatever it says besides.

    The vendor's own text: whether a new job may succeed is read from it.
    """
    if job.status == "COMPLETED" and links_of(job):
        return None
    if job.status == "FAILED" and not job.error:
        return "the API gave no reason"
    if job.status == "COMPLETED" and not job.error:
        try:
            job.raise_for_status()
        except UnexpectedResponseError as error:
            return str(error)  # it keeps the raw result, which was paid for
        return f"its links have more than {MAX_LINK_CHARACTERS:,} characters"
    return job.error


def error_text(error: object) -> str:
    """Return what a line keeps of an error: 1,000 characters at most, without keys."""
    return without_keys(str(error))[:MAX_ERROR_CHARACTERS] or type(error).__name__
