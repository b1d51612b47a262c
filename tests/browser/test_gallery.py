"""The gallery shows the images of a run and of a task, while they are made and afterwards."""

from __future__ import annotations

import re

import pytest
from airflow_pages import expect_loaded
from gallery_page import GalleryPage
from one_machine import OneMachine
from playwright.sync_api import Page, expect
from vendor import LONG, Vendor

MARKUP = """A hat <script>document.title = 'owned'</script><img src=x onerror="document.title =
 'owned'">[x](javascript:alert(1)) ![y](http://127.0.0.1:1/y) [images: 2]"""
PROMPTS = ["A running shoe", MARKUP, "A thing [fail: Flagged by moderation]"]


@pytest.fixture(scope="module")
def finished_run(airflow: OneMachine, vendor: Vendor) -> str:
    """A run with three images, saved, and one that was refused."""
    airflow.api.start_run("campaign", "finished", {"prompts": PROMPTS})
    return "finished"


@pytest.fixture
def finished(gallery: GalleryPage, finished_run: str) -> str:
    gallery.wait_for_run("campaign", finished_run)
    return finished_run


@pytest.fixture
def said(page: Page) -> list[str]:
    """What the page's scripts say of themselves: errors, dialogs, what the policy refused."""
    said: list[str] = []
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("dialog", lambda dialog: (said.append(dialog.message), dialog.dismiss()))
    page.on(
        "console",
        lambda message: (
            said.append(message.text)
            if message.type == "error" and "/apiframe/" in message.location.get("url", "")
            else None
        ),
    )
    return said


def test_a_run_shows_its_images_and_why_one_is_missing(
    gallery: GalleryPage, finished: str, said: list[str]
) -> None:
    gallery.open("campaign", finished)
    expect(gallery.cards).to_have_count(4)
    for card in gallery.cards.filter(has_text="Done").all():
        expect_loaded(card.locator("img"))
    expect(gallery.card("A running shoe").get_by_test_id("credits")).to_have_text("12 credits")
    expect(gallery.card("A thing")).to_contain_text("Flagged by moderation")
    expect(gallery.frame.get_by_test_id("totals")).to_contain_text("3 images · 24 credits")

    # What a prompt has of markup stays text.
    expect(gallery.card("A hat").first.get_by_test_id("prompt")).to_contain_text("<script>")
    assert gallery.page.title() != "owned"
    assert not said


def test_a_task_shows_its_image_only(gallery: GalleryPage, finished: str) -> None:
    gallery.open("campaign", finished, "images", 0)
    expect(gallery.cards).to_have_count(1)
    expect_loaded(gallery.card("A running shoe").locator("img"))


def test_an_image_is_shown_in_full_size_with_all_that_is_known_of_it(
    gallery: GalleryPage, finished: str
) -> None:
    gallery.open("campaign", finished)
    gallery.card("A running shoe").get_by_test_id("open").click()
    detail = gallery.frame.get_by_role("dialog")
    image = detail.get_by_test_id("full-image")
    expect_loaded(image)
    assert image.evaluate("image => image.naturalWidth") == 1024
    expect(detail.get_by_test_id("params")).to_contain_text("flux-2-flex")

    gallery.page.keyboard.press("ArrowRight")
    expect(detail.get_by_test_id("detail-prompt")).to_contain_text("A hat")
    gallery.page.keyboard.press("Escape")
    expect(detail).to_be_hidden()


def test_the_link_of_a_saved_image_opens_it_in_the_gallery(
    gallery: GalleryPage, finished: str
) -> None:
    page = gallery.page
    page.goto(f"/dags/campaign/runs/{finished}/tasks/images/mapped/0/details")
    page.get_by_role("link", name="Image", exact=True).click()
    page.wait_for_url(re.compile("/apiframe/gallery"))
    expect_loaded(page.get_by_role("dialog").get_by_test_id("full-image"))


def test_images_are_found_by_words_and_by_state(gallery: GalleryPage, finished: str) -> None:
    gallery.open("campaign", finished)
    expect(gallery.cards).to_have_count(4)
    gallery.frame.get_by_role("searchbox").fill("shoe")
    expect(gallery.cards.locator("visible=true")).to_have_count(1)
    gallery.frame.get_by_role("searchbox").fill("")
    gallery.frame.get_by_role("combobox", name="State").select_option(label="Failed (1)")
    expect(gallery.cards.locator("visible=true")).to_have_count(1)


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_the_gallery_has_no_serious_accessibility_fault(
    gallery: GalleryPage, finished: str, theme: str
) -> None:
    gallery.page.add_init_script(f"localStorage.setItem('theme', '{theme}')")
    gallery.open("campaign", finished)
    expect(gallery.cards).to_have_count(4)
    assert gallery.serious_faults() == []
    gallery.card("A running shoe").get_by_test_id("open").click()
    expect(gallery.frame.get_by_role("dialog")).to_be_visible()
    assert gallery.serious_faults() == []


def test_an_image_appears_when_it_is_made(
    gallery: GalleryPage, airflow: OneMachine, vendor: Vendor
) -> None:
    prompts = ["A quick sketch", f"A slow painting [takes: {LONG}]"]
    airflow.api.start_run("campaign", "running", {"prompts": prompts})
    gallery.open("campaign", "running")
    expect_loaded(gallery.card("A quick sketch").locator("img"))
    slow = gallery.card("A slow painting")
    expect(slow.get_by_test_id("progress")).to_be_visible()
    expect(gallery.frame.get_by_test_id("totals")).to_contain_text("1 image")
    vendor.finish_jobs()
    expect(slow).to_contain_text("Done")
    expect_loaded(slow.locator("img"))


def test_a_run_without_images_costs_nothing_and_says_so(
    gallery: GalleryPage, airflow: OneMachine
) -> None:
    asked: list[str] = []
    gallery.page.on("request", lambda request: asked.append(request.url))
    airflow.api.start_run("without_images", "plain", {})
    gallery.page.goto("/dags/without_images/runs/plain")
    expect(gallery.page.get_by_role("link", name="Task Instances").first).to_be_visible()
    gallery.page.wait_for_load_state("networkidle")
    ours = {url.partition("/apiframe/")[2] for url in asked if "/apiframe/" in url}
    assert ours <= {"static/icon.svg"}, "only the tab's icon is asked for"

    gallery.wait_for_run("without_images", "plain")
    gallery.open("without_images", "plain")
    expect(gallery.frame.get_by_test_id("empty")).to_contain_text("No Apiframe images here")
