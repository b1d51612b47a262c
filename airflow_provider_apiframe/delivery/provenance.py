"""The machine-readable mark that an image was made by AI, put into its file.

The mark is an XMP packet with IPTC's digital source type. It is put between the other bytes of the
file, which stay as they are: no pixel is encoded again. The same image and the same mark give the
same bytes, so two writers at once write the same file. The prompt is not in it.
"""

from __future__ import annotations

import hashlib
import logging
import uuid
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import BinaryIO, NamedTuple

from airflow_provider_apiframe.api.errors import BrokenImageError
from airflow_provider_apiframe.delivery import xmp
from airflow_provider_apiframe.delivery.image_pieces import ImageStructure, Piece
from airflow_provider_apiframe.delivery.image_structure import (
    AnyImage,
    JpegStructure,
    PngStructure,
    WebpStructure,
    read_structure,
)

log = logging.getLogger(__name__)

_MAX_SEGMENT = 0xFFFF - 2  # bytes of content in a JPEG segment
_MAX_RIFF = 0xFFFFFFFE

# Flags of a WebP's VP8X chunk.
_ALPHA, _XMP = 0x10, 0x04


@dataclass(frozen=True)
class Mark:
    """What the mark of an image says, besides that AI made it.

    :param job_id: the job that made it.
    :param model: the model that made it, None where nobody said.
    :param image: its number in the job, from 1.
    """

    job_id: str
    model: str | None
    image: int

    @property
    def creator_tool(self) -> str:
        """What made the image, in words, e.g. "Apiframe flux-2-flex"."""
        return xmp.printable(f"Apiframe {self.model}" if self.model else "Apiframe")


@dataclass(frozen=True)
class FoundMark:
    """A mark that ``add_mark`` wrote.

    :param job_id: the job that made the image.
    :param image: its number in the job, from 1.
    :param intact: whether the image data is, byte for byte, what it was when it was marked.
    """

    job_id: str
    image: int
    intact: bool


def add_mark(source: Path, target: Path, mark: Mark) -> bool:
    """Write the image *source* with an AI mark to *target*.

    All its other bytes are kept. XMP that it has already is kept, and the mark is put into it.

    :param source: a PNG, JPEG or WebP.
    :param target: a file, replaced if it exists, and written whole or not at all. It may be
        *source*.
    :param mark: what the mark says.
    :returns: False, and *target* is not written, where the image has content credentials, which any
        change would break; or an AI mark of its own; or XMP that nothing can safely be put into.
        The log says which.
    :raises BrokenImageError: *source* is no PNG, JPEG or WebP, or is cut short.
    """
    with source.open("rb") as file:
        image = read_structure(file)
        try:
            edits = _edits(image, mark)
        except _LeaveAsItIsError as reason:
            log.log(
                reason.level,
                "Image %d of job %s is left as it is: %s",
                mark.image,
                mark.job_id,
                reason,
            )
            return False
        _write(image, edits, target)
    return True


def read_mark(file: Path | BinaryIO) -> FoundMark | None:
    """Return the mark that ``add_mark`` put into an image.

    :param file: a path, or a seekable file that is open for reading bytes.
    :returns: None where there is none: somebody else's mark does not count, nor does a file that is
        no image. An image that was cut short or painted over since is not ``intact``.
    """
    with file.open("rb") if isinstance(file, Path) else nullcontext(file) as opened:
        try:
            image = read_structure(opened)
            piece = next(filter(image.is_xmp, image.pieces()), None)
            packet = image.xmp_packet(piece) if piece else None
        except BrokenImageError:
            return None
        found = xmp.read_packet(packet) if packet else None
        said = found.properties if found else {}
        job_id, number = said.get(xmp.JOB_ID, "").strip(), said.get(xmp.IMAGE, "").strip()
        if not job_id or not number.isdecimal():
            return None
        try:
            intact = said.get(xmp.PIXELS_SHA256, "").strip() == _pixels_sha256(image)
        except BrokenImageError:
            intact = False
    return FoundMark(job_id, int(number), intact)


class _LeaveAsItIsError(Exception):
    """The image must or can not be marked; the text says why."""

    def __init__(self, reason: str, level: int = logging.INFO) -> None:
        super().__init__(reason)
        self.level = level


class _Edit(NamedTuple):
    """Put *data* in place of the file's bytes from *start* to *end*."""

    start: int
    end: int
    data: bytes


def _edits(image: AnyImage, mark: Mark) -> list[_Edit]:
    """Return what to change in an image to mark it."""
    packets = []
    for piece in image.pieces():
        if image.is_credentials(piece):
            raise _LeaveAsItIsError("it has content credentials, which a change would break")
        if image.is_xmp(piece):
            packets.append(piece)
    if len(packets) > 1:
        raise _LeaveAsItIsError("it has more than one XMP packet", logging.WARNING)
    properties = {
        xmp.SOURCE_TYPE: xmp.TRAINED_ALGORITHMIC_MEDIA,
        xmp.CREATOR_TOOL: mark.creator_tool,
        xmp.JOB_ID: mark.job_id,
        xmp.IMAGE: str(mark.image),
        xmp.PIXELS_SHA256: _pixels_sha256(image),
    }
    if not packets:
        return _xmp_edits(image, None, xmp.new_packet(properties))
    return _xmp_edits(image, packets[0], _extended(image.xmp_packet(packets[0]), properties))


def _extended(packet: bytes | None, properties: dict[str, str]) -> bytes:
    found = xmp.read_packet(packet) if packet else None
    if packet is None or found is None:
        raise _LeaveAsItIsError("it has an XMP packet that cannot be read", logging.WARNING)
    if xmp.SOURCE_TYPE in found.properties:
        source_type = found.properties[xmp.SOURCE_TYPE]
        raise _LeaveAsItIsError(f"it says by itself what made it: {source_type[:100]!r}")
    if found.properties.get(xmp.REMOTE_CREDENTIALS, "").startswith("http"):
        raise _LeaveAsItIsError("it has content credentials elsewhere, which a change would break")
    extended = xmp.extended_packet(packet, found, properties)
    if extended is None:
        raise _LeaveAsItIsError("its XMP packet has no place for the mark", logging.WARNING)
    return extended


def _xmp_edits(image: AnyImage, old: Piece | None, packet: bytes) -> list[_Edit]:
    """Return how an XMP packet comes into an image, in place of the *old* one if there is one."""
    if isinstance(image, PngStructure):
        return _png_edits(image, old, packet)
    if isinstance(image, JpegStructure):
        return _jpeg_edits(image, old, packet)
    return _webp_edits(image, old, packet)


def _png_edits(image: PngStructure, old: Piece | None, packet: bytes) -> list[_Edit]:
    # Four null bytes: not compressed (two of them), no language, no translated keyword.
    content = b"iTXt" + image.XMP_KEYWORD + bytes(4) + packet
    length, checksum = len(content) - 4, zlib.crc32(content)
    chunk = length.to_bytes(4, "big") + content + checksum.to_bytes(4, "big")
    header = next(image.pieces())
    return [_Edit(old.start, old.end, chunk) if old else _Edit(header.end, header.end, chunk)]


def _jpeg_edits(image: JpegStructure, old: Piece | None, packet: bytes) -> list[_Edit]:
    content = image.XMP_NAME + packet
    if len(content) > _MAX_SEGMENT:
        raise _LeaveAsItIsError("its XMP packet leaves no room for the mark", logging.WARNING)
    segment = b"\xff" + image.APP1 + (len(content) + 2).to_bytes(2, "big") + content
    if old:
        return [_Edit(old.start, old.end, segment)]
    start = 2
    for piece in islice(image.pieces(), 1, None):  # JFIF and Exif want to come first
        if piece.kind != image.APP0 and not image.is_exif(piece):
            break
        start = piece.end
    return [_Edit(start, start, segment)]


def _webp_edits(image: WebpStructure, old: Piece | None, packet: bytes) -> list[_Edit]:
    chunk = _riff_chunk(b"XMP ", packet)
    first, last = next(image.pieces()), None
    for piece in image.pieces():
        if image.holds_pixels(piece) or piece.kind == b"EXIF":
            last = piece
    size = image.size_in(first)
    if size is None or min(size) < 1 or last is None:
        raise BrokenImageError("The WebP holds no image, or none of a size that can be read")
    edits = [_Edit(old.start, old.end, chunk) if old else _Edit(last.end, last.end, chunk)]
    flags = image.content(first, 1)[0] | _XMP
    if first.kind == b"VP8X":
        edits.append(_Edit(first.content, first.content + 1, bytes([flags])))
    else:
        edits.append(_Edit(first.start, first.start, _vp8x(image, first, size)))
    riff_size = int.from_bytes(b"".join(image.copy(4, 8)), "little")
    riff_size += sum(len(edit.data) - (edit.end - edit.start) for edit in edits)
    if riff_size > _MAX_RIFF:
        raise _LeaveAsItIsError("it is as large as a WebP can be", logging.WARNING)
    return [_Edit(4, 8, riff_size.to_bytes(4, "little")), *edits]


def _vp8x(image: WebpStructure, first: Piece, size: tuple[int, int]) -> bytes:
    """Return the chunk that a WebP with metadata begins with, for one that begins with pixels."""
    # Without this chunk only the lossless coding can be transparent, and says so in one bit.
    is_transparent = first.kind == b"VP8L" and image.content(first, 5)[4] & 0x10
    flags = _XMP | (_ALPHA if is_transparent else 0)
    width, height = (length - 1 for length in size)
    content = bytes([flags, 0, 0, 0]) + width.to_bytes(3, "little") + height.to_bytes(3, "little")
    return _riff_chunk(b"VP8X", content)


def _riff_chunk(kind: bytes, content: bytes) -> bytes:
    return kind + len(content).to_bytes(4, "little") + content + bytes(len(content) % 2)


def _pixels_sha256(image: ImageStructure) -> str:
    digest = hashlib.sha256()
    for piece in filter(image.holds_pixels, image.pieces()):
        for data in image.copy(piece.start, piece.end):
            digest.update(data)
    return digest.hexdigest()


def _write(image: ImageStructure, edits: list[_Edit], target: Path) -> None:
    with written_whole(target) as file:
        start = 0
        for edit in sorted(edits):
            file.writelines(image.copy(start, edit.start))
            file.write(edit.data)
            start = edit.end
        file.writelines(image.copy(start, image.file_size))


@contextmanager
def written_whole(target: Path) -> Iterator[BinaryIO]:
    """Open a new file for writing and reading, which takes *target*'s place when all went well."""
    part = target.with_name(f".apiframe-{uuid.uuid4().hex}.part")
    try:
        with part.open("x+b") as file:
            yield file
        part.replace(target)
    finally:
        part.unlink(missing_ok=True)
