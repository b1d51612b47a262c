from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from airflow_provider_apiframe.delivery import review_form
from airflow_provider_apiframe.delivery.lettering import Reading
from airflow_provider_apiframe.delivery.review_form import (
    Candidate,
    ImageLink,
    block,
    code,
    form_text,
    image_links,
    lettering_text,
    lettering_texts,
)
from airflow_provider_apiframe.delivery.review_result import ReviewRound

LINK = ImageLink("https://cdn.example/a.png", "https://cdn.example/a.png")
INJECTIONS = [
    "![x](https://evil.example/pixel.png)",
    "```\n![x](https://evil.example/pixel.png)\n```",
    "````\n# Title\n<img src=x onerror=alert(1)>",
    "~~~\n[click](javascript:alert(1))",
    "> quote\n\n- list\n\n---\n| a |",
    "https://evil.example",
    "`",
    "\n\n    code\n",
]


def body(prompt="a mug", candidates=(), **arguments) -> str:
    return form_text(
        ReviewRound(number=1, prompt=prompt, seeds=[], spent=0, price=None),
        candidates,
        **{
            "rounds": 2,
            "spent": 24.0,
            "max_credits": None,
            "can_go_on": True,
            "again": "New images",
            "nothing": "None of these",
            **arguments,
        },
    )


def tokens(markdown: str) -> list[str]:
    """The types of all that a Markdown reader finds, links without a mark included."""
    found = []
    for token in MarkdownIt("gfm-like", {"linkify": False}).parse(markdown):
        found += [token.type, *(child.type for child in token.children or ())]
    return found


def result(*images):
    return {"images": [{"url": url, "uri": uri} for url, uri in images]}


@pytest.mark.parametrize("text", INJECTIONS)
def test_a_prompt_stays_text(text):
    assert tokens(body(text)) == tokens(body("a mug"))


@given(st.text(alphabet=st.sampled_from("`~\n\r\t <>![]()#*_|\\a\u2028\x0c"), max_size=80))
def test_no_prompt_at_all_becomes_markup(text):
    assert tokens(body(text)) == tokens(body("a mug"))


@given(st.text(alphabet=st.sampled_from("`\n <>![]()#*_|\\a"), max_size=60).filter(str.strip))
def test_a_remark_is_one_piece_of_code(text):
    (inline,) = [token for token in MarkdownIt().parse(f"x {code(text)} y") if token.children]
    assert [child.type for child in inline.children] == ["text", "code_inline", "text"]
    assert inline.children[1].content.strip() == " ".join(text.split())


@given(st.text(alphabet=st.sampled_from("`|\\\n <>![]()#*_a"), max_size=60).filter(str.strip))
@example("a \\| b")
def test_no_reason_of_a_failure_leaves_its_cell(text):
    failed = [Candidate(None, (), None, seed, failure=text) for seed in (1, 2, 3)]
    plain = [Candidate(None, (), None, seed, failure="refused") for seed in (1, 2, 3)]
    assert tokens(body(candidates=failed)) == tokens(body(candidates=plain))


def test_a_long_prompt_is_shown_whole_in_lines_that_need_no_scrolling():
    prompt = "word " * 300
    lines = block(prompt).splitlines()
    assert max(map(len, lines)) <= 90
    assert " ".join(" ".join(lines[1:-1]).split()) == prompt.strip()


def test_each_candidate_has_its_image_and_what_there_is_to_know():
    text = body(
        candidates=[
            Candidate("j-1", (LINK,), 12.0, 7, "By OCR: says ` SALE `"),
            Candidate(None, (), None, 8, failure="refused: `nudity`"),
        ],
        max_credits=100,
    )
    assert "24 credits spent of at most 100" in text
    rows = [line for line in text.splitlines() if line.startswith("|")]
    assert rows == [
        "| **Image 1** | **Image 2** |",
        "| --- | --- |",
        "| ![Image 1](<https://cdn.example/a.png>) | Not made: `` refused: `nudity` `` |",
        "| Seed 7 · 12 credits · job ` j-1 ` · [full size](<https://cdn.example/a.png>) |  |",
        "| By OCR: says ` SALE ` |  |",
    ]
    assert "pays for 2 more" in text


@pytest.mark.parametrize(
    ("number", "why"), [(2, "this is the last round"), (1, "the credits are used up")]
)
def test_the_form_says_why_there_is_no_other_round(number, why):
    planned = ReviewRound(number=number, prompt="a mug", seeds=[], spent=0, price=None)
    text = form_text(
        planned,
        [],
        rounds=2,
        spent=0,
        max_credits=None,
        can_go_on=False,
        again="New images",
        nothing="None of these",
    )
    assert why in text
    assert "New images" not in text


def test_an_image_that_is_not_saved_is_shown_by_the_vendors_link():
    (link,) = image_links(
        result(("https://cdn.example/a>![x](y).png?sig=%41", None)), base_url=None, coordinates={}
    )
    assert link.source == link.target == "https://cdn.example/a%3E![x](y).png?sig=%41"
    assert tokens(f"![a](<{link.source}>)").count("image") == 1


@pytest.mark.parametrize("url", ["javascript:alert(1)", "data:image/png;base64,x", "/etc/passwd"])
def test_a_link_that_no_browser_should_follow_is_left_out(url):
    assert image_links(result((url, None)), base_url=None, coordinates={}) == ()


def test_a_saved_image_comes_from_the_gallerys_route():
    coordinates = {
        "dag_id": "d",
        "run_id": "manual__2026+00:00 x",
        "task_id": "g.c",
        "map_index": 1,
    }
    saved = result(("https://cdn.example/a", "s3://b/a.png"), ("https://cdn.example/b", "s3://b/b"))
    links = image_links(saved, base_url="https://airflow.example/base/", coordinates=coordinates)
    assert links[1].target == (
        "https://airflow.example/base/apiframe/image?dag_id=d&run_id=manual__2026%2B00%3A00%20x"
        "&task_id=g.c&map_index=1&n=2"
    )
    assert links[1].source == f"{links[1].target}&size=thumbnail"


def test_without_the_address_of_the_api_server_a_saved_image_is_shown_by_the_vendors_link():
    links = image_links(
        result(("https://cdn.example/a", "s3://b/a.png")), base_url=None, coordinates={}
    )
    assert links == (ImageLink("https://cdn.example/a", "https://cdn.example/a"),)


def test_a_saved_image_with_a_public_address_is_shown_by_that(monkeypatch):
    monkeypatch.setattr(review_form, "public_url", lambda uri: "https://public.example/a.png")
    links = image_links(
        result(("https://cdn.example/a", "s3://b/a.png")),
        base_url="https://airflow.example",
        coordinates={},
    )
    assert links == (ImageLink("https://public.example/a.png", "https://public.example/a.png"),)


def test_the_form_says_what_was_read():
    reading = Reading(
        found=["50% OFF"], missing={"SUMMER SALE": "SUMER SALE", "NEW": ""}, problem=None
    )
    assert lettering_text(reading) == (
        "By OCR: says ` 50% OFF `; ` SUMMER SALE ` **not found**, reads ` SUMER SALE `; "
        "` NEW ` **not found**"
    )


def test_the_form_says_that_nothing_was_read():
    reading = Reading(found=[], missing={}, problem="tesseract is not installed")
    assert lettering_text(reading) == "The lettering was not read: ` tesseract is not installed `"


def test_what_keeps_all_candidates_from_being_read_is_said_once():
    problem = Reading(found=[], missing={}, problem="tesseract is not installed")
    remark, texts = lettering_texts([problem, None, problem])
    assert remark == lettering_text(problem)
    assert texts == [None, None, None]
    assert body(remark=remark).count("tesseract is not installed") == 1


def test_what_keeps_one_candidate_from_being_read_is_said_of_that_one():
    problem = Reading(found=[], missing={}, problem="no image")
    read = Reading(found=["SALE"], missing={}, problem=None)
    texts = [lettering_text(problem), None, lettering_text(read)]
    assert lettering_texts([problem, None, read]) == (None, texts)


def test_without_a_judge_nothing_is_said():
    assert lettering_texts([None, None]) == (None, [None, None])
