"""``make screenshots``: the images of the documentation, of a real Airflow in a real browser."""

from __future__ import annotations

import argparse
import io
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from PIL import Image
from playwright.sync_api import Browser, Locator, Page, expect
from ui import DAG_ID, FIRST_LATENCY, ROOT, airflow_with_a_run

sys.path.append(str(ROOT / "tests" / "browser"))

from airflow_pages import AirflowPages, expect_loaded
from chromium import running_chromium
from gallery_page import GalleryPage
from one_machine import OneMachine
from waiting import wait_until

from airflow_provider_apiframe.sandbox.server import Sandbox

FOLDER = ROOT / "docs" / "images"
WIDTH, HEIGHT = 1280, 900
CAMPAIGN_RUN = "autumn_campaign"
CAMPAIGN = {
    "headline": "AUTUMN SALE",
    "products": ["running shoes", "sunglasses"],
    "channels": {"story": "9:16", "feed": "1:1", "banner": "16:9"},
}
IMAGES = 6
REVIEW_DAG_ID = "example_approved_campaign"
REVIEW_RUN = "summer_poster"
MAX_BYTES = 150_000
PATIENCE = 60_000  # milliseconds


def main() -> None:
    """Start Airflow and the browser, and take one screenshot after the other."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--width", type=int, default=WIDTH, help=f"pixels; default {WIDTH}")
    parser.add_argument("--folder", type=Path, default=FOLDER, help=f"default {FOLDER}")
    arguments = parser.parse_args()
    arguments.folder.mkdir(parents=True, exist_ok=True)
    expect.set_options(timeout=PATIENCE)
    with running_chromium() as browser, airflow_with_a_run() as (airflow, sandbox):
        _start_runs(airflow, sandbox)
        for name, shot in SHOTS.items():
            for theme in ("light", "dark") if name in BOTH_THEMES else ("light",):
                with _page(browser, airflow, arguments.width, theme) as page:
                    shot(AirflowPages(page, airflow.api), sandbox)
                    suffix = f"-{theme}" if name in BOTH_THEMES else ""
                    _save(page, arguments.folder / f"{name}{suffix}.webp")


@contextmanager
def _page(browser: Browser, airflow: OneMachine, width: int, theme: str) -> Iterator[Page]:
    context = browser.new_context(
        base_url=f"{airflow.url}/", viewport={"width": width, "height": HEIGHT}, locale="en-US"
    )
    context.set_default_timeout(PATIENCE)
    context.add_init_script(f"localStorage.setItem('theme', '{theme}')")
    yield context.new_page()
    context.close()


def connection_form(pages: AirflowPages, sandbox: Sandbox) -> None:
    """Fill in the form of a connection."""
    form = pages.open_connection_form("apiframe_default")
    form.get_by_label("API key").fill(sandbox.api_key)
    form.get_by_label("Port").fill("443")
    _fit(pages.page, form)


def trigger_form(pages: AirflowPages, _: Sandbox) -> None:
    """Open the form that starts a run."""
    form = pages.open_trigger_form(DAG_ID)
    # The editor of JSON loads later, and has a height of its own.
    expect(form.locator(".view-lines").first).to_contain_text("16:9")
    _fit(pages.page, form)


def gallery(pages: AirflowPages, _: Sandbox) -> None:
    """Show the images of a run."""
    shown = GalleryPage(pages.page, pages.api)
    shown.open(DAG_ID, CAMPAIGN_RUN)
    images = shown.cards.locator("img")
    expect(images).to_have_count(IMAGES)
    for image in images.all():
        expect_loaded(image)
    (frame,) = (frame for frame in pages.page.frames if "/apiframe/" in frame.url)
    top = pages.page.locator("iframe").evaluate("frame => frame.getBoundingClientRect().top")
    _resize(pages.page, top + frame.evaluate("() => document.body.scrollHeight"))
    frame.evaluate("() => scrollTo(0, 0)")


def gallery_detail(pages: AirflowPages, _: Sandbox) -> None:
    """Show one image of a run, and all that is known of it."""
    GalleryPage(pages.page, pages.api).open(DAG_ID, CAMPAIGN_RUN)
    frame = pages.page.frame_locator("iframe")
    frame.get_by_test_id("open").first.click()
    expect_loaded(frame.get_by_test_id("full-image"))


def review(pages: AirflowPages, _: Sandbox) -> None:
    """Show the form that asks which candidate is published."""
    pages.open_task(REVIEW_DAG_ID, REVIEW_RUN, "review_images.review_1")
    pages.page.get_by_role("link", name="Required Action").click()
    images = pages.page.get_by_role("img", name="Image")
    expect(images.first).to_be_visible()
    for image in images.all():
        expect_loaded(image)
    _resize(pages.page, HEIGHT + 120)  # for the first row of candidates
    pages.page.get_by_text("Round 1 of").scroll_into_view_if_needed()


SHOTS: dict[str, Callable[[AirflowPages, Sandbox], None]] = {
    "connection-form": connection_form,
    "trigger-form": trigger_form,
    "gallery": gallery,
    "gallery-detail": gallery_detail,
    "review": review,
}
BOTH_THEMES = ("gallery",)


def _start_runs(airflow: OneMachine, sandbox: Sandbox) -> None:
    """Start what the screenshots show, and wait until it is there."""
    sandbox.configure(latency=FIRST_LATENCY)
    output = f"{airflow.home}/images/"
    airflow.api.start_run(DAG_ID, CAMPAIGN_RUN, {**CAMPAIGN, "output": output})
    airflow.api.start_run(REVIEW_DAG_ID, REVIEW_RUN, {"output": output})

    def are_there() -> bool:
        made = [ti for ti in airflow.api.tasks(CAMPAIGN_RUN) if ti["task_id"] == "images"]
        waits = any(ti["state"] == "awaiting_input" for ti in airflow.api.tasks(REVIEW_RUN))
        return waits and [ti["state"] for ti in made] == ["success"] * IMAGES

    wait_until(are_there, "the runs are there", 300, every=1)


def _fit(page: Page, dialog: Locator) -> None:
    """Make the page as high as a dialog needs."""
    _resize(page, dialog.evaluate("dialog => dialog.scrollHeight + 2 * dialog.offsetTop"))
    page.evaluate("document.activeElement.blur()")


def _resize(page: Page, height: float) -> None:
    size = page.viewport_size
    assert size is not None
    page.set_viewport_size({"width": size["width"], "height": int(height)})


def _save(page: Page, file: Path) -> None:
    """Keep what the page shows, as a WebP file that is small."""
    taken = Image.open(io.BytesIO(page.screenshot(animations="disabled")))
    taken.convert("RGB").save(file, quality=85, method=6)
    size = file.stat().st_size
    print(f"{file}  {taken.width} x {taken.height}  {size / 1000:.0f} KB", flush=True)
    if size > MAX_BYTES:
        sys.exit(f"{file} has more than {MAX_BYTES / 1000:.0f} KB")


if __name__ == "__main__":
    main()
