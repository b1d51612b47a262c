"""An image in another size and format, by Pillow: the extra ``images``.

Kept are the colour profile and the XMP packet, and with it the mark that an image is made by AI
(``Iptc4xmpExt:DigitalSourceType``). Content credentials (C2PA) sign the bytes of one file, so they
cannot survive an edit and are left out; so is EXIF, whose orientation is applied.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from airflow_provider_apiframe.api.errors import ApiframeError
from airflow_provider_apiframe.api.image_format import HEAD_BYTES, image_type

if TYPE_CHECKING:
    from PIL.Image import Image

Fit = Literal["cover", "contain", "pad"]
Format = Literal["jpg", "png", "webp"]

CONTENT_TYPES: dict[Format, str] = {"jpg": "image/jpeg", "png": "image/png", "webp": "image/webp"}
TRANSPARENT = "transparent"

MAX_PIXELS = 64 * 1024 * 1024
"""Of a source: 256 MB when it is decoded. The largest image of the API has 4 million."""

_PILLOW_NAMES = {"jpg": "JPEG", "png": "PNG", "webp": "WEBP"}
_MAX_JPEG_XMP = 65_504  # bytes; a segment has no room for more


class ImageError(ApiframeError):
    """An image cannot be decoded, or not be written as asked. A retry cannot help."""


class MissingLibraryError(ApiframeError):
    """Pillow is not installed."""


@dataclass(frozen=True)
class DecodedImage:
    """An image in memory: upright, in RGB or RGBA.

    :param pixels: Pillow's image.
    :param format: of its file.
    :param icc_profile: what its colours mean; None for sRGB.
    :param xmp: its XMP packet.
    """

    pixels: Image
    format: Format
    icc_profile: bytes | None
    xmp: bytes | None


def require_pillow() -> None:
    """Make sure that Pillow is there, before anything is fetched.

    :raises MissingLibraryError: it is not; the text says how to install it.
    """
    try:
        import PIL  # noqa: F401
    except ImportError:
        raise MissingLibraryError(
            "Pillow is not installed on this worker: pip install "
            "'airflow-provider-apiframe[images]'"
        ) from None


def read_image(path: Path, shown: str) -> DecodedImage:
    """Decode a PNG, JPEG or WebP; the first image of an animation.

    :param shown: what error texts call it.
    :raises ImageError: it is none of them, broken, or has more than 64 megapixels.
    """
    from PIL import Image, ImageOps

    with path.open("rb") as file:
        kind = image_type(file.read(HEAD_BYTES))
    if kind is None:
        raise ImageError(f"{shown} is no PNG, JPEG or WebP")
    image_format: Format = kind[1]  # type: ignore[assignment]
    with (
        _broken(shown),
        Image.open(path, formats=[_PILLOW_NAMES[image_format]]) as image,
    ):
        if image.width * image.height > MAX_PIXELS:
            raise ImageError(
                f"{shown} has {image.width}x{image.height} pixels; at most "
                f"{MAX_PIXELS // 1024**2} megapixels are read"
            )
        image.load()
        # In its place: a turned copy would need the memory twice.
        ImageOps.exif_transpose(image, in_place=True)
        xmp = image.info.get("xmp") or image.info.get("XML:com.adobe.xmp")
        profile = image.info.get("icc_profile")
        pixels = _in_rgb(image, profile)
    return DecodedImage(
        pixels,
        image_format,
        profile if profile and profile[16:20] == b"RGB " else None,
        xmp.encode() if isinstance(xmp, str) else xmp,
    )


def write_image(
    image: DecodedImage,
    target: Path,
    size: tuple[int, int],
    *,
    fit: Fit,
    format: Format,
    quality: int,
    background: str,
    shown: str,
) -> None:
    """Write *image* to the local file *target*; the same arguments give the same bytes.

    :param size: width and height in pixels.
    :param fit: "cover" fills the size and cuts off what sticks out; "contain" is as large as fits
        into the size, without bars; "pad" adds bars to that.
    :param quality: 1-100; no effect for png.
    :param background: "#rrggbb" or "transparent": what is behind the image in a jpg and with "pad".
    :param shown: what error texts call the target.
    :raises ImageError: jpg, with a transparent background or an XMP packet it has no room for.
    """
    if format == "jpg" and background == TRANSPARENT:
        raise ImageError(
            f"{shown} is a jpg, which cannot be transparent: give format png or webp, or another "
            "background"
        )
    if format == "jpg" and image.xmp and len(image.xmp) > _MAX_JPEG_XMP:
        raise ImageError(
            f"{shown} would have {len(image.xmp)} bytes of XMP, and a jpg has room for "
            f"{_MAX_JPEG_XMP}: give format png or webp"
        )
    pixels = _fitted(image.pixels, size, fit, background)
    if format == "jpg":
        pixels = _flattened(pixels, background)
    pixels.info.clear()  # else Pillow writes some of it, e.g. an EXIF orientation
    options: dict[str, Any] = {"format": _PILLOW_NAMES[format]}
    if format != "png":
        options["quality"] = quality
    if image.icc_profile:
        options["icc_profile"] = image.icc_profile
    if image.xmp and format == "png":
        options["pnginfo"] = _png_text(image.xmp)
    elif image.xmp:
        options["xmp"] = image.xmp
    pixels.save(target, **options)


def _in_rgb(image: Image, profile: bytes | None) -> Image:
    """Return *image* as RGB, or as RGBA where something may be transparent."""
    if image.mode.startswith("I"):  # 16 bits of grey: Pillow would cut off, not scale
        image.info.pop("transparency", None)
        image = image.convert("I").point(lambda value: value * (1 / 257)).convert("L")
    # A profile of grey or of CMYK says nothing about RGB, so its colours are converted.
    of_mode = {b"GRAY": "L", b"CMYK": "CMYK"}.get((profile or b"")[16:20])
    if profile and of_mode and image.mode in (of_mode, of_mode + "A"):
        rgb = _in_srgb(image.convert(of_mode), profile)
        if image.has_transparency_data:
            rgb.putalpha(image.convert("RGBA").getchannel("A"))
        return rgb
    mode = "RGBA" if image.has_transparency_data else "RGB"
    return image if image.mode == mode else image.convert(mode)  # a copy needs the memory twice


def _in_srgb(image: Image, profile: bytes) -> Image:
    from PIL import ImageCms

    try:
        converted = ImageCms.profileToProfile(
            image,
            ImageCms.ImageCmsProfile(io.BytesIO(profile)),
            ImageCms.createProfile("sRGB"),
            outputMode="RGB",
        )
    except (ImageCms.PyCMSError, OSError):  # a broken profile: as if there were none
        converted = None
    return converted or image.convert("RGB")


def _fitted(image: Image, size: tuple[int, int], fit: Fit, background: str) -> Image:
    from PIL import Image as images
    from PIL import ImageOps

    lanczos = images.Resampling.LANCZOS
    if fit == "cover":
        return ImageOps.fit(image, size, lanczos)
    scale = min(size[0] / image.width, size[1] / image.height)
    inner = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
    resized = image.resize(inner, lanczos)
    if fit == "contain":
        return resized
    corner = ((size[0] - inner[0]) // 2, (size[1] - inner[1]) // 2)
    if background == TRANSPARENT:
        canvas = images.new("RGBA", size, (0, 0, 0, 0))
    else:
        canvas = images.new("RGB", size, background)
        resized = _flattened(resized, background)
    canvas.paste(resized, corner)
    return canvas


def _flattened(image: Image, background: str) -> Image:
    """Return *image* as RGB, laid over *background*."""
    from PIL import Image as images

    if image.mode != "RGBA":
        return image
    canvas = images.new("RGB", image.size, background)
    canvas.paste(image, mask=image.getchannel("A"))
    return canvas


def _png_text(xmp: bytes) -> Any:
    from PIL.PngImagePlugin import PngInfo

    text = PngInfo()
    text.add_itxt("XML:com.adobe.xmp", xmp.decode(errors="replace"))
    return text


@contextmanager
def _broken(shown: str) -> Iterator[None]:
    """Tell of an image that Pillow cannot decode."""
    try:
        yield
    except (ImageError, MemoryError):
        raise
    except Exception as error:  # decoders raise OSError, SyntaxError, ValueError, struct.error, ...
        raise ImageError(
            f"{shown} cannot be decoded: {type(error).__name__}: {str(error)[:200]}"
        ) from None
