"""The life of one task, try by try: a try is a new operator, as a new process has it.

``Killed`` stands for a process that ends at some point; the real kills are in tests/lifecycle.
"""

from __future__ import annotations

import asyncio
import json
import time
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

from airflow.providers.common.compat.sdk import TaskDeferred

from airflow_provider_apiframe.operators.flux import FluxGenerateOperator


class Killed(BaseException):
    """The process is gone."""


class Store:
    """Airflow's task state store, as far as used: JSON in and out, survives retries and clears."""

    def __init__(self) -> None:
        self.values: dict[str, str] = {}

    def get(self, key: str, default: Any = None) -> Any:
        return json.loads(self.values[key]) if key in self.values else default

    def set(self, key: str, value: Any) -> None:
        assert value is not None
        self.values[key] = json.dumps(value)


class Task:
    """One task instance and its operator's arguments."""

    dag_id, task_id, map_index = "d", "poster", -1

    def __init__(
        self, store: Store | None, *, retries: int = 3, run_id: str = "r", **arguments: Any
    ) -> None:
        self.store = store
        self.run_id = run_id
        self.arguments = {
            "prompt": "a poster",
            "poll_interval": 0.05,
            "retries": retries,
            **arguments,
        }
        self.try_number = 0
        self.max_tries = retries
        self.reschedules = 0
        self.dag_run = SimpleNamespace(clear_number=0, start_date=datetime.now(UTC))

    def xcom_push(self, key: str, value: object) -> None:
        json.dumps(value)

    def clear(self) -> None:
        """As Airflow does it."""
        self.max_tries = self.try_number + self.arguments["retries"]
        self.dag_run.clear_number += 1

    def run(self, kill: str | None = None) -> dict[str, Any]:
        """Make one try, and be killed in it.

        That is before the POST, after it, before waiting, or after the image is there; or nowhere
        if it need not wait.
        """
        self.try_number += 1
        operator = FluxGenerateOperator(task_id=self.task_id, **self.arguments)
        context: Any = {"ti": self, "dag_run": self.dag_run}
        if self.reschedules:
            context["task_reschedule_count"] = self.reschedules
        if self.store:
            context["task_state_store"] = self.store
        hook, client = operator.hook, operator.hook.client
        if kill in ("before the POST", "after the POST"):
            submit = hook.submit

            def submit_or_die(*args: Any) -> Any:
                if kill == "after the POST":
                    submit(*args)
                raise Killed

            hook.submit = submit_or_die
        elif kill in ("before waiting", "if it waits"):
            read = (
                client.get_job
            )  # waiting polls without retries, what comes before it reads with them
            client.get_job = lambda job_id, retry=True: read(job_id) if retry else die()
            operator.defer = die
            if kill == "before waiting":  # on a slow machine the job is finished by now
                operator._deliver = die
        elif kill == "at the end":
            operator._deliver = die
        try:
            return dict(operator.execute(context))
        except TaskDeferred as deferred:
            resumed = FluxGenerateOperator(task_id=self.task_id, **self.arguments)
            if kill == "at the end":
                resumed._deliver = die
            return dict(resumed.execute_complete(context, asyncio.run(event_of(deferred.trigger))))


def die(*args: Any, **kwargs: Any) -> Any:
    raise Killed


async def event_of(trigger: Any) -> Any:
    kind, arguments = type(trigger), json.loads(json.dumps(trigger.serialize()[1]))
    (event,) = [event.payload async for event in kind(**arguments).run()]
    return json.loads(json.dumps(event))


KILLS = ["before the POST", "after the POST", "before waiting", "at the end"]


def wait_until(condition: Any, seconds: float = 10.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.01)
