"""A worker that runs real task processes beside a stand-in for Airflow, and times each.

Each start is Airflow's own ``supervise_task()``: it forks a task process, which reads the DAG file,
runs the task and ends. The execution API that it reports to is played here, in memory, and so are
the scheduler, which starts a rescheduled task again, and the triggerer, which waits for a deferred
one. Neither of the two is counted: they hold no worker slot.
"""

from __future__ import annotations

import asyncio
import importlib
import json
import os
import sys
import time
import uuid
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

import httpx
from airflow.executors.workloads import TaskInstance
from airflow.executors.workloads.base import BundleInfo
from airflow.sdk.api.client import Client
from airflow.sdk.execution_time.supervisor import supervise_task
from airflow.sdk.serde import serialize

DAG_ID, RUN_ID, FILE = "images", "benchmark", "images.py"
MOST_STARTS = 20


class ExecutionApi:
    """Airflow's execution API for one DAG run, as far as these tasks use it.

    :ivar state: the last state that the running task reported, with what it said of it.
    :ivar reported: when it did, on the monotonic clock.
    """

    def __init__(self) -> None:
        self.state: dict[str, Any] = {}
        self.reported = 0.0
        self.next_method: str | None = None
        self.next_kwargs: Any = None
        self.first_start: str | None = None
        self._kept: dict[str, Any] = {}

    def start_over(self) -> None:
        """Expect another task of the same run."""
        self.state, self.next_method, self.next_kwargs, self.first_start = {}, None, None, None

    def __call__(self, request: httpx.Request) -> httpx.Response:
        """Respond to a request."""
        path, body = request.url.path.strip("/"), json.loads(request.content or "null")
        if path.endswith("/run"):
            self.first_start = self.first_start or body["start_date"]
            return httpx.Response(200, json=self._run_context())
        if path.endswith("/state"):
            self.state, self.reported = body, time.monotonic()
        elif path.endswith("/start_date"):
            return httpx.Response(200, json=self.first_start)
        elif path.startswith(("xcoms/", "store/")) and request.method in ("POST", "PUT"):
            self._kept[path] = body
        elif path.startswith(("xcoms/", "store/")) and request.method == "GET":
            if path not in self._kept:
                return httpx.Response(404, json={"detail": "not found"})
            kept = self._kept[path]
            return httpx.Response(
                200,
                json=kept
                if path.startswith("store/")
                else {"key": path.split("/")[-1], "value": kept},
            )
        return httpx.Response(200, json={})

    def _run_context(self) -> dict[str, Any]:
        now = datetime.now(UTC).isoformat()
        dag_run: dict[str, Any] = {
            "dag_id": DAG_ID,
            "run_id": RUN_ID,
            "logical_date": None,
            "data_interval_start": None,
            "data_interval_end": None,
            "run_after": now,
            "start_date": now,
            "end_date": None,
            "run_type": "manual",
            "state": "running",
            "consumed_asset_events": [],
            "partition_key": None,
        }
        resumed = {"next_method": self.next_method, "next_kwargs": self.next_kwargs}
        return {
            "dag_run": dag_run,
            "max_tries": 0,
            "should_retry": False,
            "start_date": self.first_start,
            **resumed,
        }


@dataclass(frozen=True, slots=True)
class Start:
    """One start of a task process.

    :ivar seconds: from the worker's call until the task reported its end, a deferral or a
        reschedule.
    :ivar held: seconds from the worker's call to its return. Airflow's supervisor notices the end
        of a process at once, or ``[workers] min_heartbeat_interval`` (5 s) later if the process is
        not quite gone when its connections close.
    """

    task_id: str
    seconds: float
    held: float


def start(task_id: str, api: ExecutionApi) -> Start:
    """Start a task process, and return when it has ended.

    :raises RuntimeError: the task failed.
    """
    task = TaskInstance(
        id=uuid.uuid5(uuid.NAMESPACE_URL, task_id),
        dag_version_id=uuid.uuid4(),
        dag_id=DAG_ID,
        run_id=RUN_ID,
        task_id=task_id,
        try_number=1,
        map_index=-1,
        pool_slots=1,
        queue="default",
        priority_weight=1,
    )
    with Client(
        base_url=None, token="", dry_run=True, transport=httpx.MockTransport(api)
    ) as client:
        since = time.monotonic()
        code = supervise_task(
            ti=task,
            bundle_info=BundleInfo(name="dags-folder"),
            dag_rel_path=FILE,
            token="",
            client=client,
            subprocess_logs_to_stdout=True,
        )
        held = time.monotonic() - since
    state = api.state.get("state", "nothing")
    if code or state not in ("success", "deferred", "up_for_reschedule"):
        raise RuntimeError(f"task {task_id} ended with exit code {code}, state {state!r}")
    return Start(task_id, api.reported - since, held)


def run(task_id: str, api: ExecutionApi) -> list[Start]:
    """Start a task, and start it again after each deferral and reschedule, until it has succeeded.

    :raises RuntimeError: the task failed, or does not come to an end.
    """
    api.start_over()
    starts: list[Start] = []
    while len(starts) < MOST_STARTS:
        starts.append(start(task_id, api))
        if api.state["state"] == "success":
            return starts
        if api.state["state"] == "deferred":
            event = asyncio.run(_fire(api.state["classpath"], api.state["trigger_kwargs"]))
            api.next_method, api.next_kwargs = api.state["next_method"], serialize({"event": event})
        else:
            again = datetime.fromisoformat(api.state["reschedule_date"])
            time.sleep(max(0.0, again.timestamp() - time.time()))
    raise RuntimeError(f"task {task_id} was started {MOST_STARTS} times and has not succeeded")


async def _fire(classpath: str, arguments: Mapping[str, Any]) -> Any:
    module, _, name = classpath.rpartition(".")
    async for event in getattr(importlib.import_module(module), name)(**arguments).run():
        return event.payload
    raise RuntimeError(f"{classpath} ended without an event")


if __name__ == "__main__":
    # Airflow logs to the standard output, which is for the result here.
    results = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    api = ExecutionApi()
    starts = [asdict(one) for task_id in sys.argv[1:] for one in run(task_id, api)]
    print(json.dumps(starts), file=results, flush=True)
