"""Images of all kinds, and their files taken apart in the plainest way, to check what ours does."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Iterator
from io import BytesIO

from PIL import Image, ImageCms, ImageDraw, ImageSequence

from airflow_provider_apiframe.sandbox.images.poster import Poster, render


def _drawn(mode: str = "RGB", size: tuple[int, int] = (61, 43)) -> Image.Image:
    image = Image.radial_gradient("L").resize(size).convert("RGBA")
    image.putalpha(Image.linear_gradient("L").resize(size))
    ImageDraw.Draw(image).ellipse((5, 5, 30, 30), fill=(200, 30, 90, 120))
    return image.convert(mode)


def _saved(image: Image.Image, format: str, **options: object) -> bytes:
    file = BytesIO()
    image.save(file, format, **options)
    return file.getvalue()


def _metadata() -> dict[str, bytes]:
    exif = Image.Exif()
    exif[0x010E] = "a description"
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    return {"exif": exif.tobytes(), "icc_profile": profile}


def _frames() -> list[Image.Image]:
    return [_drawn("RGBA").rotate(angle) for angle in (90, 180)]


def _interlaced_png() -> bytes:
    """Return 8 x 8 grey pixels in Adam7's seven passes, which Pillow reads but cannot write."""
    passes = [(0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2)]
    rows = b""
    for left, top, across, down in [*passes, (0, 1, 1, 2)]:
        for y in range(top, 8, down):
            rows += b"\0" + bytes(16 * y + x for x in range(left, 8, across))
    header = struct.pack(">IIBBBBB", 8, 8, 8, 0, 0, 0, 1)
    chunks = [(b"IHDR", header), (b"IDAT", zlib.compress(rows)), (b"IEND", b"")]
    return PNG_SIGNATURE + b"".join(png_chunk(*chunk) for chunk in chunks)


PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"

# name -> what makes the file's bytes; the name begins with the format.
SAMPLES: dict[str, Callable[[], bytes]] = {
    "png rgb": lambda: _saved(_drawn(), "PNG"),
    "png transparent": lambda: _saved(_drawn("RGBA"), "PNG"),
    "png palette": lambda: _saved(_drawn("P"), "PNG", transparency=3),
    "png interlaced": _interlaced_png,
    "png 16 bit": lambda: _saved(Image.new("I;16", (20, 30), 40_000), "PNG"),
    "png black and white": lambda: _saved(_drawn("1"), "PNG"),
    "png animated": lambda: _saved(
        _drawn("RGBA"), "PNG", save_all=True, append_images=_frames(), duration=50
    ),
    "png with exif and icc": lambda: _saved(_drawn(), "PNG", **_metadata()),
    "png of the sandbox": lambda: render(Poster("Sale", "flux-2-flex", 128, 160, "png")),
    "jpeg rgb": lambda: _saved(_drawn(), "JPEG"),
    "jpeg grey": lambda: _saved(_drawn("L"), "JPEG"),
    "jpeg progressive": lambda: _saved(_drawn(), "JPEG", progressive=True),
    "jpeg cmyk": lambda: _saved(_drawn("CMYK"), "JPEG"),
    "jpeg with restarts": lambda: _saved(_drawn(), "JPEG", restart_marker_blocks=2),
    "jpeg with exif and icc": lambda: _saved(_drawn(), "JPEG", comment=b"hello", **_metadata()),
    "jpeg of the sandbox": lambda: render(Poster("Sale", "flux-2-flex", 128, 160, "jpg")),
    "webp lossy": lambda: _saved(_drawn(), "WEBP"),
    "webp lossy transparent": lambda: _saved(_drawn("RGBA"), "WEBP"),
    "webp lossless": lambda: _saved(_drawn(), "WEBP", lossless=True),
    "webp lossless transparent": lambda: _saved(_drawn("RGBA"), "WEBP", lossless=True),
    "webp animated": lambda: _saved(
        _drawn("RGBA"), "WEBP", save_all=True, append_images=_frames(), duration=50
    ),
    "webp with exif and icc": lambda: _saved(_drawn(), "WEBP", **_metadata()),
    "webp of the sandbox": lambda: render(Poster("Sale", "flux-2-flex", 128, 160, "webp")),
}

# One of each format, small.
PLAIN = ("png rgb", "jpeg rgb", "webp lossy")


def pixels(data: bytes) -> list[tuple[str, tuple[int, int], bytes]]:
    """Return mode, size and pixels of each frame."""
    with Image.open(BytesIO(data)) as image:
        return [
            (frame.mode, frame.size, frame.tobytes()) for frame in ImageSequence.Iterator(image)
        ]


def info(data: bytes) -> dict[object, object]:
    """Return what Pillow knows of a file besides its pixels and its XMP."""
    with Image.open(BytesIO(data)) as image:
        image.load()
        return {
            key: value
            for key, value in image.info.items()
            if key not in ("xmp", "XML:com.adobe.xmp")
        }


def png_chunk(kind: bytes, content: bytes) -> bytes:
    checksum = zlib.crc32(kind + content)
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", checksum)


def webp_chunk(kind: bytes, content: bytes) -> bytes:
    return kind + struct.pack("<I", len(content)) + content + bytes(len(content) % 2)


def jpeg_segment(marker: int, content: bytes) -> bytes:
    return struct.pack(">BBH", 0xFF, marker, len(content) + 2) + content


def png_chunks(data: bytes) -> Iterator[bytes]:
    """Yield each chunk, whole."""
    start = 8
    while start < len(data):
        (length,) = struct.unpack_from(">I", data, start)
        yield data[start : start + 12 + length]
        start += 12 + length


def webp_chunks(data: bytes) -> Iterator[bytes]:
    """Yield each chunk, whole; the file must be as long as its header says."""
    assert struct.unpack_from("<I", data, 4) == (len(data) - 8,)
    start = 12
    while start < len(data):
        (length,) = struct.unpack_from("<I", data, start + 4)
        yield data[start : start + 8 + length + length % 2]
        start += 8 + length + length % 2


def with_metadata(data: bytes, *pieces: bytes) -> bytes:
    """Return an image with *pieces* put in where its format has metadata."""
    if data.startswith(PNG_SIGNATURE):
        return data[:33] + b"".join(pieces) + data[33:]
    if data.startswith(b"RIFF"):
        data += b"".join(pieces)
        return data[:4] + struct.pack("<I", len(data) - 8) + data[8:]
    return data[:2] + b"".join(pieces) + data[2:]


def metadata_piece(data: bytes, what: str, content: bytes) -> bytes:
    """Return a piece for the format of *data*: what is "xmp", "credentials" or "other"."""
    if data.startswith(PNG_SIGNATURE):
        return {
            "xmp": png_chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + content),
            "credentials": png_chunk(b"caBX", content),
            "other": png_chunk(b"tEXt", b"Comment\0" + content),
        }[what]
    if data.startswith(b"RIFF"):
        kind = {"xmp": b"XMP ", "credentials": b"C2PA", "other": b"abcd"}[what]
        return webp_chunk(kind, content)
    boxes = struct.pack(">2sHIII", b"JP", 1, 1, 300, 0x6A756D62) + content
    return {
        "xmp": jpeg_segment(0xE1, b"http://ns.adobe.com/xap/1.0/\0" + content),
        "credentials": jpeg_segment(0xEB, boxes),
        "other": jpeg_segment(0xFE, content),
    }[what]
