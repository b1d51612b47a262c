"""The AI mark: read by others, found again by us, and nothing else of the file changed."""

from __future__ import annotations

import json
import logging
import re
import shutil
import subprocess
import tempfile
import time
import zlib
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from image_files import (
    PLAIN,
    SAMPLES,
    info,
    jpeg_segment,
    metadata_piece,
    pixels,
    png_chunk,
    png_chunks,
    webp_chunk,
    webp_chunks,
    with_metadata,
)
from PIL import Image

from airflow_provider_apiframe.api.errors import BrokenImageError
from airflow_provider_apiframe.delivery.provenance import FoundMark, Mark, add_mark, read_mark

JOB = "3f0c8a52-6f0e-4f0b-9d43-0f6f2f0f9a11"
MARK = Mark(JOB, "flux-2-flex", 2)
AI_MADE = "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"
RDF = "http://www.w3.org/1999/02/22-rdf-syntax-ns#"
IPTC = "http://iptc.org/std/Iptc4xmpExt/2008-02-29/"


@pytest.fixture
def files(tmp_path):
    """The path of an image, and the path that a mark goes to."""
    return tmp_path / "source", tmp_path / "target"


def marked(data: bytes, mark: Mark = MARK) -> bytes:
    """Return the image with a mark."""
    result = attempt(data, mark)
    assert result is not None
    return result


def attempt(data: bytes, mark: Mark = MARK) -> bytes | None:
    """Return the image with a mark, None where it is left as it is."""
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder, "source"), Path(folder, "target")
        source.write_bytes(data)
        done = add_mark(source, target, mark)
        assert source.read_bytes() == data
        assert target.exists() is done
        return target.read_bytes() if done else None


def found(data: bytes) -> FoundMark | None:
    return read_mark(BytesIO(data))


def xmp_of(data: bytes) -> bytes:
    """Return the XMP packet as Pillow reads it."""
    with Image.open(BytesIO(data)) as image:
        image.load()
        packet = image.info.get("xmp") or image.info["XML:com.adobe.xmp"]
    return packet if isinstance(packet, bytes) else packet.encode()


def xmp(properties: str = "", *, about: str = "", after: str = "", prolog: str = "") -> bytes:
    """Return a packet of somebody else's, whose prefixes are not the usual ones."""
    return (
        f'<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>{prolog}'
        f'<m:xmpmeta xmlns:m="adobe:ns:meta/"><r:RDF xmlns:r="{RDF}">'
        f'<r:Description r:about="{about}" xmlns:i="{IPTC}" xmlns:x="http://ns.adobe.com/xap/1.0/"'
        f' xmlns:t="http://purl.org/dc/terms/" x:Rating="5">{properties}</r:Description>'
        f'</r:RDF></m:xmpmeta>{after}<?xpacket end="w"?>'
    ).encode()


def with_xmp(sample: str, packet: bytes) -> bytes:
    data = SAMPLES[sample]()
    return with_metadata(data, metadata_piece(data, "xmp", packet))


@pytest.mark.parametrize("name", SAMPLES)
def test_a_mark_is_found_again(name):
    assert found(marked(SAMPLES[name]())) == FoundMark(JOB, 2, intact=True)


@pytest.mark.parametrize("name", SAMPLES)
def test_pixels_and_metadata_stay_as_they_were(name):
    data = SAMPLES[name]()
    result = marked(data)
    assert pixels(result) == pixels(data)
    assert info(result) == info(data)


@pytest.mark.parametrize("name", [name for name in SAMPLES if not name.startswith("webp")])
def test_the_mark_of_a_png_or_jpeg_is_put_between_bytes_that_stay(name):
    data = SAMPLES[name]()
    result = marked(data)
    start = next(place for place in range(len(data)) if result[place] != data[place])
    assert result.endswith(data[start:])


@pytest.mark.parametrize("name", [name for name in SAMPLES if name.startswith("webp")])
def test_the_mark_of_a_webp_leaves_its_chunks_as_they_were(name):
    data = SAMPLES[name]()
    before, after = list(webp_chunks(data)), list(webp_chunks(marked(data)))
    assert after[0][:4] == b"VP8X"
    flags = before[0][8] if before[0][:4] == b"VP8X" else after[0][8] & 0x10
    assert after[0][8] == flags | 0x04
    if before[0][:4] == b"VP8X":
        assert after[0][9:] == before[0][9:]
        before = before[1:]
    assert [chunk for chunk in after[1:] if chunk[:4] != b"XMP "] == before


@pytest.mark.parametrize(
    ("name", "transparent"),
    [("webp lossless", False), ("webp lossless transparent", True), ("webp lossy", False)],
)
def test_a_webp_that_gets_its_first_chunk_says_whether_it_is_transparent(name, transparent):
    data = SAMPLES[name]()
    assert next(webp_chunks(data))[:4] != b"VP8X"
    first = next(webp_chunks(marked(data)))
    assert bool(first[8] & 0x10) is transparent
    size = tuple(int.from_bytes(first[at : at + 3], "little") + 1 for at in (12, 15))
    assert size == pixels(data)[0][1]


def test_the_mark_stands_where_each_format_wants_it():
    png = [chunk[4:8] for chunk in png_chunks(marked(SAMPLES["png rgb"]()))]
    assert png[:2] == [b"IHDR", b"iTXt"]
    jpeg = marked(SAMPLES["jpeg with exif and icc"]())
    places = [jpeg.index(name) for name in (b"JFIF\0", b"Exif\0", b"http://ns.ad", b"ICC_PROFILE")]
    assert places == sorted(places)
    webp = [chunk[:4] for chunk in webp_chunks(marked(SAMPLES["webp with exif and icc"]()))]
    assert webp == [b"VP8X", b"ICCP", b"VP8 ", b"EXIF", b"XMP "]


@pytest.mark.parametrize("name", PLAIN)
def test_pillow_reads_what_the_mark_says(name):
    packet = xmp_of(marked(SAMPLES[name]())).decode()
    assert f"<Iptc4xmpExt:DigitalSourceType>{AI_MADE}</" in packet
    assert "<xmp:CreatorTool>Apiframe flux-2-flex</" in packet
    assert f"<apiframe:JobId>{JOB}</" in packet


@pytest.mark.skipif(shutil.which("exiftool") is None, reason="exiftool is not installed")
def test_exiftool_reads_what_the_marks_say_and_finds_the_files_valid(tmp_path):
    sources = [tmp_path / name for name in SAMPLES]
    targets = [tmp_path / f"{name} marked" for name in SAMPLES]
    for source, target in zip(sources, targets, strict=True):
        source.write_bytes(SAMPLES[source.name]())
        assert add_mark(source, target, MARK)
    command = ["exiftool", "-json", "-validate", "-warning", "-error", "-a", "-G1", "-XMP:all"]
    tags = json.loads(subprocess.check_output([*command, *sources, *targets], text=True))
    assert len(tags) == 2 * len(SAMPLES)
    for before, after in zip(tags[: len(SAMPLES)], tags[len(SAMPLES) :], strict=True):
        assert re.fullmatch(r"[0-9a-f]{64}", after.pop("XMP-apiframe:PixelsSHA256"))
        # Of some original it has something to complain about: it says no more of the marked one.
        assert after == before | {
            "SourceFile": f"{before['SourceFile']} marked",
            "XMP-iptcExt:DigitalSourceType": AI_MADE,
            "XMP-xmp:CreatorTool": "Apiframe flux-2-flex",
            "XMP-apiframe:JobId": JOB,
            "XMP-apiframe:Image": 2,
        }


@pytest.mark.parametrize("name", PLAIN)
def test_the_same_image_and_mark_give_the_same_bytes_also_at_once(files, name):
    source, target = files
    source.write_bytes(SAMPLES[name]())
    expected = marked(SAMPLES[name]())
    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(lambda _: add_mark(source, target, MARK), range(20)))
    assert target.read_bytes() == expected
    assert {path.name for path in target.parent.iterdir()} == {"source", "target"}


@pytest.mark.parametrize("name", PLAIN)
def test_an_image_can_be_marked_in_place(files, name):
    source, _ = files
    source.write_bytes(SAMPLES[name]())
    assert add_mark(source, source, MARK)
    assert source.read_bytes() == marked(SAMPLES[name]())


def test_a_mark_that_cannot_be_written_leaves_the_target_as_it_was(files):
    source, target = files
    source.write_bytes(SAMPLES["png rgb"]())
    (target / "in the way").mkdir(parents=True)
    with pytest.raises(OSError, match="target"):
        add_mark(source, target, MARK)
    assert sorted(path.name for path in source.parent.iterdir()) == ["source", "target"]


@pytest.mark.parametrize("model", ['<a> & "b"\0\x1b\ud800', "m" * 70_000, None, "模型 🖼"])
@pytest.mark.parametrize("name", PLAIN)
def test_a_model_of_any_name_gives_a_mark_that_can_be_read(name, model):
    result = marked(SAMPLES[name](), Mark(JOB, model, 1))
    assert found(result) == FoundMark(JOB, 1, intact=True)
    assert pixels(result) == pixels(SAMPLES[name]())
    assert len(xmp_of(result)) < 2000


@pytest.mark.parametrize("name", PLAIN)
def test_a_mark_is_read_from_a_path_and_from_an_open_file(files, name):
    path, _ = files
    path.write_bytes(marked(SAMPLES[name]()))
    assert read_mark(path) == FoundMark(JOB, 2, intact=True)
    with path.open("rb") as file:
        file.read(100)
        assert read_mark(file) == FoundMark(JOB, 2, intact=True)
        assert not file.closed


@pytest.mark.parametrize("name", PLAIN)
def test_other_pixels_are_not_the_marked_ones(name):
    data = marked(SAMPLES[name]())
    coded = {"png rgb": b"IDAT", "jpeg rgb": b"\xff\xda", "webp lossy": b"VP8 "}[name]
    changed = bytearray(data)
    changed[data.index(coded) + 60] ^= 1
    assert found(bytes(changed)) == FoundMark(JOB, 2, intact=False)


@pytest.mark.parametrize("name", ["png rgb", "jpeg rgb"])
def test_a_marked_image_cut_short_is_not_intact(name):
    assert found(marked(SAMPLES[name]())[:-40]) == FoundMark(JOB, 2, intact=False)


@pytest.mark.parametrize("name", PLAIN)
def test_an_image_stays_the_marked_one_when_others_add_metadata(name):
    data = marked(SAMPLES[name]())
    more = with_metadata(data, metadata_piece(data, "other", b"seen by the press office"))
    assert found(more) == FoundMark(JOB, 2, intact=True)


@pytest.mark.parametrize("name", PLAIN)
@pytest.mark.parametrize(
    "packet", [b"", b"no xml", xmp(), xmp(f"<i:DigitalSourceType>{AI_MADE}</i:DigitalSourceType>")]
)
def test_an_image_without_our_mark_has_none(name, packet):
    assert found(SAMPLES[name]()) is None
    assert found(with_xmp(name, packet)) is None
    assert found(packet) is None


@pytest.mark.parametrize("name", PLAIN)
def test_an_image_with_content_credentials_is_left_as_it_is(name, caplog):
    caplog.set_level(logging.INFO)
    data = SAMPLES[name]()
    content = b"\0\0\0\x20jumd" + b"c2pa" + bytes(12) + b"\3c2pa\0" + bytes(200)
    assert attempt(with_metadata(data, metadata_piece(data, "credentials", content))) is None
    assert f"Image 2 of job {JOB} is left as it is: it has content credentials" in caplog.text


def test_other_boxes_in_a_jpeg_are_no_content_credentials():
    data = SAMPLES["jpeg rgb"]()
    boxes = jpeg_segment(0xEB, b"JP" + bytes(14) + b"a 360 degree view" + bytes(200) + b"c2pa")
    assert attempt(with_metadata(data, boxes, jpeg_segment(0xEB, b"c2pa"))) is not None


@pytest.mark.parametrize("name", PLAIN)
@pytest.mark.parametrize(
    ("packet", "reason"),
    [
        (xmp(f"<i:DigitalSourceType>{AI_MADE}</i:DigitalSourceType>"), "it says by itself"),
        (xmp("<i:DigitalSourceType>digitalArt</i:DigitalSourceType>"), "made it: 'digitalArt'"),
        (xmp(f'<x:Tool i:DigitalSourceType="{AI_MADE}"/>'), "it says by itself"),
        (xmp("<t:provenance>https://a.example/1.c2pa</t:provenance>"), "credentials elsewhere"),
        (b"no xml", "cannot be read"),
        (b"", "cannot be read"),
        (xmp().decode().encode("utf-16"), "no place"),
        (xmp(prolog="<!DOCTYPE a>"), "cannot be read"),
        (xmp("&e;", prolog='<!DOCTYPE a [<!ENTITY e "e">]>'), "cannot be read"),
        (xmp()[:-60], "cannot be read"),
        (f'<r:RDF xmlns:r="{RDF}"/>'.encode(), "no place"),
        (f'<a xmlns:r="{RDF}"><r:RDF></r:RDF><r:RDF></r:RDF></a>'.encode(), "no place"),
        (b"<a></a>", "no place"),
    ],
)
def test_an_image_is_left_as_it_is_where_the_mark_cannot_be_added(name, packet, reason, caplog):
    caplog.set_level(logging.INFO)
    assert attempt(with_xmp(name, packet)) is None
    assert reason in caplog.text


@pytest.mark.parametrize("name", PLAIN)
def test_a_marked_image_is_not_marked_again(name):
    assert attempt(marked(SAMPLES[name]())) is None


@pytest.mark.parametrize("name", PLAIN)
def test_an_image_with_two_xmp_packets_is_left_as_it_is(name):
    piece = metadata_piece(SAMPLES[name](), "xmp", xmp())
    assert attempt(with_metadata(SAMPLES[name](), piece, piece)) is None


@pytest.mark.parametrize("name", PLAIN)
def test_xmp_that_is_there_is_kept_and_gets_the_mark(name):
    packet = xmp("<x:CreatorTool>A &amp; B</x:CreatorTool>", about="uuid:7", after=" " * 500)
    data = with_xmp(name, packet)
    result = marked(data)
    assert found(result) == FoundMark(JOB, 2, intact=True)
    assert pixels(result) == pixels(data)
    assert info(result) == info(data)
    before, after = packet.split(b"</r:RDF>")
    kept = xmp_of(result)
    assert kept.startswith(before)
    assert kept.endswith(b"</r:RDF>" + after)
    added = kept.removeprefix(before).decode()
    assert 'rdf:about="uuid:7"' in added
    assert AI_MADE in added
    assert "CreatorTool" not in added


@pytest.mark.skipif(shutil.which("exiftool") is None, reason="exiftool is not installed")
@pytest.mark.parametrize("name", PLAIN)
def test_exiftool_reads_the_mark_beside_other_xmp(files, name):
    source, target = files
    source.write_bytes(with_xmp(name, xmp("<x:CreatorTool>A &amp; B</x:CreatorTool>")))
    assert add_mark(source, target, MARK)
    command = ["exiftool", "-json", "-validate", "-warning", "-a", "-XMP:all", target]
    (tags,) = json.loads(subprocess.check_output(command, text=True))
    assert tags["DigitalSourceType"] == AI_MADE
    assert (tags["CreatorTool"], tags["Rating"]) == ("A & B", 5)
    assert (tags["JobId"], tags["Image"], tags["Validate"]) == (JOB, 2, "OK")


@pytest.mark.parametrize(
    ("compressed", "can_be_read"),
    [
        (zlib.compress(xmp()), True),
        (zlib.compress(xmp())[:-9], False),
        (b"not zlib", False),
        (zlib.compress(xmp(after=" " * 1024 * 1024)), False),
    ],
)
def test_compressed_xmp_in_a_png_is_read_within_a_bound(compressed, can_be_read):
    data = SAMPLES["png rgb"]()
    text = png_chunk(b"iTXt", b"XML:com.adobe.xmp\0\1\0en\0\0" + compressed)
    result = attempt(with_metadata(data, text))
    assert (result is not None) is can_be_read
    if result is not None:
        assert b'Rating="5"' in xmp_of(result)
        assert found(result) == FoundMark(JOB, 2, intact=True)


@pytest.mark.parametrize(
    "text", [b"XML:com.adobe.xmp\0", b"XML:com.adobe.xmp\0\0\0", b"XML:com.adobe.xmp\0\0\0en\0"]
)
def test_a_png_text_that_ends_too_early_is_left_as_it_is(text):
    assert attempt(with_metadata(SAMPLES["png rgb"](), png_chunk(b"iTXt", text))) is None


@pytest.mark.parametrize(("name", "room"), [("png rgb", 1_040_000), ("webp lossy", 1_040_000)])
def test_xmp_of_a_megabyte_gets_the_mark_and_larger_xmp_is_left(name, room):
    assert found(marked(with_xmp(name, xmp(after=" " * room)))) == FoundMark(JOB, 2, intact=True)
    assert attempt(with_xmp(name, xmp(after=" " * (room + 10_000)))) is None


def test_xmp_with_a_text_of_a_million_lines_is_read_in_no_time():
    text = f"<i:DigitalSourceType>{chr(10) * 1_000_000}</i:DigitalSourceType>"
    data = with_xmp("png rgb", xmp(text))
    started = time.process_time()
    assert attempt(data) is None
    assert time.process_time() - started < 5


def test_xmp_that_fills_its_jpeg_segment_is_left_as_it_is(caplog):
    assert attempt(with_xmp("jpeg rgb", xmp(after=" " * 64_000))) is not None
    assert attempt(with_xmp("jpeg rgb", xmp(after=" " * 65_000))) is None
    assert "leaves no room for the mark" in caplog.text


def test_a_broken_image_is_a_typed_error_and_nothing_is_written(files):
    source, target = files
    for data in (b"", b"no image", SAMPLES["png rgb"]()[:-1], b"RIFF\x16\0\0\0WEBPVP8 \x0a\0\0\0"):
        source.write_bytes(data)
        with pytest.raises(BrokenImageError):
            add_mark(source, target, MARK)
    source.write_bytes(b"RIFF\x16\0\0\0WEBP" + webp_chunk(b"VP8L", bytes(10)))
    with pytest.raises(BrokenImageError, match="holds no image"):
        add_mark(source, target, MARK)
    assert [path.name for path in source.parent.iterdir()] == ["source"]


@given(st.sampled_from(PLAIN), st.lists(st.binary(max_size=99), max_size=5))
@settings(max_examples=60)
def test_whatever_metadata_surrounds_it_the_mark_is_found_and_all_else_is_kept(name, contents):
    data = SAMPLES[name]()
    data = with_metadata(data, *[metadata_piece(data, "other", content) for content in contents])
    result = marked(data)
    assert found(result) == FoundMark(JOB, 2, intact=True)
    assert pixels(result) == pixels(data)
    if name == "webp lossy":
        kept = [chunk for chunk in webp_chunks(result) if chunk[:4] not in (b"VP8X", b"XMP ")]
        assert kept == list(webp_chunks(data))
    else:
        added = len(result) - len(data)
        start = next(place for place in range(len(data)) if result[place] != data[place])
        # Metadata may begin like the mark.
        assert any(
            result[:place] + result[place + added :] == data
            for place in range(start, max(start - 40, 0), -1)
        )


@given(st.data())
@settings(max_examples=150)
def test_a_damaged_image_ends_in_a_typed_error_or_is_marked_or_left(data):
    name = data.draw(st.sampled_from(PLAIN))
    image = bytearray(with_xmp(name, xmp()) if data.draw(st.booleans()) else SAMPLES[name]())
    for _ in range(data.draw(st.integers(1, 6))):
        place = data.draw(st.integers(0, 700) | st.integers(0, len(image) - 1))
        image[place : place + 4] = data.draw(st.binary(max_size=6))
    found(bytes(image))
    try:
        result = attempt(bytes(image))
    except BrokenImageError:
        return
    if result is not None:
        assert found(result) == FoundMark(JOB, 2, intact=True)


@given(st.sampled_from(PLAIN), st.binary(max_size=200))
@settings(max_examples=100)
def test_xmp_of_any_bytes_is_kept_as_it_is(name, packet):
    assert attempt(with_xmp(name, packet)) is None
