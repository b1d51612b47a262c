from __future__ import annotations

import shutil
import time
from io import BytesIO

import pytest
from PIL import Image

from airflow_provider_apiframe.delivery import lettering
from airflow_provider_apiframe.delivery.lettering import compare, read_lettering, wanted_phrases
from airflow_provider_apiframe.hooks.apiframe import ApiframeHook
from airflow_provider_apiframe.sandbox.images.poster import Poster, render


@pytest.fixture
def tesseract():
    pytest.importorskip("pytesseract", reason="the extra ocr is not installed")
    if shutil.which("tesseract") is None:
        pytest.skip("the program tesseract is not installed")


@pytest.fixture
def poster(tmp_path):
    """A poster that shows the words, saved, as the result of its task."""

    def poster(words: str, *, form: str = "png", mode: str = "RGB") -> dict[str, object]:
        drawn = render(
            Poster(prompt=f'"{words}"', model="flux-2-flex", width=768, height=1344, seed=3)
        )
        file = tmp_path / f"poster.{form}"
        Image.open(BytesIO(drawn)).convert(mode).save(file)
        return {"job_id": "j-1", "images": [{"uri": f"file://{file}", "url": "https://x/y"}]}

    return poster


@pytest.mark.parametrize(
    ("prompt", "phrases"),
    [
        ('a poster reading "SUMMER  SALE"', ["SUMMER SALE"]),
        ("it's 'New In' and don't say 'Don't stop'", ["New In", "Don't stop"]),
        (
            "“Große Eröffnung”, „ab heute“, «soldes», \u2018hi\u2019",
            ["Große Eröffnung", "ab heute", "soldes", "hi"],
        ),
        ('"A" and "A"', ["A"]),
        ("the dogs' toys aren't the cats' toys", []),
        ('"..." and ""', []),
        (f'"{"x" * 101}"', []),
        (" ".join(f'"{number}"' for number in range(20)), [str(number) for number in range(10)]),
        ("no words", []),
    ],
)
def test_the_words_that_a_prompt_quotes_are_wanted(prompt, phrases):
    assert wanted_phrases(prompt) == phrases


@pytest.mark.parametrize("opener", ["'", '"', "“", "„", "«", "\u2018"])
def test_a_prompt_full_of_quotes_takes_no_time(opener):
    start = time.perf_counter()
    wanted_phrases(f"a {opener}" * 700)
    wanted_phrases(opener + "x'" * 1000)
    assert time.perf_counter() - start < 1


@pytest.mark.parametrize(
    "text",
    [
        "SUMMER SALE",
        "summer\nsale",
        "~ Summer | Sale!",
        "SUM MER SALE",
        "SUMMERSALE",
        "5UMMER 5ALE",
    ],
)
def test_what_ocr_mixes_up_counts_as_the_same(text):
    assert compare(["SUMMER SALE"], iter([text]))["found"] == ["SUMMER SALE"]


@pytest.mark.parametrize(
    ("text", "nearest"),
    [
        ("Our “SUMER SALE” today", "SUMER SALE"),
        ("SUMMER SALT", "SUMMER SALT"),
        ("SUMMER", "SUMMER"),
        ("WINTER BREAK", ""),
        ("", ""),
    ],
)
def test_another_letter_is_another_word(text, nearest):
    reading = compare(["SUMMER SALE"], iter([text]))
    assert reading == {"found": [], "missing": {"SUMMER SALE": nearest}, "problem": None}


def test_a_word_inside_another_one_is_not_found():
    assert compare(["SALE"], iter(["WHOLESALE"]))["found"] == []


def test_what_one_way_of_reading_misses_another_one_finds():
    reading = compare(["SUMMER SALE", "50% OFF"], iter(["SUMER SALE 50% OFF", "SUMMER SALE"]))
    assert reading["found"] == ["SUMMER SALE", "50% OFF"]


def test_no_image_is_read_again_once_all_is_found():
    def texts():
        yield "SALE"
        raise AssertionError("read again")

    assert compare(["SALE"], texts())["found"] == ["SALE"]


@pytest.mark.parametrize("options", [{}, {"form": "webp"}, {"form": "jpg"}, {"mode": "RGBA"}])
def test_the_words_on_a_poster_are_read(tesseract, poster, options):
    reading = read_lettering(ApiframeHook(), poster("SUMMER SALE", **options), ["Summer Sale"])
    assert reading == {"found": ["Summer Sale"], "missing": {}, "problem": None}


def test_a_word_that_is_spelt_wrong_is_noticed(tesseract, poster):
    reading = read_lettering(ApiframeHook(), poster("SUMER SALE"), ["SUMMER SALE"])
    assert reading["missing"] == {"SUMMER SALE": "SUMER SALE"}


def test_an_image_that_was_not_saved_is_read_by_its_link(tesseract, connected):
    hook = ApiframeHook()
    job_id = hook.generate_image(prompt='a poster reading "NEW IN"').job_id
    job = hook.wait_for_job(job_id)
    result = {"job_id": job_id, "images": [{"uri": None, "url": job.image_urls[0]}]}
    assert read_lettering(hook, result, ["NEW IN"])["found"] == ["NEW IN"]


def test_a_program_that_is_not_there_is_a_problem_and_no_error(poster, monkeypatch):
    pytest.importorskip("pytesseract", reason="the extra ocr is not installed")
    monkeypatch.setenv("PATH", "")
    problem = read_lettering(ApiframeHook(), poster("SALE"), ["SALE"])["problem"]
    assert "tesseract is not installed" in problem


def test_a_library_that_is_not_there_is_a_problem_and_no_error(poster, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "pytesseract", None)
    problem = read_lettering(ApiframeHook(), poster("SALE"), ["SALE"])["problem"]
    assert "pip install 'airflow-provider-apiframe[ocr]'" in problem


@pytest.mark.parametrize("content", [b"", b"no image", b"\x89PNG\r\n\x1a\nbroken"])
def test_a_file_that_is_no_image_is_a_problem_and_no_error(tmp_path, content):
    pytest.importorskip("pytesseract", reason="the extra ocr is not installed")
    (tmp_path / "x.png").write_bytes(content)
    result = {"job_id": "j", "images": [{"uri": f"file://{tmp_path}/x.png", "url": ""}]}
    assert read_lettering(ApiframeHook(), result, ["SALE"])["problem"]


def test_a_file_that_is_gone_is_a_problem_and_no_error(tmp_path):
    pytest.importorskip("pytesseract", reason="the extra ocr is not installed")
    result = {"job_id": "j", "images": [{"uri": f"file://{tmp_path}/x.png", "url": ""}]}
    assert "could not be read" in read_lettering(ApiframeHook(), result, ["SALE"])["problem"]


def test_letters_that_are_not_latin_are_not_judged(poster):
    problem = read_lettering(ApiframeHook(), poster("SALE"), ["Распродажа"])["problem"]
    assert "not Latin" in problem


def test_reading_ends_in_time(poster, monkeypatch):
    monkeypatch.setattr(lettering, "MAX_SECONDS", 0.05)
    monkeypatch.setattr(lettering, "_read", lambda *_: time.sleep(5))
    problem = read_lettering(ApiframeHook(), poster("SALE"), ["SALE"])["problem"]
    assert problem == "it took more than 0.05 s"
