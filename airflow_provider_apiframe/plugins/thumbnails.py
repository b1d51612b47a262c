"""Small versions of images, made by Pillow and kept in memory."""

from __future__ import annotations

import threading
from collections import OrderedDict
from pathlib import Path

from airflow_provider_apiframe.delivery.resize import (
    ImageError,
    MissingLibraryError,
    read_image,
    require_pillow,
    write_image,
)

EDGE = 400
"""Pixels of the longer side at most."""

CONTENT_TYPE = "image/webp"

MAX_CACHE_BYTES = 32 * 1024 * 1024
"""Of each API server process: about 2,000 thumbnails."""

_QUALITY = 80
_MAX_DECODES = 2  # at once: an image of 64 megapixels takes 256 MB


def can_make() -> bool:
    """Return whether Pillow is installed."""
    try:
        require_pillow()
    except MissingLibraryError:
        return False
    return True


class Thumbnails:
    """Makes thumbnails, and keeps the ones that were asked for last, by their SHA-256."""

    def __init__(self, max_bytes: int = MAX_CACHE_BYTES) -> None:
        self._max_bytes = max_bytes
        self._kept: OrderedDict[str, bytes] = OrderedDict()
        self._size = 0
        self._lock = threading.Lock()
        self._decodes = threading.BoundedSemaphore(_MAX_DECODES)

    def get(self, sha256: str) -> bytes | None:
        """Return the thumbnail of an image if it is kept."""
        with self._lock:
            if sha256 in self._kept:
                self._kept.move_to_end(sha256)
            return self._kept.get(sha256)

    def make(self, sha256: str, file: Path) -> bytes | None:
        """Return the thumbnail of a local image, and keep it. It blocks.

        :returns: a WebP; None for an image that Pillow cannot decode, or that has more than 64
            megapixels.
        """
        target = file.with_name("thumbnail.webp")
        with self._decodes:
            try:
                image = read_image(file, file.name)
                width, height = image.pixels.size
                scale = min(1.0, EDGE / max(width, height))
                size = (max(1, round(width * scale)), max(1, round(height * scale)))
                write_image(
                    image,
                    target,
                    size,
                    fit="contain",
                    format="webp",
                    quality=_QUALITY,
                    background="transparent",
                    shown=target.name,
                )
            except ImageError:
                return None
        thumbnail = target.read_bytes()
        self._keep(sha256, thumbnail)
        return thumbnail

    def _keep(self, sha256: str, thumbnail: bytes) -> None:
        with self._lock:
            if sha256 in self._kept:
                return
            self._kept[sha256] = thumbnail
            self._size += len(thumbnail)
            while self._size > self._max_bytes:
                self._size -= len(self._kept.popitem(last=False)[1])
