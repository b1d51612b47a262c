"""A run started by the form, and a task that waits."""

from __future__ import annotations

from airflow_pages import AirflowPages
from one_machine import OneMachine
from playwright.sync_api import expect
from vendor import LONG, Vendor


def test_a_run_started_by_the_form_makes_what_the_form_says(
    pages: AirflowPages, airflow: OneMachine, vendor: Vendor
) -> None:
    run_id = pages.trigger("example_flux_poster", headline="WINTER SALE")
    pages.page.goto(f"/dags/example_flux_poster/runs/{run_id}")
    pages.expect_state("Success")
    poster = airflow.api.get(f"/dags/example_flux_poster/dagRuns/{run_id}/taskInstances/poster")
    assert '"WINTER SALE"' in airflow.api.xcom(poster)["prompt"]
    assert vendor.paid_jobs("WINTER SALE") == 1


def test_a_task_that_waits_is_shown_as_deferred(
    pages: AirflowPages, airflow: OneMachine, vendor: Vendor
) -> None:
    airflow.api.start_run("poster", "waits", {"prompt": f"A poster [takes: {LONG}]"})
    pages.open_task("poster", "waits", "poster")
    pages.expect_state("Deferred")
    vendor.finish_jobs()
    pages.expect_state("Success")
    expect(pages.page.get_by_text("Apiframe accepted job").first).to_be_visible()
