"""What Airflow's REST API says of tasks that are under way, in real processes."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import pytest
from one_machine import OneMachine
from waiting import wait_until

from airflow_provider_apiframe.sandbox.server import Sandbox


@pytest.mark.parametrize("mode", ["sync", "deferrable"])
def test_a_task_under_way_shows_its_job_and_how_far_it_is(airflow: OneMachine, mode: str) -> None:
    dag_id, run_id = f"image_{mode}", f"seen_{mode}"
    task = f"/dags/{dag_id}/dagRuns/{run_id}/taskInstances/image"

    def link(name: str) -> str | None:
        found: dict[str, str | None] = airflow.api.get(f"{task}/links")["extra_links"]
        return found.get(name)

    def progress() -> Any:
        with suppress(AssertionError):  # 404 until it is there
            if mode == "sync":
                return airflow.api.get(f"{task}/state-store/apiframe_progress")["value"]
            return airflow.api.get(f"{task}/xcomEntries/apiframe_progress")["value"]
        return None

    with Sandbox() as sandbox:
        airflow.api.add_connection(run_id, sandbox.url, sandbox.api_key, "{}")
        airflow.api.start_run(dag_id, run_id, {"conn_id": run_id, "prompt": "a poster [stuck]"})
        wait_until(lambda: link("Apiframe job"), "the job's link is there", 120, every=0.5)
        assert airflow.api.get(task)["state"] in ("running", "deferred")
        (job,) = sandbox.state.jobs
        assert link("Apiframe job") == f"{sandbox.url}/_sandbox/jobs/{job.id}"
        assert link("Image") is None
        seen = wait_until(
            lambda: (found := progress()) and found["status"] == "PROCESSING" and found,
            "the progress is there",
            every=0.5,
        )
        assert seen["progress"] == 0
        assert airflow.api.get(task)["state"] == ("running" if mode == "sync" else "deferred")
        airflow.api.mark_failed(dag_id, run_id, "image")
