"""The three formats that images come in, told by their bytes: what begins one, and what ends it."""

from __future__ import annotations

import os
from pathlib import Path

HEAD_BYTES = 12
"""How many bytes tell the format."""

TAIL_BYTES = 1024
"""How many bytes tell the end; some encoders add padding behind it."""

_PNG_END = b"IEND\xaeB`\x82"
_JPEG_END = b"\xff\xd9"


def image_type(head: bytes) -> tuple[str, str] | None:
    """Return (content type, file extension) by the first 12 bytes, None for another format."""
    if head.startswith(b"\x89PNG\r\n\x1a\n"):
        return "image/png", "png"
    if head.startswith(b"\xff\xd8\xff"):
        return "image/jpeg", "jpg"
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "image/webp", "webp"
    return None


def is_complete(content_type: str, head: bytes, tail: bytes, size: int) -> bool:
    """Return whether an image has its own end: nothing else tells where a connection broke.

    :param head: the first 12 bytes.
    :param tail: the last 1,024 bytes.
    :param size: how many bytes there are.
    """
    if content_type == "image/png":
        return _PNG_END in tail
    if content_type == "image/jpeg":
        return _JPEG_END in tail
    return size >= 8 + int.from_bytes(head[4:8], "little")  # RIFF says how long it is


def complete_image_type(path: Path) -> str | None:
    """Return the content type of a local image; None for what is no image, or not whole."""
    size = path.stat().st_size
    with path.open("rb") as file:
        head = file.read(HEAD_BYTES)
        file.seek(-min(size, TAIL_BYTES), os.SEEK_END)
        tail = file.read()
    kind = image_type(head)
    return kind[0] if kind and is_complete(kind[0], head, tail, size) else None
