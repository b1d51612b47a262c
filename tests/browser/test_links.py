"""The links on a task instance lead where their names say."""

from __future__ import annotations

from airflow_pages import AirflowPages, expect_loaded
from one_machine import OneMachine
from playwright.sync_api import Page, expect
from vendor import LONG, Vendor
from waiting import wait_until

PROMPT = "A poster of a lighthouse"


def test_a_waiting_task_links_to_its_job_and_a_finished_one_to_its_image(
    pages: AirflowPages, airflow: OneMachine, vendor: Vendor
) -> None:
    airflow.api.start_run("poster", "linked", {"prompt": f"{PROMPT} [takes: {LONG}]"})
    wait_until(
        lambda: airflow.api.tasks("linked")[0]["state"] == "deferred", "the task waits", every=0.5
    )
    pages.open_links("poster", "linked", "poster")
    job = _open(pages.page, "Apiframe job")
    expect(job.get_by_text(PROMPT).first).to_be_visible()

    vendor.finish_jobs()
    pages.expect_state("Success")
    pages.page.reload()
    expect_loaded(_open(pages.page, "Image").locator("img"))


def _open(page: Page, link: str) -> Page:
    """Click on a link that opens a tab of its own, and return that."""
    with page.context.expect_page() as opened:
        page.get_by_role("link", name=link, exact=True).click()
    return opened.value
