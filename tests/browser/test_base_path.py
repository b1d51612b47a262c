"""The gallery under a base path, as behind a proxy that serves more than Airflow."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import suppress

import psutil
import pytest
import requests
from airflow_pages import LogIn, expect_loaded
from gallery_page import GalleryPage
from one_machine import OneMachine
from playwright.sync_api import Page
from ports import free_port
from waiting import wait_until


@pytest.fixture
def address(airflow: OneMachine) -> Iterator[str]:
    """Where one more API server answers."""
    port = free_port()
    address = f"http://127.0.0.1:{port}/data/airflow"
    command = [
        "-m",
        "airflow",
        "api-server",
        "--workers",
        "1",
        "--apps",
        "core",
        "--port",
        str(port),
    ]
    pid = airflow.start_process(
        "api-server-under-a-path",
        [sys.executable, *command],
        AIRFLOW__API__BASE_URL=address,
    )

    def is_up() -> bool:
        with suppress(requests.ConnectionError):
            return requests.get(f"{address}/api/v2/version", timeout=30).ok
        return False

    wait_until(is_up, "it is up", every=0.5)
    yield address
    psutil.Process(pid).kill()


@pytest.fixture
def page(log_in: LogIn, address: str) -> Page:
    return log_in("admin", address)


def test_the_gallery_works_under_a_base_path(
    gallery: GalleryPage, airflow: OneMachine, address: str
) -> None:
    airflow.api.start_run("campaign", "under_a_path", {"prompts": ["A shoe on a path"]})
    gallery.wait_for_run("campaign", "under_a_path")
    gallery.open("campaign", "under_a_path")
    image = gallery.card("A shoe on a path").locator("img")
    expect_loaded(image)
    assert image.evaluate("image => image.src").startswith(f"{address}/apiframe/image?")
