"""Uploaded files: what they are by their bytes, and how long they can be fetched."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from threading import Lock
from typing import Literal
from uuid import uuid4

from PIL import Image

from airflow_provider_apiframe.sandbox.faults import Faults
from airflow_provider_apiframe.sandbox.state.image_size import Size

Kind = Literal["image", "video", "audio"]

FOLDER = "uploads"  # of the URLs
MEGABYTE = 1024 * 1024
LARGEST: Mapping[Kind, int] = {
    "image": 25 * MEGABYTE,
    "audio": 25 * MEGABYTE,
    "video": 50 * MEGABYTE,
}
PREVIEW = 512  # pixels of a preview's longer side

# What begins a file (from the offset on) -> its kind, content type and extension.
SIGNATURES: tuple[tuple[int, bytes, Kind, str, str], ...] = (
    (0, b"\x89PNG\r\n\x1a\n", "image", "image/png", "png"),
    (0, b"\xff\xd8\xff", "image", "image/jpeg", "jpg"),
    (8, b"WEBP", "image", "image/webp", "webp"),
    (0, b"GIF8", "image", "image/gif", "gif"),
    (4, b"ftypM4A", "audio", "audio/mp4", "m4a"),
    (4, b"ftypqt", "video", "video/quicktime", "mov"),
    (4, b"ftyp", "video", "video/mp4", "mp4"),
    (0, b"\x1a\x45\xdf\xa3", "video", "video/webm", "webm"),
    (0, b"ID3", "audio", "audio/mpeg", "mp3"),
    (0, b"\xff\xfb", "audio", "audio/mpeg", "mp3"),
    (8, b"WAVE", "audio", "audio/wav", "wav"),
    (0, b"OggS", "audio", "audio/ogg", "ogg"),
)


class UploadRefused(Exception):
    """A file that the API would not take; the text says why."""


@dataclass(frozen=True, slots=True)
class Upload:
    """One uploaded file.

    :param expires_at: epoch seconds.
    :param size: width and height in pixels, None where it is no image that can be read.
    :param preview: a small JPEG of an image, None where it cannot be read.
    """

    id: str
    kind: Kind
    content_type: str
    name: str
    content: bytes = field(repr=False)
    expires_at: float
    size: Size | None
    preview: bytes | None = field(repr=False)


class Uploads:
    """The uploaded files that can still be fetched. Safe across threads.

    :param faults: has the settings in force.
    :param clock: gives epoch seconds.
    :ivar count: how many were uploaded.
    """

    def __init__(self, faults: Faults, clock: Callable[[], float]) -> None:
        self.count = 0
        self._faults = faults
        self._clock = clock
        self._lock = Lock()
        self._by_name: dict[str, Upload] = {}

    def add(self, content: bytes) -> Upload:
        """Keep a file until it expires.

        :raises UploadRefused: it is of no known type, or too large for its kind.
        """
        kind, content_type, extension = _type_of(content)
        if len(content) > LARGEST[kind]:
            raise UploadRefused(f"File too large: max {LARGEST[kind] // MEGABYTE} MB for {kind}")
        upload_id, now = str(uuid4()), self._clock()
        size, preview = _picture_of(content) if kind == "image" else (None, None)
        upload = Upload(
            id=upload_id,
            kind=kind,
            content_type=content_type,
            name=f"{upload_id}.{extension}",
            content=content,
            expires_at=now + self._faults.settings.upload_retention,
            size=size,
            preview=preview,
        )
        with self._lock:
            # The oldest come first; `find` leaves out those behind one that is kept for longer.
            while (
                self._by_name and (oldest := next(iter(self._by_name.values()))).expires_at <= now
            ):
                del self._by_name[oldest.name]
            self._by_name[upload.name] = upload
            self.count += 1
        return upload

    def find(self, name: str) -> Upload | None:
        """Return the file of this name; None if there is none, or no longer."""
        upload = self._by_name.get(name)
        return upload if upload and upload.expires_at > self._clock() else None


def _type_of(content: bytes) -> tuple[Kind, str, str]:
    for offset, signature, kind, content_type, extension in SIGNATURES:
        if content.startswith(signature, offset):
            return kind, content_type, extension
    raise UploadRefused("Unsupported file type" if content else "File is empty")


def _picture_of(content: bytes) -> tuple[Size | None, bytes | None]:
    file = io.BytesIO()
    try:
        with Image.open(io.BytesIO(content)) as image:
            size = image.size
            image.thumbnail((PREVIEW, PREVIEW))
            image.convert("RGB").save(file, "JPEG")
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        return None, None  # what only begins like an image is taken all the same
    return size, file.getvalue()
