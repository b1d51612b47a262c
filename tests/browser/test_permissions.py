"""Who may not see a task's XComs does not see its images."""

from __future__ import annotations

import re

import requests
from airflow_pages import LogIn
from one_machine import OneMachine
from playwright.sync_api import expect
from waiting import wait_until

RUN = {"dag_id": "campaign", "run_id": "secret"}
IMAGE = {**RUN, "task_id": "images", "map_index": 0}


def test_a_viewer_without_permission_sees_nothing(log_in: LogIn, airflow: OneMachine) -> None:
    airflow.api.start_run(RUN["dag_id"], RUN["run_id"], {"prompts": ["A new product"]})
    wait_until(lambda: airflow.api.run_ended(RUN["dag_id"], RUN["run_id"]), "it ends", every=0.5)

    def image_status(user: str | None) -> int:
        headers = {"Authorization": f"Bearer {airflow.api.token(user)}"} if user else {}
        url = f"{airflow.url}/apiframe/image"
        return requests.get(url, params=IMAGE, headers=headers, timeout=30).status_code

    assert [image_status(user) for user in ("admin", "guest", None)] == [200, 403, 401]

    page = log_in("guest")
    page.goto(f"/apiframe/gallery?dag_id={RUN['dag_id']}&run_id={RUN['run_id']}")
    expect(page.get_by_role("alert")).to_contain_text("You may not see")
    expect(page.get_by_test_id("card")).to_have_count(0)
    expect(page.get_by_text(re.compile("A new product"))).to_have_count(0)
