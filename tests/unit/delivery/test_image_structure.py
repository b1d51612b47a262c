"""The structure of image files: sizes without Pillow, and nothing believed that a file says."""

from __future__ import annotations

import struct
import tracemalloc
from io import BytesIO
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from image_files import PLAIN, PNG_SIGNATURE, SAMPLES, jpeg_segment, pixels, png_chunk, webp_chunk

from airflow_provider_apiframe.api.errors import BrokenImageError
from airflow_provider_apiframe.delivery.image_pieces import MAX_PIECES
from airflow_provider_apiframe.delivery.image_structure import image_size, read_structure

PNG_START = PNG_SIGNATURE + png_chunk(b"IHDR", struct.pack(">IIBBBBB", 7, 9, 8, 0, 0, 0, 0))
JPEG_FRAME = jpeg_segment(0xC0, struct.pack(">BHHB", 8, 9, 7, 1) + b"\1\x11\0")


@pytest.fixture
def file(tmp_path):
    """Call it with bytes for the path of a file that holds them."""

    def write(data: bytes) -> Path:
        path = tmp_path / "image"
        path.write_bytes(data)
        return path

    return write


def walk(data: bytes) -> list[bytes]:
    return [piece.kind for piece in read_structure(BytesIO(data)).pieces()]


@pytest.mark.parametrize("name", SAMPLES)
def test_the_size_is_the_one_that_pillow_sees(file, name):
    data = SAMPLES[name]()
    assert image_size(file(data)) == pixels(data)[0][1]


@pytest.mark.parametrize("name", SAMPLES)
def test_the_pieces_make_up_the_whole_file_without_gaps(name):
    data = SAMPLES[name]()
    pieces = list(read_structure(BytesIO(data)).pieces())
    assert pieces[0].start == {"p": 8, "j": 0, "w": 12}[name[0]]
    assert [piece.start for piece in pieces[1:]] == [piece.end for piece in pieces[:-1]]
    assert pieces[-1].end == len(data)


def test_the_size_of_a_jpeg_is_found_behind_much_metadata(file):
    data = SAMPLES["jpeg rgb"]()
    segments = jpeg_segment(0xE2, b"x" * 65_533) * 20 + jpeg_segment(0xFE, b"\xff\xc0 no frame")
    assert image_size(file(data[:2] + segments + data[2:])) == (61, 43)


def test_a_jpeg_may_fill_up_with_ff_before_a_marker(file):
    data = SAMPLES["jpeg rgb"]()
    end = data.rindex(b"\xff\xd9")
    filled = data[:2] + b"\xff" * 3 + data[2:end] + b"\xff" * 3 + data[end:]
    assert image_size(file(filled)) == (61, 43)
    assert walk(filled) == walk(data)


def test_a_marker_is_found_on_the_border_of_two_reads():
    start = b"\xff\xd8" + JPEG_FRAME + jpeg_segment(0xDA, b"\1\1\0\0\x3f\0")
    for coded in range(65_530, 65_540):
        assert walk(start + b"\xff\x00" + b"x" * coded + b"\xff\xd9")[-1] == b"\xd9"


@pytest.mark.parametrize("data", [b"", b"GIF89a" + bytes(50), b"no image", b"\x89PNG", b"RIFF"])
def test_what_is_no_image_has_no_size(file, data):
    assert image_size(file(data)) is None
    with pytest.raises(BrokenImageError, match="does not begin like"):
        read_structure(BytesIO(data))


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (PNG_START, "cut short"),
        (PNG_START + struct.pack(">I4s", 2**32 - 1, b"IDAT") + bytes(99), "cut short"),
        (PNG_SIGNATURE + png_chunk(b"IDAT", b""), "begins with b'IDAT'"),
        (PNG_SIGNATURE + png_chunk(b"IHDR", bytes(12)), "begins with b'IHDR'"),
        (b"\xff\xd8\xff\xe0", "cut short"),
        (b"\xff\xd8\xff\xe0\x00\x01", "no usable segment at byte 2"),
        (b"\xff\xd8\xff\xe0\xff\xff" + bytes(99), "cut short"),
        (b"\xff\xd8\xff\xe0\x00\x02garbage", "no marker at byte 6"),
        (b"\xff\xd8" + b"\xff" * 99, "no marker at byte 2"),
        (b"\xff\xd8\xff\xd8\xff\xd9", "no usable segment at byte 2"),
        (b"\xff\xd8" + JPEG_FRAME + jpeg_segment(0xDA, b"\1") + b"\xff\0" * 99, "cut short"),
        (b"RIFF\x10\0\0\0WEBPVP8 ", "cut short"),
        (b"RIFF\x10\0\0\0WEBPabcd" + bytes(99), "no usable chunk at byte 12"),
        (b"RIFF\x10\0\0\0WEBPVP8 \xff\xff\xff\xff" + bytes(99), "no usable chunk at byte 12"),
        (b"RIFF\xff\0\0\0WEBPVP8 \x10\0\0\0" + bytes(16), "cut short"),
    ],
)
def test_a_broken_structure_is_a_typed_error(data, says):
    with pytest.raises(BrokenImageError, match=says):
        walk(data)


@pytest.mark.parametrize(
    "data",
    [
        PNG_SIGNATURE + png_chunk(b"IHDR", bytes(13)),
        b"\xff\xd8" + jpeg_segment(0xC0, bytes(9)) + b"\xff\xd9",
        b"\xff\xd8\xff\xd9",
        b"RIFF\x16\0\0\0WEBP" + webp_chunk(b"VP8 ", bytes(10)),
        b"RIFF\x16\0\0\0WEBP" + webp_chunk(b"VP8L", bytes(10)),
        b"RIFF\x0e\0\0\0WEBP" + webp_chunk(b"VP8X", bytes(2)),
    ],
)
def test_an_image_that_says_no_size_has_none(file, data):
    assert image_size(file(data)) is None


@pytest.mark.parametrize("name", PLAIN)
def test_an_image_cut_short_has_its_own_size_or_none(file, name):
    data = SAMPLES[name]()
    size = pixels(data)[0][1]
    sizes = [image_size(file(data[:length])) for length in range(0, len(data), 7)]
    assert set(sizes) <= {None, size}
    for length in range(len(data) - 1):
        with pytest.raises(BrokenImageError):
            walk(data[:length])


@given(st.data())
@settings(max_examples=300)
def test_no_damage_leads_to_another_error_than_the_typed_one(data):
    image = bytearray(SAMPLES[data.draw(st.sampled_from(PLAIN))]())
    for _ in range(data.draw(st.integers(1, 8))):
        # Headers matter more than pixels.
        place = data.draw(st.integers(0, 80) | st.integers(0, len(image) - 1))
        image[place : place + 4] = data.draw(st.binary(min_size=1, max_size=6))
    file = BytesIO(image)
    try:
        structure = read_structure(file)
        for piece in structure.pieces():
            assert piece.start < piece.end <= len(image)
            structure.size_in(piece)
            structure.is_credentials(piece)
            structure.holds_pixels(piece)
            if structure.is_xmp(piece):
                structure.xmp_packet(piece)
    except BrokenImageError:
        pass


@pytest.mark.parametrize(
    "data",
    [
        PNG_START + png_chunk(b"abcd", b"") * MAX_PIECES,
        b"\xff\xd8" + jpeg_segment(0xFE, b"") * MAX_PIECES,
        b"RIFF\xff\xff\xff\0WEBPVP8 " + bytes(4) + webp_chunk(b"abcd", b"") * MAX_PIECES,
    ],
)
def test_an_image_of_endless_pieces_is_refused(data):
    with pytest.raises(BrokenImageError, match="more than 100,000 chunks"):
        walk(data)


def test_a_large_image_takes_little_memory(tmp_path):
    path, length = tmp_path / "large.jpg", 64 * 1024 * 1024
    with path.open("wb") as file:
        file.write(b"\xff\xd8" + jpeg_segment(0xDA, b"\1"))
        file.seek(length)
        file.write(JPEG_FRAME + b"\xff\xd9")
    tracemalloc.start()
    try:
        assert image_size(path) == (7, 9)
        assert tracemalloc.get_traced_memory()[1] < 1024 * 1024
    finally:
        tracemalloc.stop()
