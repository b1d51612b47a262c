"""The connection form as a user meets it: filled in, saved, and tested."""

from __future__ import annotations

from airflow_pages import AirflowPages
from playwright.sync_api import expect

from airflow_provider_apiframe.sandbox.server import Sandbox


def test_a_connection_is_filled_in_saved_and_its_test_is_green(
    pages: AirflowPages, vendor: Sandbox
) -> None:
    page = pages.page
    form = pages.open_connection_form("from_the_browser")
    form.get_by_label("Base URL").fill(vendor.url)
    form.get_by_label("API key").fill(vendor.api_key)
    # The one in the base URL counts, but its placeholder asks for one, for the sake of Test.
    form.get_by_label("Port").fill("443")

    form.get_by_role("button", name="Extra Fields", exact=True).click()
    retries = form.get_by_role("group").filter(has_text="Retries per request")
    expect(retries).to_contain_text("Default: 4.")
    form.get_by_label("Timeout per request (s)").fill("20")
    form.get_by_role("button", name="Save").click()
    expect(form).to_be_hidden()

    row = page.get_by_role("row").filter(has_text="from_the_browser")
    expect(row).not_to_contain_text(vendor.api_key)
    button = row.get_by_role("button", name="Test Connection")
    button.click()
    expect(page.get_by_role("status").filter(has_text="Connected to team")).to_be_visible()
    expect(button.locator("svg")).to_have_css("color", "rgb(0, 128, 0)")
