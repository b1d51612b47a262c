"""One Airflow and one browser for all tests here; each test has a page of its own.

What a failed test saw is kept in ``test-results/``: a screenshot and a trace, for
``playwright show-trace``.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from airflow_pages import AirflowPages, LogIn
from chromium import running_chromium
from deployment import running
from gallery_page import GalleryPage
from one_machine import OneMachine
from playwright.sync_api import Browser, BrowserContext, Page, expect
from vendor import Vendor

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
RESULTS = ROOT / "test-results"
PATIENCE = 30_000  # milliseconds; a busy machine is no finding
USERS = {"admin": "admin", "guest": ""}  # a user without a role may see nothing
FAILED = pytest.StashKey[bool]()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    report = yield
    item.stash[FAILED] = item.stash.get(FAILED, False) or report.failed
    return report


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    expect.set_options(timeout=PATIENCE)
    with running_chromium() as browser:
        yield browser


# The browser comes first: where it is missing nothing else need start.
@pytest.fixture(scope="session")
def airflow(browser: Browser, request: pytest.FixtureRequest) -> Iterator[OneMachine]:
    deployment = OneMachine(ROOT / "example_dags", HERE / "dags", users=USERS)
    with running(deployment, request.session) as deployment:
        yield deployment


@pytest.fixture(scope="session")
def vendor(airflow: OneMachine) -> Iterator[Vendor]:
    with Vendor() as vendor:
        airflow.api.add_connection("apiframe_default", vendor.url, vendor.api_key)
        yield vendor


@pytest.fixture
def log_in(
    browser: Browser, airflow: OneMachine, vendor: Vendor, request: pytest.FixtureRequest
) -> Iterator[LogIn]:
    """Call it for a page of a user."""
    contexts: list[BrowserContext] = []

    def log_in(user: str, address: str = "") -> Page:
        address = address or airflow.url
        context = browser.new_context(
            base_url=f"{address}/", viewport={"width": 1280, "height": 900}, locale="en-US"
        )
        contexts.append(context)
        context.set_default_timeout(PATIENCE)
        context.tracing.start(snapshots=True, screenshots=True)
        token = airflow.api.token(user)
        context.add_cookies([{"name": "_token", "value": token, "url": address}])
        return context.new_page()

    yield log_in
    for number, context in enumerate(contexts):
        kept = RESULTS / f"{request.node.name}-{number}"
        if failed := request.node.stash.get(FAILED, True):
            for page in context.pages:
                page.screenshot(path=kept.with_suffix(".png"))
        context.tracing.stop(path=kept.with_suffix(".zip") if failed else None)
        context.close()


@pytest.fixture
def page(log_in: LogIn) -> Page:
    """A page of the admin."""
    return log_in("admin")


@pytest.fixture
def gallery(page: Page, airflow: OneMachine) -> GalleryPage:
    """The gallery on the admin's page."""
    return GalleryPage(page, airflow.api)


@pytest.fixture
def pages(page: Page, airflow: OneMachine) -> AirflowPages:
    """Ways through Airflow's UI on the admin's page."""
    return AirflowPages(page, airflow.api)
