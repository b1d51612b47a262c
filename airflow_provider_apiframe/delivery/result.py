"""The value that goes to XCom: small, JSON, the same from operator and sensor."""

from __future__ import annotations

# Not typing's: below Python 3.12 pydantic cannot check it, and the lines of a manifest hold it.
from typing_extensions import TypedDict

from airflow_provider_apiframe.api.models import Job


class ImageResult(TypedDict):
    """One image. All but ``url`` say what was stored, and are None without ``save_to``.

    ``url`` is the vendor's link, which dies; ``uri`` is where the image was saved. ``bytes`` and
    ``sha256`` (hex) are of the stored file, ``width`` and ``height`` in pixels.
    """

    url: str
    uri: str | None
    content_type: str | None
    bytes: int | None
    width: int | None
    height: int | None
    sha256: str | None


class ImageJobResult(TypedDict):
    """What ``FluxGenerateOperator`` and ``ApiframeJobSensor`` return.

    ``prompt`` is the one that was sent, None where neither the task nor the API knows it.
    ``credit_cost`` is in credits, None when the API did not say. Times are ISO 8601 text.
    ``reused`` says that an earlier try had submitted the job, so that this one paid nothing.
    """

    job_id: str
    model: str | None
    status: str
    prompt: str | None
    image_urls: list[str]
    images: list[ImageResult]
    credit_cost: float | int | None
    created_at: str | None
    completed_at: str | None
    reused: bool


def build_result(
    job: Job,
    *,
    prompt: str | None = None,
    model: str | None = None,
    reused: bool = False,
    images: list[ImageResult] | None = None,
) -> ImageJobResult:
    """Return the XCom value of a job, finished or not.

    :param prompt: the rendered prompt, in case the response does not say what was sent. A template
        that gives another text each time has given one again when a task resumes.
    :param model: the model that was asked for, in case the response does not name it.
    :param reused: whether an earlier try had submitted the job.
    :param images: what was stored; None where nothing was.
    """
    return ImageJobResult(
        job_id=job.id,
        model=job.model or model,
        status=job.status,
        prompt=job.prompt or prompt,
        image_urls=job.image_urls,
        images=images or [_not_stored(url) for url in job.image_urls],
        credit_cost=job.credit_cost,
        created_at=job.created_at,
        completed_at=job.completed_at,
        reused=reused,
    )


def _not_stored(url: str) -> ImageResult:
    return ImageResult(
        url=url, uri=None, content_type=None, bytes=None, width=None, height=None, sha256=None
    )
