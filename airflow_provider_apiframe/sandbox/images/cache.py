"""The images of jobs, drawn when they are first asked for and kept for a while."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, replace
from threading import Lock, Semaphore

from airflow_provider_apiframe.sandbox.images.poster import Poster, render
from airflow_provider_apiframe.sandbox.state.jobs import Job
from airflow_provider_apiframe.sandbox.state.uploads import Upload

KEPT = 64  # images
AT_ONCE = 2  # images drawn at the same time: a 4 MP one takes about 100 MB while it is drawn

CONTENT_TYPES = {"png": "image/png", "jpg": "image/jpeg", "webp": "image/webp"}


@dataclass(frozen=True, slots=True)
class ImageFile:
    """An image file and its media type."""

    data: bytes
    content_type: str


class ImageCache:
    """Draws images and keeps the last of them. Safe across threads."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._drawing = Semaphore(AT_ONCE)
        self._images: OrderedDict[tuple[str, int], ImageFile] = OrderedDict()

    def image(self, job: Job, number: int = 1) -> ImageFile:
        """Return an image of a completed job, by its number from 1."""
        key = job.id, number
        if image := self._find(key):
            return image
        picture = self._picture(job.source)  # may need a place to draw of its own
        with self._drawing:
            # Another thread may have drawn it meanwhile.
            image = self._find(key)
            if image is None:
                poster = replace(poster_of(job, number), picture=picture)
                image = ImageFile(render(poster), CONTENT_TYPES[poster.format])
        with self._lock:
            self._images[key] = image
            while len(self._images) > KEPT:
                self._images.popitem(last=False)
        return image

    def _picture(self, source: Upload | Job | None) -> bytes | None:
        if isinstance(source, Job):
            return self.image(source).data
        return source.preview if source else None

    def _find(self, key: tuple[str, int]) -> ImageFile | None:
        with self._lock:
            if key in self._images:
                self._images.move_to_end(key)
            return self._images.get(key)


def poster_of(job: Job, number: int = 1) -> Poster:
    """Return what is drawn for an image of a job, by its number from 1."""
    params = job.params
    notes = [f"{name} {params[name]}" for name in ("steps", "guidance") if name in params]
    if job.images > 1:
        notes.append(f"image {number} of {job.images}")
    width, height = job.size
    return Poster(
        prompt=job.input["prompt"],
        model=job.model,
        width=width,
        height=height,
        format=params.get("output_format", "png"),
        quality=params.get("output_quality"),
        seed=params.get("seed"),
        notes=tuple(notes),
        number=number,
    )
