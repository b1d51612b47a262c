"""A person chooses an image, while processes die: nothing is paid twice, and what was chosen goes
on."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlencode

import pytest
from airflow.sdk import task_group
from one_machine import OneMachine
from waiting import wait_until

from airflow_provider_apiframe.sandbox.server import Sandbox

CONNECTION = "review"
# Who answers sooner may meet a scheduler that has not heard yet of the end of the process that made
# the form: it takes that for the end of the one that reads the answer, and tries the task again.
READING_SECONDS = 8
WAITING = ("awaiting_input", "deferred")


@pytest.fixture(scope="module")
def vendor(airflow: OneMachine) -> Iterator[Sandbox]:
    with Sandbox(latency=1.0) as sandbox:
        airflow.api.add_connection(CONNECTION, sandbox.url, sandbox.api_key, "{}")
        yield sandbox


class Review:
    """A run of a DAG with a review, named after its prompt."""

    def __init__(self, airflow: OneMachine, vendor: Sandbox, kind: str, name: str) -> None:
        self.airflow, self.vendor = airflow, vendor
        self.dag_id, self.name = f"review_{kind}", name
        self._first_seen: dict[tuple[str, int], float] = {}

    def start(self) -> Review:
        conf = {"conn_id": CONNECTION, "prompt": self.name}
        self.airflow.api.start_run(self.dag_id, self.name, conf)
        return self

    def arm(self, point: str) -> None:
        (self.airflow.breakpoints / f"{self.name}.{point}").touch()

    def kill_at(self, point: str) -> None:
        hit = self.airflow.breakpoints / f"{self.name}.{point}.hit"
        wait_until(hit.exists, f"{self.name} reaches the breakpoint {point}")
        assert self.airflow.kill_task(int(hit.read_text()))

    def answer(self, option: str, **typed: str) -> dict[str, Any]:
        """Wait for a form that nobody has answered, answer it, and return it."""
        form = self.wait_for_form()
        ti = form["task_instance"]
        place = {name: ti[name] for name in ("region_id", "region_index") if name in ti}
        self.airflow.api.patch(
            f"{self._run}/taskInstances/{ti['task_id']}/-1/hitlDetails?{urlencode(place)}",
            {"chosen_options": [option], "params_input": typed},
        )
        return form

    def wait_for_form(self) -> dict[str, Any]:
        """Wait for a form that has been open for some time, and return it."""
        return wait_until(self._open_form, f"{self.name} asks", every=0.5)

    def clear(self, task_id: str, *, include_downstream: bool) -> None:
        body = {
            "dry_run": False,
            "dag_run_id": self.name,
            "task_ids": [task_id],
            "only_failed": False,
            "include_downstream": include_downstream,
        }
        self.airflow.api.post(f"/dags/{self.dag_id}/clearTaskInstances", body)

    def _open_form(self) -> dict[str, Any] | None:
        for form in self.airflow.api.get(f"{self._run}/hitlDetails")["hitl_details"]:
            ti = form["task_instance"]
            now = time.monotonic()
            seen = self._first_seen.setdefault((ti["id"], ti["try_number"]), now)
            is_open = ti["state"] in WAITING and not form["response_received"]
            if is_open and now - seen > READING_SECONDS:
                return dict(form)
        return None

    @property
    def _run(self) -> str:
        return f"/dags/{self.dag_id}/dagRuns/{self.name}"

    def tasks(self) -> dict[str, str]:
        """Wait for the end; return the state of each task that is not mapped."""
        wait_until(
            lambda: self.airflow.api.run_ended(self.dag_id, self.name),
            f"{self.name} ends",
            every=0.5,
        )
        found = self.airflow.api.tasks(self.name, fresh=True)
        return {task["task_id"]: task["state"] for task in found if task["map_index"] < 0}

    def published(self) -> Any:
        tasks = self.airflow.api.tasks(self.name, fresh=True)
        (task,) = [task for task in tasks if task["task_id"] == "publish"]
        return self.airflow.api.xcom(task)

    def paid(self, prompt: str) -> list[str]:
        """The ids of the jobs of a prompt, which nobody was given back."""
        jobs = self.vendor.state.jobs
        return [job.id for job in jobs if job.input["prompt"] == prompt and not job.refunded]


def test_whatever_dies_each_candidate_is_paid_once_and_the_chosen_one_goes_on(
    airflow: OneMachine, vendor: Sandbox
) -> None:
    review = Review(airflow, vendor, "asked", "a-mug")
    review.arm("responded")
    review.arm("answered")
    review.start()
    review.kill_at("responded")  # a candidate is accepted, and its worker dies
    review.answer("New images", new_prompt="a-cup")
    review.kill_at("answered")  # the answer is there, and the worker that reads it dies
    review.answer("New images", new_prompt="a-cup")
    form = review.answer("Image 2")
    assert form["options"] == ["Image 1", "Image 2", "None of these"]
    tasks = review.tasks()
    assert tasks["publish"] == "success", airflow.task_logs("a-mug")
    assert len(review.paid("a-mug")) == len(review.paid("a-cup")) == 2
    published = review.published()
    assert published["image"] == 2
    assert published["job_id"] in review.paid("a-cup")


@pytest.mark.parametrize(("kind", "state"), [("first", "success"), ("none", "skipped")])
def test_the_end_of_the_time_takes_the_default(
    airflow: OneMachine, vendor: Sandbox, kind: str, state: str
) -> None:
    review = Review(airflow, vendor, f"default_{kind}", f"a-bag-{kind}").start()
    assert review.tasks()["publish"] == state, airflow.task_logs(review.name)
    assert len(review.paid(review.name)) == 2
    if state == "success":
        assert review.published()["image"] == 1


def test_nobody_approves_an_image_that_the_form_does_not_show(
    airflow: OneMachine, vendor: Sandbox
) -> None:
    review = Review(airflow, vendor, "asked", "a-cap").start()
    task_id = review.wait_for_form()["task_instance"]["task_id"]
    old = review.paid("a-cap")
    review.clear(task_id, include_downstream=False)
    assert review.wait_for_form()["body"].count("![Image") == 2  # the same images again
    assert review.paid("a-cap") == old

    review.clear(task_id.replace(".review", ".candidates"), include_downstream=True)
    wait_until(lambda: len(review.paid("a-cap")) == 4, "new images are made")
    new = [job_id for job_id in review.paid("a-cap") if job_id not in old]
    if hasattr(task_group(group_id="a_group")(lambda: None), "loop"):  # Airflow 3.4
        form = wait_until(
            lambda: (form := review.wait_for_form()) and new[0] in form["body"] and form,
            "the form shows the new images",
        )
        assert not any(job_id in form["body"] for job_id in old)
        return
    assert review.tasks()[task_id] == "failed"
    assert "Image 1 was made anew" in airflow.task_logs("a-cap")


def test_images_that_are_kept_are_asked_about_again(airflow: OneMachine, vendor: Sandbox) -> None:
    review = Review(airflow, vendor, "kept", "a-pen").start()
    first = review.wait_for_form()
    task_id = first["task_instance"]["task_id"]
    paid = review.paid("a-pen")
    review.clear(task_id.replace(".review", ".plan"), include_downstream=True)
    again = review.answer("Image 2")
    assert again["body"] == first["body"]
    assert review.tasks()["publish"] == "success", airflow.task_logs("a-pen")
    tasks = airflow.api.tasks("a-pen", fresh=True)
    made = [
        task["try_number"]
        for task in tasks
        if ".candidates" in task["task_id"] and task["state"] == "success"
    ]
    assert made == [2, 2]
    assert review.paid("a-pen") == paid
    assert len(paid) == 2
