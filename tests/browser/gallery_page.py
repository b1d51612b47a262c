"""The gallery in Airflow's UI, by what it calls its parts."""

from __future__ import annotations

from airflow_api import AirflowApi
from axe_playwright_python.base import AXE_SCRIPT
from playwright.sync_api import Frame, Locator, Page, expect
from waiting import wait_until

SERIOUS = ("serious", "critical")


class GalleryPage:
    """The tab "Images" of a run or a task instance.

    :param page: of the browser, logged in.
    :param api: to wait for what is not on the page.
    :ivar frame: what the tab shows.
    """

    def __init__(self, page: Page, api: AirflowApi) -> None:
        self.page = page
        self.api = api
        self.frame = page.frame_locator("iframe")

    def open(self, dag_id: str, run_id: str, task_id: str = "", map_index: int = -1) -> None:
        """Open the page of a run or a task instance, and click on the tab."""
        path = f"./dags/{dag_id}/runs/{run_id}"
        if task_id:
            path += f"/tasks/{task_id}"
        if map_index >= 0:
            path += f"/mapped/{map_index}"
        self.page.goto(path)
        self.page.get_by_role("link", name="Images", exact=True).click()
        expect(self.frame.get_by_role("heading", level=1)).to_be_visible()

    @property
    def cards(self) -> Locator:
        """One for each image, and for each task instance without one."""
        return self.frame.get_by_test_id("card")

    def card(self, text: str) -> Locator:
        """Return the cards that show *text*."""
        return self.cards.filter(has_text=text)

    def serious_faults(self) -> list[str]:
        """Return what axe-core finds to keep people from using the gallery."""
        (frame,) = (frame for frame in self.page.frames if "/apiframe/" in frame.url)
        return axe_faults(frame)

    def wait_for_run(self, dag_id: str, run_id: str) -> None:
        """Wait until a run has ended."""
        wait_until(lambda: self.api.run_ended(dag_id, run_id), f"{run_id} ends", every=0.5)


def axe_faults(frame: Frame | Page) -> list[str]:
    """Return the serious faults that axe-core finds in a frame."""
    frame.evaluate(AXE_SCRIPT)
    found = frame.evaluate("() => axe.run({resultTypes: ['violations']})")
    return [
        f"{fault['id']}: {fault['help']}: {[node['html'] for node in fault['nodes']]}"
        for fault in found["violations"]
        if fault["impact"] in SERIOUS
    ]
