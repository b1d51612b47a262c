"""The images of jobs, drawn when they are first asked for and kept for a while."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, replace
from threading import Lock, Semaphore

from PIL import Image

from airflow_provider_apiframe.sandbox.images.composition import cut_out, draw_in_size, grid, place
from airflow_provider_apiframe.sandbox.images.poster import Poster, encode
from airflow_provider_apiframe.sandbox.state.image_plan import ImagePlan
from airflow_provider_apiframe.sandbox.state.input_images import Input, JobImage
from airflow_provider_apiframe.sandbox.state.jobs import Job

KEPT = 64  # images
KEPT_BYTES = 256 * 1024 * 1024  # of all of them
AT_ONCE = 2  # images drawn at the same time: a 4 MP one takes about 100 MB while it is drawn

Key = tuple[str, int, bool]  # id of the job, number of the image, whether it is plain

CONTENT_TYPES = {
    "png": "image/png",
    "jpg": "image/jpeg",
    "jpeg": "image/jpeg",
    "webp": "image/webp",
}


@dataclass(frozen=True, slots=True)
class ImageFile:
    """An image file and its media type."""

    data: bytes
    content_type: str


@dataclass(frozen=True, slots=True)
class Sources:
    """The files that an image is made from; None for one that there isn't."""

    picture: bytes | None = None
    mask: bytes | None = None
    cells: tuple[bytes, ...] = ()


class ImageCache:
    """Draws images and keeps the last of them. Safe across threads.

    :param is_plain: tells whether images are drawn plain now, see `Settings`.
    """

    def __init__(self, is_plain: Callable[[], bool] = lambda: False) -> None:
        self._is_plain = is_plain
        self._lock = Lock()
        self._drawing = Semaphore(AT_ONCE)
        self._images: OrderedDict[Key, ImageFile] = OrderedDict()
        self._bytes = 0

    def image(self, job: Job, number: int = 1) -> ImageFile:
        """Return an image of a completed job, by its number from 1; 0 is the grid of all."""
        key = job.id, number, self._is_plain()
        if image := self._find(key):
            return image
        sources = self._sources(job, number)  # may need a place to draw of their own
        with self._drawing:
            # Another thread may have drawn it meanwhile.
            image = self._find(key)
            if image is None:
                quality = job.plan.params.get("output_quality")
                drawn = drawn_image(job.plan, number, sources, plain=key[2])
                data = encode(drawn, job.plan.format, quality)
                image = ImageFile(data, CONTENT_TYPES[job.plan.format])
        with self._lock:
            if key not in self._images:
                self._images[key] = image
                self._bytes += len(image.data)
            while len(self._images) > KEPT or self._bytes > KEPT_BYTES:
                _, oldest = self._images.popitem(last=False)
                self._bytes -= len(oldest.data)
        return image

    def _sources(self, job: Job, number: int) -> Sources:
        plan = job.plan
        if number == 0:
            numbers = range(1, plan.count + 1)
            return Sources(cells=tuple(self.image(job, each).data for each in numbers))
        # What only shows through need not be sharp.
        picture = self._file(plan.source, small=plan.box is None)
        return Sources(picture, self._file(plan.mask, small=False))

    def _file(self, source: Input | None, *, small: bool) -> bytes | None:
        if isinstance(source, JobImage):
            return self.image(source.job, source.number).data
        if source is None or source.size is None:
            return None
        return source.preview if small else source.content

    def _find(self, key: Key) -> ImageFile | None:
        with self._lock:
            if key in self._images:
                self._images.move_to_end(key)
            return self._images.get(key)


def drawn_image(
    plan: ImagePlan, number: int, sources: Sources, *, plain: bool = False
) -> Image.Image:
    """Return the image of a plan by its number from 1; 0 is the grid of all."""
    if number == 0:
        return grid(sources.cells, plan.size)
    shown = sources.picture if plan.box is None else None
    poster = replace(poster_of(plan, number), picture=shown, plain=plain)
    if sources.picture is None or plan.box is None:
        image = draw_in_size(poster, plan.size)
    else:
        image = place(poster, plan.size, sources.picture, plan.box, sources.mask)
    if plan.cut_out is None:
        return image
    return cut_out(image, plan.cut_out, reverse=plan.params.get("reverse", False))


def poster_of(plan: ImagePlan, number: int) -> Poster:
    """Return what is drawn for an image by its number from 1."""
    params = plan.params
    notes = [f"{name} {params[name]}" for name in ("steps", "guidance") if name in params]
    if plan.count > 1:
        notes.append(f"image {number} of {plan.count}")
    width, height = plan.size
    return Poster(
        prompt=plan.prompt,
        model=plan.model,
        width=width,
        height=height,
        format=plan.format,
        quality=params.get("output_quality"),
        seed=params.get("seed"),
        notes=tuple(notes),
        number=number,
    )
