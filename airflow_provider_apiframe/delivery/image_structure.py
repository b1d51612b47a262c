"""PNG, JPEG and WebP files: where each has its size, its pixels, its XMP and its credentials."""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from airflow_provider_apiframe.api.body import PIECE_BYTES
from airflow_provider_apiframe.api.errors import BrokenImageError
from airflow_provider_apiframe.api.image_format import HEAD_BYTES, image_type
from airflow_provider_apiframe.delivery.image_pieces import ImageStructure, Piece, Size

MAX_XMP_BYTES = 1024 * 1024
"""The largest XMP packet that is read. Without thumbnails or histories they have a few KiB."""


class PngStructure(ImageStructure):
    """Chunks of length, type, content and checksum (PNG specification, 5.3)."""

    content_type = "image/png"
    XMP_KEYWORD = b"XML:com.adobe.xmp\0"
    # fcTL and fdAT hold the further images of an animation.
    _PIXELS = frozenset({b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"fcTL", b"fdAT"})

    def _walk(self) -> Iterator[Piece]:
        start, kind = 8, b""
        while kind != b"IEND":
            header = self._read(start, 8)
            length, kind = int.from_bytes(header[:4], "big"), header[4:]
            if start == 8 and (kind, length) != (b"IHDR", 13):
                raise BrokenImageError(f"The PNG begins with {kind!r} in place of its header IHDR")
            yield Piece(kind, start, start + 8, length, start + 12 + length)
            start += 12 + length

    def size_in(self, piece: Piece) -> Size | None:
        """In the header."""
        if piece.kind != b"IHDR":
            return None
        header = self.content(piece, 8)
        return int.from_bytes(header[:4], "big"), int.from_bytes(header[4:], "big")

    def is_xmp(self, piece: Piece) -> bool:
        """An international text under Adobe's keyword."""
        keyword = self.XMP_KEYWORD
        return piece.kind == b"iTXt" and self.content(piece, len(keyword)) == keyword

    def xmp_packet(self, piece: Piece) -> bytes | None:
        """Its text, compressed or not."""
        if piece.length > MAX_XMP_BYTES:
            return None
        content = self.content(piece, MAX_XMP_BYTES)[len(self.XMP_KEYWORD) :]
        is_compressed, texts = content[:1] != b"\0", content[2:].split(b"\0", 2)
        if len(texts) < 3:  # the language, the keyword translated into it, the text
            return None
        return _inflate(texts[2]) if is_compressed else texts[2]

    def is_credentials(self, piece: Piece) -> bool:
        """A chunk of its own."""
        return piece.kind == b"caBX"

    def holds_pixels(self, piece: Piece) -> bool:
        """The image, its palette and its transparent colours."""
        return piece.kind in self._PIXELS


def _inflate(data: bytes) -> bytes | None:
    unpacker = zlib.decompressobj()
    try:
        unpacked = unpacker.decompress(data, MAX_XMP_BYTES)
    except zlib.error:
        return None
    return unpacked if unpacker.eof else None


class JpegStructure(ImageStructure):
    """Segments of marker, length and content (ITU T.81, annex B)."""

    content_type = "image/jpeg"
    APP0, APP1, APP11 = b"\xe0", b"\xe1", b"\xeb"
    XMP_NAME = b"http://ns.adobe.com/xap/1.0/\0"
    _START, _END, _START_OF_SCAN, _COMMENT = b"\xd8", b"\xd9", b"\xda", b"\xfe"
    # C4, C8 and CC stand for tables.
    _FRAMES = frozenset(bytes([code]) for code in range(0xC0, 0xD0)) - {b"\xc4", b"\xc8", b"\xcc"}
    # Among coded pixels FF 00 is a byte of them, and FF D0 to FF D7 are restarts.
    _MARKER = re.compile(rb"\xff[^\x00\xff\xd0-\xd7]")
    _MAX_FILL = 16

    def _walk(self) -> Iterator[Piece]:
        yield Piece(self._START, 0, 2, 0, 2)
        start, kind = 2, self._START
        while kind != self._END:
            # Any number of FF may stand before a marker; encoders write none or one.
            self.file.seek(start)
            window = self.file.read(self._MAX_FILL)
            fill = len(window) - len(window.lstrip(b"\xff"))
            kind, content = window[fill : fill + 1], start + fill + 1
            if fill == 0 or kind == b"":
                raise BrokenImageError(f"The JPEG has no marker at byte {start}, or is cut short")
            length = 0
            if kind != self._END:
                length = int.from_bytes(self._read(content, 2), "big") - 2
                content += 2
                if length < 0 or kind == b"\x00" or b"\xd0" <= kind <= self._START:
                    raise BrokenImageError(f"The JPEG has no usable segment at byte {start}")
            end = content + length
            if kind == self._START_OF_SCAN:
                end = self._next_marker(end)
            yield Piece(kind, start, content, length, end)
            start = end

    def _next_marker(self, start: int) -> int:
        """Return where the coded pixels that begin at *start* end."""
        self.file.seek(start)
        window = b""
        while data := self.file.read(PIECE_BYTES):
            window += data
            if found := self._MARKER.search(window):
                return start + found.start()
            # A marker's first byte may be the last one read.
            start, window = start + len(window) - 1, window[-1:]
        raise BrokenImageError(f"The JPEG is cut short after {self.file_size} bytes")

    def size_in(self, piece: Piece) -> Size | None:
        """In the start of frame."""
        if piece.kind not in self._FRAMES:
            return None
        frame = self.content(piece, 5)  # precision, height, width
        return int.from_bytes(frame[3:], "big"), int.from_bytes(frame[1:3], "big")

    def is_xmp(self, piece: Piece) -> bool:
        """An APP1 segment under Adobe's name."""
        name = self.XMP_NAME
        return piece.kind == self.APP1 and self.content(piece, len(name)) == name

    def xmp_packet(self, piece: Piece) -> bytes | None:
        """What stands behind the name."""
        return self.content(piece, piece.length)[len(self.XMP_NAME) :]

    def is_exif(self, piece: Piece) -> bool:
        """Return whether the piece holds Exif."""
        return piece.kind == self.APP1 and self.content(piece, 6) == b"Exif\0\0"

    def is_credentials(self, piece: Piece) -> bool:
        """APP11 segments with JUMBF boxes of C2PA."""
        # JUMBF boxes begin with "JP"; their type and label, both with c2pa, are among the first 60
        # bytes. What does not fit into one segment goes on in others with the same beginning.
        head = self.content(piece, 128) if piece.kind == self.APP11 else b""
        return head.startswith(b"JP") and b"c2pa" in head

    def holds_pixels(self, piece: Piece) -> bool:
        """All but application segments and comments."""
        return not (b"\xe0" <= piece.kind <= b"\xef" or piece.kind == self._COMMENT)


class WebpStructure(ImageStructure):
    """Chunks of type, length and content, padded to even lengths (RFC 9649)."""

    content_type = "image/webp"
    _PIXELS = frozenset({b"VP8 ", b"VP8L", b"ALPH", b"ANMF"})

    def _walk(self) -> Iterator[Piece]:
        riff_end = 8 + int.from_bytes(self._read(4, 4), "little")
        start = 12
        while start < riff_end:
            header = self._read(start, 8)
            kind, length = header[:4], int.from_bytes(header[4:], "little")
            end = start + 8 + length + length % 2
            if end > riff_end or (start == 12 and kind not in (b"VP8X", b"VP8 ", b"VP8L")):
                raise BrokenImageError(f"The WebP has no usable chunk at byte {start}: {kind!r}")
            yield Piece(kind, start, start + 8, length, end)
            start = end

    def size_in(self, piece: Piece) -> Size | None:
        """In the first chunk, in one of three ways."""
        content = self.content(piece, 10)
        if piece.kind == b"VP8X" and len(content) == 10:
            # One less than width and height, in 24 bits each, behind flags and 24 reserved bits.
            return (
                int.from_bytes(content[4:7], "little") + 1,
                int.from_bytes(content[7:10], "little") + 1,
            )
        if piece.kind == b"VP8L" and content[:1] == b"\x2f":
            bits = int.from_bytes(content[1:5], "little")  # one less than each, in 14 bits
            return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
        if piece.kind == b"VP8 " and content[3:6] == b"\x9d\x01\x2a":
            width, height = content[6:8], content[8:10]  # in 14 bits; the others say how to scale
            return (
                int.from_bytes(width, "little") & 0x3FFF,
                int.from_bytes(height, "little") & 0x3FFF,
            )
        return None

    def is_xmp(self, piece: Piece) -> bool:
        """A chunk of its own."""
        return piece.kind == b"XMP "

    def xmp_packet(self, piece: Piece) -> bytes | None:
        """The chunk's content."""
        return self.content(piece, piece.length) if piece.length <= MAX_XMP_BYTES else None

    def is_credentials(self, piece: Piece) -> bool:
        """A chunk of its own."""
        return piece.kind == b"C2PA"

    def holds_pixels(self, piece: Piece) -> bool:
        """The image, its transparency, and the frames of an animation."""
        return piece.kind in self._PIXELS


AnyImage = PngStructure | JpegStructure | WebpStructure

_STRUCTURES: dict[str, type[AnyImage]] = {
    structure.content_type: structure for structure in (PngStructure, JpegStructure, WebpStructure)
}


def read_structure(file: BinaryIO) -> AnyImage:
    """Return the structure of an image file, by its first bytes.

    :param file: seekable, opened for reading bytes.
    :raises BrokenImageError: it is no PNG, JPEG or WebP.
    """
    file.seek(0)
    found = image_type(file.read(HEAD_BYTES))
    if found is None:
        raise BrokenImageError("The file does not begin like a PNG, a JPEG or a WebP")
    return _STRUCTURES[found[0]](file)


def image_size(path: Path) -> Size | None:
    """Return the width and height of an image file in pixels, as stored: Exif may turn it.

    :returns: None where the file does not say: another format, cut short, or broken.
    """
    with path.open("rb") as file:
        try:
            image = read_structure(file)
            sizes = (image.size_in(piece) for piece in image.pieces())
            size = next((size for size in sizes if size), None)
        except BrokenImageError:
            return None
    return size if size and min(size) > 0 else None


def has_credentials(path: Path) -> bool:
    """Return whether a local image carries content credentials (C2PA).

    :raises BrokenImageError: it is no PNG, JPEG or WebP, or is cut short.
    """
    with path.open("rb") as file:
        image = read_structure(file)
        return any(map(image.is_credentials, image.pieces()))
