from __future__ import annotations

import builtins
import io
from pathlib import Path

import pytest
from PIL import Image, ImageCms, ImageDraw
from PIL.PngImagePlugin import PngInfo

from airflow_provider_apiframe.delivery import resize
from airflow_provider_apiframe.delivery.resize import (
    ImageError,
    MissingLibraryError,
    read_image,
    require_pillow,
    write_image,
)

RED, BLUE, WHITE = (255, 0, 0), (0, 0, 255), (255, 255, 255)
XMP = (
    b'<?xpacket begin="\xef\xbb\xbf" id="W5M0MpCehiHzreSzNTczkc9d"?>'
    b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF '
    b'xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><rdf:Description rdf:about="" '
    b'xmlns:Iptc4xmpExt="http://iptc.org/std/Iptc4xmpExt/2008-02-29/" '
    b'Iptc4xmpExt:DigitalSourceType="http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"/></rdf:RDF>'
    b'</x:xmpmeta><?xpacket end="w"?>'
)
SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
FORMATS = ("jpg", "png", "webp")


def saved(image: Image.Image, path: Path, **options) -> Path:
    if options.get("xmp") and path.suffix == ".png":
        options["pnginfo"] = PngInfo()
        options["pnginfo"].add_itxt("XML:com.adobe.xmp", options.pop("xmp").decode())
    image.save(path, **options)
    return path


def halves(mode: str = "RGB", size: tuple[int, int] = (80, 40)) -> Image.Image:
    """Red on the left, blue on the right."""
    image = Image.new("RGB", size, RED)
    ImageDraw.Draw(image).rectangle((size[0] // 2, 0, *size), fill=BLUE)
    return image.convert(mode)


def variant(source: Path, size: str, **settings) -> Image.Image:
    """The variant as it is read from its file."""
    target = source.with_name(f"variant.{settings.get('format', 'png')}")
    arguments = {"fit": "cover", "format": "png", "quality": 90, "background": "#ffffff"}
    width, height = map(int, size.split("x"))
    write_image(
        read_image(source, "the poster"),
        target,
        (width, height),
        **{**arguments, **settings, "shown": "the poster"},
    )
    with Image.open(target) as image:
        image.load()
    return image


def near(colour, expected) -> bool:
    return all(abs(one - other) <= 6 for one, other in zip(colour, expected, strict=True))


# Size and fit


def test_cover_fills_the_size_and_cuts_off_what_sticks_out(tmp_path):
    image = variant(saved(halves(), tmp_path / "a.png"), "20x20")
    assert image.size == (20, 20)
    assert image.getpixel((0, 10)) == RED  # the middle of the source, without its ends
    assert image.getpixel((19, 10)) == BLUE


def test_contain_is_as_large_as_fits_into_the_size(tmp_path):
    assert variant(saved(halves(), tmp_path / "a.png"), "20x20", fit="contain").size == (20, 10)
    assert variant(tmp_path / "a.png", "400x400", fit="contain").size == (400, 200)


@pytest.mark.parametrize(("size", "bar"), [("20x20", (10, 0)), ("80x20", (0, 10))])
def test_pad_adds_bars_of_the_background(size, bar, tmp_path):
    source = saved(halves(), tmp_path / "a.png")
    image = variant(source, size, fit="pad", background="#00ff00")
    assert image.size == tuple(map(int, size.split("x")))
    assert image.getpixel(bar) == (0, 255, 0)
    assert image.getpixel((image.width // 2 - 2, image.height // 2)) == RED


def test_pad_on_a_transparent_background_keeps_what_is_transparent(tmp_path):
    image = halves("RGBA")
    image.putpixel((0, 20), (0, 0, 0, 0))
    padded = variant(saved(image, tmp_path / "a.png"), "80x80", fit="pad", background="transparent")
    assert [padded.getpixel((x, y))[3] for x, y in ((40, 0), (0, 40), (40, 40))] == [0, 0, 255]


@pytest.mark.parametrize("fit", ["cover", "contain", "pad"])
@pytest.mark.parametrize("size", [(900, 1), (1, 900)])
def test_a_source_that_is_nearly_a_line_has_variants_of_at_least_one_pixel(size, fit, tmp_path):
    source = saved(Image.new("RGB", size, RED), tmp_path / "a.png")
    assert min(variant(source, "10x10", fit=fit).size) >= 1


@pytest.mark.parametrize("format", FORMATS)
def test_the_same_image_and_settings_give_the_same_bytes(format, tmp_path):
    source = saved(halves(), tmp_path / "a.png", xmp=XMP, icc_profile=SRGB)
    written = []
    for _ in range(2):
        variant(source, "33x21", format=format)
        written.append((tmp_path / f"variant.{format}").read_bytes())
    assert written[0] == written[1]


@pytest.mark.parametrize(("format", "differ"), [("jpg", True), ("webp", True), ("png", False)])
def test_quality_counts_for_all_but_png(format, differ, tmp_path):
    source = saved(Image.effect_noise((64, 64), 90), tmp_path / "a.png")
    sizes = []
    for quality in (10, 90):
        variant(source, "64x64", format=format, quality=quality)
        sizes.append((tmp_path / f"variant.{format}").stat().st_size)
    assert (sizes[0] < sizes[1]) is differ


# Kinds of sources


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA"])
def test_every_kind_of_png_becomes_every_format(mode, format, tmp_path):
    image = Image.new("L", (40, 40), 255).convert(mode)
    made = variant(saved(image, tmp_path / "a.png"), "20x20", format=format)
    assert near(made.convert("RGB").getpixel((10, 10)), WHITE)


def with_a_hole(mode: str, tmp_path: Path) -> Path:
    """A red image whose left half is transparent."""
    image = Image.new("RGBA", (40, 40), (*RED, 255))
    image.paste((0, 0, 0, 0), (0, 0, 20, 40))
    path = tmp_path / "hole.png"
    if mode == "RGB with a transparent colour":
        flat = Image.new("RGB", (40, 40), RED)
        flat.paste((1, 2, 3), (0, 0, 20, 40))
        return saved(flat, path, transparency=(1, 2, 3))
    if mode == "palette":
        flat = Image.new("P", (40, 40), 1)
        flat.putpalette([0, 0, 0, *RED])
        flat.paste(0, (0, 0, 20, 40))
        return saved(flat, path, transparency=0)
    return saved(image, path)


TRANSPARENT_KINDS = ["RGBA", "palette", "RGB with a transparent colour"]


@pytest.mark.parametrize("format", ["png", "webp"])
@pytest.mark.parametrize("kind", TRANSPARENT_KINDS)
def test_what_is_transparent_stays_so_without_a_dark_seam(kind, format, tmp_path):
    image = variant(with_a_hole(kind, tmp_path), "20x20", format=format, quality=100)
    assert image.mode == "RGBA"
    assert image.getpixel((2, 10))[3] == 0
    assert near(image.getpixel((17, 10)), (*RED, 255))
    seam = [pixel for x in range(20) if (pixel := image.getpixel((x, 10)))[3] > 100]
    assert all(pixel[0] > 240 for pixel in seam)


@pytest.mark.parametrize("kind", TRANSPARENT_KINDS)
def test_in_a_jpg_what_is_transparent_shows_the_background(kind, tmp_path):
    image = variant(with_a_hole(kind, tmp_path), "20x20", format="jpg", background="#0000ff")
    assert near(image.getpixel((2, 10)), (0, 0, 254))
    assert near(image.getpixel((17, 10)), (254, 0, 0))


@pytest.mark.parametrize("format", FORMATS)
def test_with_pad_what_is_transparent_shows_the_background(format, tmp_path):
    source = with_a_hole("RGBA", tmp_path)
    image = variant(source, "20x40", fit="pad", background="#00ff00", format=format, quality=100)
    assert image.mode == "RGB"
    assert [near(image.getpixel((x, 20)), (0, 255, 0)) for x in (3, 16)] == [True, False]


def test_a_jpg_on_a_transparent_background_is_refused(tmp_path):
    with pytest.raises(ImageError, match="jpg, which cannot be transparent"):
        variant(with_a_hole("RGBA", tmp_path), "9x9", format="jpg", background="transparent")


def test_a_png_of_16_bits_keeps_its_tones(tmp_path):
    grey = Image.linear_gradient("L")
    deep = grey.convert("I").point(lambda value: value * 257).convert("I;16")
    image = variant(saved(deep, tmp_path / "a.png"), "256x256")
    assert [image.getpixel((9, y)) for y in (0, 100, 255)] == [(y, y, y) for y in (0, 100, 255)]


@pytest.mark.parametrize("format", FORMATS)
def test_a_cmyk_jpeg_gets_the_colours_of_a_screen(format, tmp_path):
    image = variant(
        saved(halves("CMYK"), tmp_path / "a.jpg", quality=100), "80x40", format=format, quality=100
    )
    assert image.mode == "RGB"
    assert near(image.getpixel((5, 20)), RED)
    assert near(image.getpixel((75, 20)), BLUE)


def test_a_profile_that_cannot_be_read_does_not_lose_the_image(tmp_path):
    profile = SRGB[:16] + b"CMYK" + SRGB[20:]
    image = variant(saved(halves("CMYK"), tmp_path / "a.jpg", icc_profile=profile), "80x40")
    assert near(image.getpixel((5, 20)), RED)
    assert "icc_profile" not in image.info


def test_of_an_animation_the_first_image_is_taken(tmp_path):
    frames = [Image.new("RGB", (40, 40), colour) for colour in (RED, BLUE)]
    source = tmp_path / "a.webp"
    frames[0].save(source, save_all=True, append_images=frames[1:], lossless=True)
    image = variant(source, "20x20", format="webp", quality=100)
    assert getattr(image, "n_frames", 1) == 1
    assert near(image.getpixel((10, 10)), RED)


@pytest.mark.parametrize("suffix", ["jpg", "png", "webp"])
def test_a_rotated_image_is_turned_upright_once(suffix, tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # turn by 90 degrees clockwise to see it upright
    xmp = XMP.replace(
        b'rdf:about=""',
        b'rdf:about="" xmlns:tiff="http://ns.adobe.com/tiff/1.0/" tiff:Orientation="6"',
    )
    source = saved(halves(), tmp_path / f"a.{suffix}", exif=exif.tobytes(), xmp=xmp, quality=100)
    image = variant(source, "40x80")
    assert near(image.getpixel((20, 5)), RED)
    assert near(image.getpixel((20, 75)), BLUE)
    assert image.getexif().get(0x0112, 1) == 1
    assert b"Orientation" not in xmp_of(image)


# What is kept


def xmp_of(image: Image.Image) -> bytes:
    found = image.info.get("xmp") or image.info["XML:com.adobe.xmp"]
    return found.encode() if isinstance(found, str) else found


@pytest.mark.parametrize("suffix", FORMATS)
@pytest.mark.parametrize("format", FORMATS)
def test_the_mark_that_it_is_made_by_ai_is_kept(suffix, format, tmp_path):
    source = saved(halves(), tmp_path / f"a.{suffix}", xmp=XMP)
    assert xmp_of(variant(source, "20x20", format=format)) == XMP


def test_a_mark_that_has_no_room_in_a_jpg_is_not_lost_silently(tmp_path):
    source = saved(halves(), tmp_path / "a.png", xmp=XMP + b" " * 66_000)
    assert len(xmp_of(variant(source, "20x20", format="webp"))) > 66_000
    with pytest.raises(ImageError, match="give format png or webp"):
        variant(source, "20x20", format="jpg")


def test_content_credentials_are_left_out_as_they_would_read_as_tampered_with(tmp_path):
    info = PngInfo()
    info.add(b"caBX", b"the manifest")
    source = saved(halves(), tmp_path / "a.png", pnginfo=info)
    assert b"caBX" in source.read_bytes()
    variant(source, "80x40")
    assert b"caBX" not in (tmp_path / "variant.png").read_bytes()


@pytest.mark.parametrize("suffix", FORMATS)
@pytest.mark.parametrize("format", FORMATS)
def test_the_colour_profile_is_kept(suffix, format, tmp_path):
    source = saved(halves(), tmp_path / f"a.{suffix}", icc_profile=SRGB)
    assert variant(source, "20x20", format=format).info["icc_profile"] == SRGB


def test_a_profile_of_grey_is_applied_as_it_says_nothing_about_rgb(tmp_path):
    profile = grey_profile(gamma=1.0)
    image = Image.new("LA", (40, 40), (55, 128))
    made = variant(saved(image, tmp_path / "a.png", icc_profile=profile), "20x20")
    red, _, _, alpha = made.getpixel((10, 10))
    assert red == pytest.approx(128, abs=3)  # 55/255 of the light
    assert alpha == 128
    assert "icc_profile" not in made.info


def grey_profile(gamma: float) -> bytes:
    """A minimal ICC profile: white point and one curve."""
    curve = b"curv" + bytes(4) + (1).to_bytes(4, "big") + int(gamma * 256).to_bytes(2, "big")
    curve += bytes(2)
    white = (
        b"XYZ "
        + bytes(4)
        + b"".join(int(value * 65536).to_bytes(4, "big") for value in (0.9642, 1.0, 0.8249))
    )
    tags = [(b"wtpt", white), (b"kTRC", curve)]
    offset, table, body = 128 + 4 + 12 * len(tags), b"", b""
    for name, data in tags:
        table += name + (offset + len(body)).to_bytes(4, "big") + len(data).to_bytes(4, "big")
        body += data
    body = len(tags).to_bytes(4, "big") + table + body
    header = (128 + len(body)).to_bytes(4, "big") + bytes(4) + bytes.fromhex("02400000")
    header += b"mntrGRAYXYZ " + bytes(12) + b"acsp" + bytes(28)
    header += white[8:] + bytes(48)
    return header + body


# What is refused


@pytest.mark.parametrize(
    "content",
    [b"", b"GIF89a" + bytes(30), b"<html>", b"\x89PNG\r\n\x1a\n", b"RIFF\x00\x00\x00\x00WEBP"],
)
def test_what_is_no_image_is_refused(content, tmp_path):
    (tmp_path / "a.png").write_bytes(content)
    with pytest.raises(ImageError, match="the poster"):
        read_image(tmp_path / "a.png", "the poster")


@pytest.mark.parametrize("suffix", FORMATS)
def test_an_image_that_is_cut_short_is_refused(suffix, tmp_path):
    source = saved(Image.effect_noise((200, 200), 90), tmp_path / f"a.{suffix}")
    source.write_bytes(source.read_bytes()[:2000])
    with pytest.raises(ImageError, match="the poster cannot be decoded"):
        read_image(source, "the poster")


def test_an_image_with_too_many_pixels_is_refused_before_it_is_decoded(tmp_path, monkeypatch):
    source = saved(halves(size=(100, 100)), tmp_path / "a.png")
    monkeypatch.setattr(resize, "MAX_PIXELS", 9_999)
    monkeypatch.setattr(Image.Image, "load", lambda image: pytest.fail("decoded"))
    with pytest.raises(ImageError, match="the poster has 100x100 pixels"):
        read_image(source, "the poster")


def test_a_small_file_that_would_fill_the_memory_is_refused(tmp_path):
    bomb = io.BytesIO()
    Image.new("1", (16_000, 16_000)).save(bomb, "PNG")
    (tmp_path / "a.png").write_bytes(bomb.getvalue())
    with pytest.raises(ImageError, match=r"DecompressionBombError|megapixels"):
        read_image(tmp_path / "a.png", "the poster")


def test_without_pillow_the_error_says_how_to_install_it(monkeypatch):
    real_import = builtins.__import__

    def without_pillow(name, *arguments, **more):
        if name == "PIL":
            raise ImportError(name)
        return real_import(name, *arguments, **more)

    monkeypatch.setattr(builtins, "__import__", without_pillow)
    with pytest.raises(
        MissingLibraryError, match=r"pip install 'airflow-provider-apiframe\[images\]'"
    ):
        require_pillow()
