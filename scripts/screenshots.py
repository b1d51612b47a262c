"""``make screenshots``: the images of the documentation, of a real Airflow in a real browser."""

from __future__ import annotations

import argparse
import io
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from PIL import Image
from playwright.sync_api import Browser, Page, expect
from ui import DAG_ID, ROOT, airflow_with_a_run

sys.path.append(str(ROOT / "tests" / "browser"))

from airflow_pages import AirflowPages
from chromium import running_chromium
from one_machine import OneMachine

from airflow_provider_apiframe.sandbox.server import Sandbox

FOLDER = ROOT / "docs" / "images"
WIDTH, HEIGHT = 1280, 900
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
        for name, shot in SHOTS.items():
            for theme in ("light", "dark") if name in BOTH_THEMES else ("light",):
                with _page(browser, airflow, arguments.width, theme) as page:
                    shot(AirflowPages(page, airflow.api), sandbox)
                    suffix = f"-{theme}" if name in BOTH_THEMES else ""
                    _save(page, arguments.folder / f"{name}{suffix}.webp")


@contextmanager
def _page(browser: Browser, airflow: OneMachine, width: int, theme: str) -> Iterator[Page]:
    context = browser.new_context(
        base_url=airflow.url, viewport={"width": width, "height": HEIGHT}, locale="en-US"
    )
    context.set_default_timeout(PATIENCE)
    context.add_init_script(f"localStorage.setItem('theme', '{theme}')")
    yield context.new_page()
    context.close()


def connection_form(pages: AirflowPages, sandbox: Sandbox) -> None:
    """Fill in the form of a connection."""
    form = pages.open_connection_form("apiframe")
    form.get_by_label("API key").fill(sandbox.api_key)
    form.get_by_label("Port").fill("443")


def trigger_form(pages: AirflowPages, _: Sandbox) -> None:
    """Open the form that starts a run."""
    pages.open_trigger_form(DAG_ID)


SHOTS: dict[str, Callable[[AirflowPages, Sandbox], None]] = {
    "connection-form": connection_form,
    "trigger-form": trigger_form,
}
BOTH_THEMES = ("gallery",)


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
