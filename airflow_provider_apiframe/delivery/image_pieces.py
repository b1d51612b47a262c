"""What PNG, JPEG and WebP files are made of, read from their bytes; no pixel is decoded.

A file is a row of pieces: chunks in PNG and WebP, segments in JPEG. Nothing that a file says about
lengths is believed before it is compared with the file's own size, and only small parts of it are
in memory at any time.
"""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import BinaryIO, ClassVar, NamedTuple

from airflow_provider_apiframe.api.body import PIECE_BYTES
from airflow_provider_apiframe.api.errors import BrokenImageError

MAX_PIECES = 100_000
"""A PNG of 100 MB in the 8 KiB chunks that encoders write has 12,800."""

Size = tuple[int, int]


class Piece(NamedTuple):
    """One piece of a file, as positions in bytes from the file's beginning.

    :param kind: type of the PNG or WebP chunk (4 bytes), or the JPEG marker's second byte.
    :param start: where it begins, its header included.
    :param content: where its content begins.
    :param length: how many bytes of content its header announces.
    :param end: where the next piece begins. Checksum, padding and, after a JPEG's start of scan,
        the coded pixels are part of a piece.
    """

    kind: bytes
    start: int
    content: int
    length: int
    end: int


class ImageStructure(ABC):
    """An image file as a row of pieces.

    :param file: seekable, opened for reading bytes.
    :cvar content_type: of the format, e.g. "image/png".
    """

    content_type: ClassVar[str]

    def __init__(self, file: BinaryIO) -> None:
        self.file = file
        self.file_size = file.seek(0, os.SEEK_END)

    def pieces(self) -> Iterator[Piece]:
        """Yield the pieces in their order; bytes behind the image's end are none of them.

        :raises BrokenImageError: a piece reaches over the end of the file, or there are too many.
        """
        for count, piece in enumerate(self._walk(), start=1):
            if piece.end > self.file_size:
                raise BrokenImageError(
                    f"The image is cut short: {piece.kind!r} at byte {piece.start} reaches to byte "
                    f"{piece.end}, the file has {self.file_size}"
                )
            if count > MAX_PIECES:
                raise BrokenImageError(f"The image has more than {MAX_PIECES:,} chunks or segments")
            yield piece

    def content(self, piece: Piece, limit: int) -> bytes:
        """Return the first *limit* bytes of a piece's content, or all if it has fewer."""
        return self._read(piece.content, min(piece.length, limit))

    def copy(self, start: int, end: int) -> Iterator[bytes]:
        """Yield the bytes of the file from *start* to *end*, 64 KiB at a time."""
        while start < end:
            data = self._read(start, min(PIECE_BYTES, end - start))
            yield data
            start += len(data)

    def _read(self, start: int, length: int) -> bytes:
        self.file.seek(start)
        data = self.file.read(length)
        if len(data) < length:
            raise BrokenImageError(f"The image is cut short after {self.file_size} bytes")
        return data

    @abstractmethod
    def _walk(self) -> Iterator[Piece]:
        """Yield the pieces. ``pieces`` checks each end before it asks for the next."""

    @abstractmethod
    def size_in(self, piece: Piece) -> Size | None:
        """Return the width and height in pixels, if this piece says them."""

    @abstractmethod
    def is_xmp(self, piece: Piece) -> bool:
        """Return whether the piece is an XMP packet."""

    @abstractmethod
    def xmp_packet(self, piece: Piece) -> bytes | None:
        """Return the packet in an XMP piece, None where it is too large or cannot be read."""

    @abstractmethod
    def is_credentials(self, piece: Piece) -> bool:
        """Return whether the piece holds content credentials (C2PA)."""

    @abstractmethod
    def holds_pixels(self, piece: Piece) -> bool:
        """Return whether the pixels depend on the piece, metadata and colour profiles aside."""
