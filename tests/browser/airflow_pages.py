"""Ways through Airflow's UI, by what it calls its parts."""

from __future__ import annotations

import re
from typing import Any, Protocol

from airflow_api import AirflowApi
from playwright.sync_api import Locator, Page, expect
from waiting import wait_until


class LogIn(Protocol):
    """Returns a page of a user, by name, on an Airflow at an address."""

    def __call__(self, user: str, address: str = "") -> Page: ...


class AirflowPages:
    """A page of Airflow's UI.

    :param page: of the browser, logged in.
    :param api: to wait for what is not on the page.
    """

    def __init__(self, page: Page, api: AirflowApi) -> None:
        self.page = page
        self.api = api

    def open_connection_form(self, connection_id: str) -> Locator:
        """Open the form of a new connection to Apiframe."""
        self.page.goto("./connections")
        self.page.get_by_role("button", name="Add Connection").click()
        form = self.page.get_by_role("dialog")
        form.get_by_label("Connection ID").fill(connection_id)
        form.get_by_label("Connection Type").fill("apif")
        self.page.get_by_role("option", name="Apiframe", exact=True).click()
        expect(form.get_by_label("API key")).to_be_visible()
        return form

    def trigger(self, dag_id: str, **params: str) -> str:
        """Start a run by the form, with texts in the fields of its parameters; return its id."""
        form = self.open_trigger_form(dag_id)
        for name, text in params.items():
            form.locator(f"[name=element_{name}]").fill(text)
        form.get_by_role("button", name="Trigger").click()
        expect(form).to_be_hidden()
        runs = wait_until(lambda: self._runs(dag_id), f"a run of {dag_id} is there", every=0.3)
        return str(runs[0]["dag_run_id"])

    def _runs(self, dag_id: str) -> list[dict[str, Any]]:
        path = f"/dags/{dag_id}/dagRuns"
        return list(self.api.get(path, order_by="-run_after", limit=1)["dag_runs"])

    def open_trigger_form(self, dag_id: str) -> Locator:
        """Open the form that starts a run."""
        self.page.goto(f"./dags/{dag_id}")
        self.page.get_by_role("button", name="Trigger Dag").click()
        form = self.page.get_by_role("dialog").filter(has_text=f"Trigger Dag - {dag_id}")
        expect(form).to_be_visible()
        return form

    def open_task(self, dag_id: str, run_id: str, task_id: str, map_index: int = -1) -> None:
        """Open the page of a task instance."""
        path = f"./dags/{dag_id}/runs/{run_id}/tasks/{task_id}"
        self.page.goto(path if map_index < 0 else f"{path}/mapped/{map_index}")

    def open_links(self, dag_id: str, run_id: str, task_id: str, map_index: int = -1) -> None:
        """Open the page of a task instance where its links are."""
        self.open_task(dag_id, run_id, task_id, map_index)
        self.page.get_by_role("link", name="Details", exact=True).click()

    def expect_state(self, state: str) -> None:
        """Wait until the page of a run or a task instance shows a state."""
        expect(self.page.get_by_text(re.compile(f"^{state}$")).first).to_be_visible()


def expect_loaded(image: Locator) -> None:
    """Wait until an image is shown, not just its place."""
    image.scroll_into_view_if_needed()
    wait_until(
        lambda: image.evaluate("image => image.complete && image.naturalWidth > 0"),
        f"{image.get_attribute('src')} is loaded",
        seconds=60,
    )
