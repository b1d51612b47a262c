"""The pictures of jobs, drawn when they are first asked for and kept for a while."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from threading import Lock, Semaphore

from airflow_provider_apiframe.sandbox.jobs import Job
from airflow_provider_apiframe.sandbox.pictures import Poster, render

KEPT = 64  # pictures
AT_ONCE = 2  # pictures drawn at the same time: a 4 MP one takes about 100 MB while it is drawn

CONTENT_TYPES = {"png": "image/png", "jpg": "image/jpeg", "webp": "image/webp"}


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture file and its media type."""

    data: bytes
    content_type: str


class Gallery:
    """Draws pictures and keeps the last 64. Safe across threads."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._easels = Semaphore(AT_ONCE)
        self._pictures: OrderedDict[str, Picture] = OrderedDict()

    def picture(self, job: Job) -> Picture:
        """Return the picture of a completed job."""
        return self._kept(job.id) or self._drawn(job)

    def _kept(self, job_id: str) -> Picture | None:
        with self._lock:
            if job_id in self._pictures:
                self._pictures.move_to_end(job_id)
            return self._pictures.get(job_id)

    def _drawn(self, job: Job) -> Picture:
        with self._easels:
            poster = poster_of(job)
            picture = self._kept(job.id) or Picture(render(poster), CONTENT_TYPES[poster.format])
        with self._lock:
            self._pictures[job.id] = picture
            while len(self._pictures) > KEPT:
                self._pictures.popitem(last=False)
        return picture


def poster_of(job: Job) -> Poster:
    """Return what is drawn for a job."""
    params = job.params
    width, height = job.size
    return Poster(
        prompt=job.input["prompt"],
        model=job.model,
        width=width,
        height=height,
        format=params.get("output_format", "png"),
        quality=params.get("output_quality"),
        seed=params.get("seed"),
        notes=tuple(f"{name} {params[name]}" for name in ("steps", "guidance") if name in params),
    )
