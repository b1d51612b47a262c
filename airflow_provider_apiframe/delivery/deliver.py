"""A finished job becomes the task's result: the one way for operators and sensors.

Whatever happens to the images once they exist (storing and marking them, telling Airflow of them)
happens here.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from airflow_provider_apiframe.api.errors import ApiframeError
from airflow_provider_apiframe.api.models import Job
from airflow_provider_apiframe.api.redirects import without_secrets
from airflow_provider_apiframe.delivery.result import ImageJobResult, build_result
from airflow_provider_apiframe.delivery.storage import ImageNotSavedError, ImageStorage

log = logging.getLogger(__name__)


def deliver(
    job: Job,
    *,
    prompt: str | None = None,
    model: str | None = None,
    reused: bool = False,
    storage: ImageStorage | None = None,
) -> ImageJobResult:
    """Return the XCom value of a finished job, its images saved.

    :param prompt: as in :func:`build_result`, and so are *model* and *reused*.
    :param storage: where the images are saved; None hands on the vendor's links only.
    :raises JobFailedError, JobCancelledError: it ended without an image.
    :raises UnexpectedResponseError: COMPLETED without a recognisable link.
    :raises ImageNotSavedError, ImagesExpiredError: as :meth:`.ImageStorage.save`.
    """
    job.raise_for_status()
    if job.expired and storage is None:
        log.warning("The images of job %s have expired; their links may be dead", job.id)
    made = ", ".join(map(without_secrets, job.image_urls))
    log.info("Job %s made %s for %s credits", job.id, made, job.credit_cost)
    images = None
    if storage:
        with saved_by_a_retry(job):
            storage.reach()
        images = storage.save(job, model)
    return build_result(job, prompt=prompt, model=model, reused=reused, images=images)


@contextmanager
def saved_by_a_retry(job: Job) -> Iterator[None]:
    """Leave to a retry what keeps the images of a paid job from being saved.

    :raises ImageNotSavedError: for any ApiframeError.
    """
    try:
        yield
    except ApiframeError as error:
        raise ImageNotSavedError(
            f"The images were not saved: {error}. They are paid: a retry only saves them",
            job_id=job.id,
        ) from error
