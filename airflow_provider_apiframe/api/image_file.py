"""A file that is to be uploaded, read whole and checked before anything is sent."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import IO

from airflow_provider_apiframe.api.body import PIECE_BYTES
from airflow_provider_apiframe.api.errors import InvalidRequestError
from airflow_provider_apiframe.api.image_format import HEAD_BYTES, image_type

MAX_UPLOAD_BYTES = 25 * 1024 * 1024
"""OpenAPI ``/v2/uploads``: "max 25 MB image"."""

MAX_INLINE_CHARACTERS = 12_000_000
"""OpenAPI MidjourneyActionRequest, ``mask``: of base64, so 9 MB of an image."""

_GIFS = (b"GIF87a", b"GIF89a")


@dataclass(frozen=True)
class ImageFile:
    """An image that the API takes as an upload. Made with :meth:`read`.

    :param name: what error texts call it: its path, or what was opened.
    :param content: its bytes, 25 MB at most.
    :param content_type: by its first bytes: PNG, JPEG, WebP or GIF.
    :param extension: of files of its type, e.g. "png".
    """

    name: str
    content: bytes = field(repr=False)
    content_type: str
    extension: str

    @classmethod
    def read(cls, file: IO[bytes], name: str) -> ImageFile:
        """Read an open binary file from where it stands, never more than 25 MB of it.

        :raises InvalidRequestError: it is too large, or no image of these types. Nothing was sent.
        """
        content = b"".join(_pieces(file, name, MAX_UPLOAD_BYTES + 1))
        if len(content) > MAX_UPLOAD_BYTES:
            raise InvalidRequestError(
                f"{name} has more than {MAX_UPLOAD_BYTES // 1024**2} MB, the most that Apiframe "
                "takes as an input image. Nothing was submitted. Make it smaller, or name it by an "
                "https URL."
            )
        head = content[:HEAD_BYTES]
        kind = ("image/gif", "gif") if head.startswith(_GIFS) else image_type(head)
        if kind is None:
            found = f"begins with {head!r}" if content else "is empty"
            raise InvalidRequestError(
                f"{name} {found}: it is no PNG, JPEG, WebP or GIF, and only such images can be "
                "input images. Nothing was submitted."
            )
        return cls(name, content, *kind)

    @cached_property
    def sha256(self) -> str:
        """Of its bytes, in hex."""
        return hashlib.sha256(self.content).hexdigest()

    def inline(self) -> str:
        """Return its bytes as base64, for a request that has the image within.

        :raises InvalidRequestError: it is too large for that. Nothing was sent.
        """
        text = base64.b64encode(self.content).decode()
        if len(text) > MAX_INLINE_CHARACTERS:
            raise InvalidRequestError(
                f"{self.name} has {len(self.content)} bytes, and as a mask Apiframe takes at most "
                f"{MAX_INLINE_CHARACTERS // 4 * 3}. Nothing was submitted. Make it smaller: a mask "
                "needs no more than black and white."
            )
        return text

    @property
    def form_type(self) -> str:
        """The content type of :meth:`form`."""
        return f"multipart/form-data; boundary={self._boundary}"

    def form(self) -> bytes:
        """Return a form with this file as its one part, ``file``. Its own name stays here."""
        from urllib3.filepost import encode_multipart_formdata  # where DAGs are parsed, nobody asks

        part = (f"image.{self.extension}", self.content, self.content_type)
        return encode_multipart_formdata({"file": part}, boundary=self._boundary)[0]

    @property
    def _boundary(self) -> str:
        return self.sha256  # which no content holds of itself


def _pieces(file: IO[bytes], name: str, limit: int) -> Iterator[bytes]:
    while limit > 0:
        piece = file.read(min(limit, 16 * PIECE_BYTES))
        if not isinstance(piece, bytes):
            raise InvalidRequestError(
                f"{name} gives no bytes; open it in binary mode, open(.., 'rb')"
            )
        if not piece:
            return
        limit -= len(piece)
        yield piece
