"""A run with 500 images: only what is looked at is loaded, and scrolling stays smooth."""

from __future__ import annotations

import time

from airflow_pages import expect_loaded
from gallery_page import GalleryPage
from many_images import COUNT, DAG_ID, make_run
from one_machine import OneMachine
from playwright.sync_api import Frame, expect

# The longest time between two frames while the gallery is scrolled from top to bottom.
SCROLL = """async () => {
  const scroller = document.scrollingElement;
  let longest = 0;
  let last = await new Promise(requestAnimationFrame);
  while (scroller.scrollTop + scroller.clientHeight < scroller.scrollHeight - 1) {
    scroller.scrollTop += scroller.clientHeight / 2;
    const now = await new Promise(requestAnimationFrame);
    longest = Math.max(longest, now - last);
    last = now;
  }
  return longest;
}"""
MAX_PAUSE = 1000  # milliseconds; on a machine that does much else


def test_500_images_stay_smooth(
    gallery: GalleryPage, airflow: OneMachine, tables: dict[str, list[str]]
) -> None:
    make_run(airflow, "all")
    thumbnails: set[str] = set()
    gallery.page.on(
        "request",
        lambda request: thumbnails.add(request.url) if "/image?" in request.url else None,
    )
    started = time.monotonic()
    gallery.open(DAG_ID, "all")
    expect_loaded(gallery.cards.first.locator("img"))
    first = time.monotonic() - started
    expect(gallery.cards).to_have_count(COUNT)
    expect(gallery.frame.get_by_test_id("totals")).to_contain_text(f"{COUNT} images")
    everything = time.monotonic() - started
    loaded_at_the_top = len(thumbnails)
    assert loaded_at_the_top < COUNT / 4, "images far below are loaded"

    (frame,) = (frame for frame in gallery.page.frames if "/apiframe/" in frame.url)
    longest = _scroll(frame)
    last = gallery.card(f"Poster number {COUNT - 1}")
    expect_loaded(last.locator("img"))
    tables[f"{COUNT} images in the gallery"] = [
        f"{first:.1f} s to the first image, {everything:.1f} s until all are listed; "
        f"{loaded_at_the_top} thumbnails loaded before scrolling; "
        f"longest pause while scrolling {longest:.0f} ms"
    ]
    assert longest < MAX_PAUSE


def _scroll(frame: Frame) -> float:
    return float(frame.evaluate(SCROLL))
