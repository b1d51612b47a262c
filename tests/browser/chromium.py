"""The browser that the tests drive: the system's Chromium, not one that Playwright downloads."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Browser, sync_playwright

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    # It calls nobody but the servers of the tests.
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


class NoBrowserError(Exception):
    """There is no Chromium on this machine."""


def find_chromium() -> Path:
    """Return where Chromium is.

    :raises NoBrowserError: it is not installed.
    """
    named = os.environ.get("CHROMIUM")
    for name in [named] if named else NAMES:
        if found := shutil.which(name):
            return Path(found)
    raise NoBrowserError(
        f"These tests need {named or 'Chromium'}, and it is not there. Install it (Debian: apt-get "
        "install chromium), or say in CHROMIUM where a Chromium or Chrome is."
    )


@contextmanager
def running_chromium() -> Iterator[Browser]:
    """Start the browser, and end it afterwards.

    :raises NoBrowserError: it is not installed.
    """
    path = find_chromium()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=FLAGS)
        try:
            yield browser
        finally:
            browser.close()
