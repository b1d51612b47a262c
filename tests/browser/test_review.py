"""A person looks at candidates and chooses one, or asks for others."""

from __future__ import annotations

from typing import Any

from airflow_pages import AirflowPages, expect_loaded
from one_machine import OneMachine
from playwright.sync_api import Locator, expect
from vendor import Vendor
from waiting import wait_until

MARKUP = "A poster <script>document.title = 'owned'</script> ![x](http://127.0.0.1:1/x) `sale`"


class Review:
    """A run of the DAG, in the browser.

    :param run_id: of the run, which this starts with *params*.
    """

    def __init__(
        self,
        pages: AirflowPages,
        airflow: OneMachine,
        run_id: str,
        dag_id: str = "approval",
        **params: str,
    ) -> None:
        self.pages = pages
        self.airflow = airflow
        self.run_id = run_id
        self.dag_id = dag_id
        airflow.api.start_run(dag_id, run_id, params)

    def open_form(self, number: int, candidates: int = 2) -> Locator:
        """Open the form of a round once it is there, and return its images."""
        task_id = f"review_images.review_{number}"
        wait_until(
            lambda: self.state(task_id) == "awaiting_input", f"{task_id} waits", 120, every=0.5
        )
        self.pages.open_task(self.dag_id, self.run_id, task_id)
        self.pages.page.get_by_role("link", name="Required Action").click()
        images = self.pages.page.get_by_role("img", name="Image")
        expect(images).to_have_count(candidates)
        for image in images.all():
            expect_loaded(image)
        return images

    def choose(self, option: str) -> None:
        self.pages.page.get_by_role("button", name=option, exact=True).click()

    def state(self, task_id: str) -> str | None:
        return self._task(task_id).get("state")

    def published(self) -> str:
        """Wait for the end, and return what the last task says."""
        wait_until(
            lambda: self.airflow.api.run_ended(self.dag_id, self.run_id),
            "the run ends",
            120,
            every=0.5,
        )
        return str(self.airflow.api.xcom(self._task("publish")))

    def chosen(self) -> dict[str, Any]:
        return dict(self.airflow.api.xcom(self._task("review_images.chosen")))

    def _task(self, task_id: str) -> dict[str, str]:
        tasks = self.airflow.api.tasks(self.run_id)
        return next((ti for ti in tasks if ti["task_id"] == task_id), {})


def test_the_image_that_is_picked_is_published(
    pages: AirflowPages, airflow: OneMachine, vendor: Vendor
) -> None:
    review = Review(pages, airflow, "picked", prompt=MARKUP)
    review.open_form(1)
    expect(pages.page.get_by_text(MARKUP).first).to_be_visible()
    assert pages.page.title() != "owned"

    review.choose("Image 2")
    assert review.published() == f"image 2 of {MARKUP}"
    assert review.state("review_images.plan_2") == "skipped"
    assert vendor.paid_jobs(MARKUP) == 2


def test_other_images_are_made_by_an_edited_prompt(
    pages: AirflowPages, airflow: OneMachine, vendor: Vendor
) -> None:
    review = Review(pages, airflow, "edited", prompt="A red bicycle")
    first = review.open_form(1).first.get_attribute("src")
    pages.page.locator("[name=element_new_prompt]").fill("A blue bicycle")
    review.choose("New images")

    assert review.open_form(2).first.get_attribute("src") != first
    expect(pages.page.get_by_text("A blue bicycle").first).to_be_visible()
    review.choose("Image 1")
    assert review.published() == "image 1 of A blue bicycle"
    assert vendor.paid_jobs("A red bicycle") == vendor.paid_jobs("A blue bicycle") == 2


def test_one_of_four_images_is_picked_from_a_list(
    pages: AirflowPages, airflow: OneMachine, vendor: Vendor
) -> None:
    """Airflow has a button for each of four options at most; the example has six."""
    output = f"{airflow.home}/approved/"
    dag_id = "example_approved_campaign"
    review = Review(pages, airflow, "listed", dag_id, headline="FIRST SNOW", output=output)
    review.open_form(1, candidates=4)
    pages.page.get_by_role("combobox").last.fill("Image 3")
    pages.page.get_by_role("option", name="Image 3", exact=True).click()
    review.choose("Respond")

    published = review.published()
    assert review.chosen()["image"] == 3
    assert review.chosen()["images"][0]["uri"] == published
    assert vendor.paid_jobs("FIRST SNOW") == 4
