from __future__ import annotations

from io import BytesIO

import pytest
from image_files import SAMPLES
from PIL import Image

from airflow_provider_apiframe.delivery import resize
from airflow_provider_apiframe.plugins.thumbnails import EDGE, Thumbnails


@pytest.fixture
def file(tmp_path):
    file = tmp_path / "image"
    Image.new("RGB", (600, 1200), "teal").save(file, "PNG")
    return file


def size(thumbnail: bytes) -> tuple[int, int]:
    with Image.open(BytesIO(thumbnail)) as image:
        return image.size


def test_the_longer_side_gets_400_pixels(file):
    assert size(Thumbnails().make("a", file)) == (EDGE // 2, EDGE)


def test_a_small_image_is_not_blown_up(file):
    Image.new("RGB", (30, 20)).save(file, "JPEG")
    assert size(Thumbnails().make("a", file)) == (30, 20)


@pytest.mark.parametrize("sample", list(SAMPLES))
def test_every_kind_of_image_has_one(file, sample):
    file.write_bytes(SAMPLES[sample]())
    assert Thumbnails().make("a", file)


def test_what_pillow_cannot_decode_has_none(file):
    file.write_bytes(SAMPLES["png rgb"]()[:60])
    assert Thumbnails().make("a", file) is None


def test_what_would_need_too_much_memory_has_none(file, monkeypatch):
    monkeypatch.setattr(resize, "MAX_PIXELS", 1000)
    assert Thumbnails().make("a", file) is None


def test_it_is_made_once(file):
    thumbnails = Thumbnails()
    made = thumbnails.make("a", file)
    assert thumbnails.get("a") == made
    assert thumbnails.get("b") is None


def test_those_that_nobody_asked_for_go_first(file):
    length = len(Thumbnails().make("a", file))
    thumbnails = Thumbnails(max_bytes=2 * length)
    for name in ("a", "b"):
        thumbnails.make(name, file)
    thumbnails.get("a")
    thumbnails.make("c", file)
    assert [bool(thumbnails.get(name)) for name in ("a", "b", "c")] == [True, False, True]
