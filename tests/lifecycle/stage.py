"""A scenario, and the stage it is played on: a sandbox, a connection and a DAG run of its own."""

from __future__ import annotations

import hashlib
import io
import json
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import requests
from deployment import Deployment
from ledger import Ledger
from PIL import Image
from ports import free_port
from waiting import wait_until

from airflow_provider_apiframe.sandbox.server import Sandbox

LONG = 3600.0
FINISHED = ("success", "failed", "upstream_failed", "skipped")


@dataclass(frozen=True)
class Expected:
    """What is left behind when a scenario is over.

    :ivar tries: None where chance decides, as with an outage.
    :ivar reused: what the last value says about its image.
    """

    tries: int | None = 1
    created: int = 1
    paid: int = 1
    reused: bool = False


@dataclass(frozen=True)
class Scenario:
    """One row of the table.

    :ivar play: breaks something while the run goes on; judged is what comes after it.
    :ivar latency: seconds a job takes; LONG for one that goes on until ``finish_job()``.
    :ivar alone: runs after all those that run together, because it kills triggerers or needs one
        that reacts at once.
    """

    title: str
    mode: str
    play: Callable[[Stage], None]
    expected: Expected
    kind: str = "image"
    latency: float = 2.0
    max_retries: int = 4
    alone: bool = False

    def __str__(self) -> str:
        return f"{self.title} ({self.mode})"

    @property
    def dag_id(self) -> str:
        return f"{self.kind}_{self.mode}"


@dataclass(frozen=True)
class Row:
    """What happened."""

    tries: int
    submits: int
    created: int
    paid: int
    reused: bool
    seconds: float


class Stage:
    """Where *scenario* runs; a context manager that starts and ends its sandbox.

    :ivar images: the values that tasks delivered so far, by job id.
    """

    task_id = "image"

    def __init__(self, scenario: Scenario, airflow: Deployment, name: str) -> None:
        self.scenario = scenario
        self.airflow = airflow
        self.name = name
        self._ahead = 0.0
        self.sandbox = Sandbox(
            port=free_port(), latency=scenario.latency, clock=lambda: time.time() + self._ahead
        )
        self.ledger = Ledger(self.sandbox)
        self.images: dict[str, dict[str, Any]] = {}

    def __enter__(self) -> Stage:
        self.sandbox.start()
        extra = json.dumps({"max_retries": self.scenario.max_retries})
        self.airflow.api.add_connection(self.name, self.sandbox.url, self.sandbox.api_key, extra)
        return self

    def __exit__(self, *_: object) -> None:
        self.sandbox.stop()

    def perform(self) -> Row:
        """Play the scenario and judge it.

        :raises AssertionError: it did not end as expected; the text ends with the logs of its
            tasks.
        """
        begun = time.monotonic()
        try:
            self.scenario.play(self)
            value = self.deliver()
            row = self._row(value, time.monotonic() - begun)
            self._judge(row)
        except Exception as error:
            logs = "\n".join(
                self.airflow.task_logs(run) for run in (self.name, f"{self.name}-collect")
            )
            raise AssertionError(f"{error}\n{self.sandbox.state.document()}\n{logs}") from error
        return row

    def start(self) -> None:
        """Start the run."""
        self.airflow.api.start_run(self.scenario.dag_id, self.name, self._conf())

    def _conf(self) -> dict[str, Any]:
        return {"conn_id": self.name, "prompt": f"{self.scenario} in {self.name}"}

    def task(self, run_id: str | None = None, fresh: bool = False) -> dict[str, Any]:
        tasks = self.airflow.api.tasks(run_id or self.name, fresh)
        return tasks[0] if tasks else {"state": None}

    def reaches(self, *states: str, run_id: str | None = None) -> dict[str, Any]:
        """Wait until the task is in one of *states*, and return it."""
        what = f"{self.name} reaches {' or '.join(states)}"
        wait_until(lambda: self.task(run_id)["state"] in (*states, *FINISHED), what, every=0.3)
        found = self.task(run_id)
        assert found["state"] in states, f"the task is {found['state']}"
        return found

    def stop_at(self, point: str) -> int:
        """Start the run, and return the task's process id once it stands at a breakpoint."""
        self.arm(point)
        self.start()
        return self.stopped_at(point)

    def arm(self, point: str, passes: int = 1) -> None:
        """Let the run's task stop at a breakpoint.

        :param passes: how many times a process comes by, the last of which is the one that stops.
        """
        armed = self.airflow.breakpoints / f"{self.name}.{point}"
        written = armed.with_name(f"{armed.name}.new")
        written.write_text(str(passes))
        written.rename(armed)

    def stopped_at(self, point: str) -> int:
        """Wait until the task stands at an armed breakpoint, and return its process id."""
        hit = self.airflow.breakpoints / f"{self.name}.{point}.hit"
        wait_until(hit.exists, f"{self.name} reaches the breakpoint {point}")
        pid = int(hit.read_text())
        hit.unlink()
        return pid

    def kill_worker_at(self, point: str) -> None:
        """Start the run, and kill the task and its worker once it reaches a breakpoint."""
        assert self.airflow.kill_task(self.stop_at(point)), (
            "the task process was not there to be killed"
        )

    def clear(self) -> None:
        """Clear the finished task by hand.

        Airflow forgets a clear that comes between the end of the task and that of the run.
        """
        dag_id = self.scenario.dag_id
        wait_until(
            lambda: self.airflow.api.run_ended(dag_id, self.name), f"{self.name} has ended", every=1
        )
        self.airflow.api.clear(dag_id, self.name, self.task_id)
        self.task(fresh=True)

    def collect(self, job_id: str) -> None:
        """Let a sensor collect a job that its task gave up."""
        run = f"{self.name}-collect"
        self.airflow.api.start_run("collect", run, {"conn_id": self.name, "job_id": job_id})
        assert self.deliver(run)["job_id"] == job_id

    def says_what_keeps_running(self) -> None:
        """Wait until the log of the marked task names the job and the sensor.

        Then collect the job, and clear the task.
        """
        (job,) = self.sandbox.state.jobs
        said = f"ApiframeJobSensor(job_id={job.id!r})"
        wait_until(lambda: said in self._logs(), "the log says which job keeps running", 30)
        self.finish_job()
        self.collect(job.id)
        self.clear()

    def _logs(self) -> str:
        files = (self.airflow.home / "logs").glob(f"dag_id=*/run_id={self.name}/**/*.log*")
        with suppress(FileNotFoundError):
            return "\n".join(file.read_text() for file in files)
        return ""

    def wait_for_trigger(self) -> None:
        """Wait until the task is deferred and its trigger has polled."""
        self.reaches("deferred")
        before = self._polls
        wait_until(lambda: self._polls > before, f"the trigger of {self.name} polls")

    @property
    def _polls(self) -> int:
        return sum(entry.route in ("job", "jobs") for entry in self.ledger.entries)

    def finish_job(self) -> None:
        """Let a job of LONG latency be finished now, and a job after it take a second."""
        self.sandbox.configure(latency=1.0)
        self._ahead = LONG

    def outage(self, seconds: float, over: Callable[[], object]) -> None:
        """Let the API be down for *seconds*, and until *over* says so."""
        self.sandbox.stop()
        began = time.monotonic()
        wait_until(
            lambda: time.monotonic() > began + seconds and over(),
            f"{self.name}: the outage is over",
        )
        self.sandbox.start()

    def deliver(self, run_id: str | None = None) -> dict[str, Any]:
        """Wait until a task succeeded, check the image it delivers, and return its value."""
        task = self.reaches("success", run_id=run_id)
        value: dict[str, Any] = self.airflow.api.xcom(task)
        (url,) = value["image_urls"]
        assert value["job_id"] in url
        response = requests.get(url, timeout=30)
        assert response.ok, f"{url}: {response.status_code}"
        Image.open(io.BytesIO(response.content)).verify()
        if self.scenario.kind == "saved":
            self._check_saved(value)
        self.images[value["job_id"]] = value
        return value

    def _check_saved(self, value: dict[str, Any]) -> None:
        """Check that the image is saved, and that nothing else lies there."""
        (image,) = value["images"]
        saved = list((self.airflow.home / "saved").glob(f"*/{self.name}/*/*"))
        assert [f"file://{path}" for path in saved] == [image["uri"]]
        assert hashlib.sha256(saved[0].read_bytes()).hexdigest() == image["sha256"]

    @property
    def paid_jobs(self) -> set[str]:
        return {job.id for job in self.sandbox.state.jobs if not job.refunded}

    def _row(self, value: dict[str, Any], seconds: float) -> Row:
        state = self.sandbox.state
        submits = len(self.ledger.requests("generate"))
        return Row(
            self.task()["try_number"],
            submits,
            state.jobs_created,
            state.jobs_paid,
            value["reused"],
            seconds,
        )

    def _judge(self, row: Row) -> None:
        expected = self.scenario.expected
        assert row.paid == expected.paid, f"{row.paid} jobs were paid for, not {expected.paid}"
        assert row.created == expected.created, (
            f"{row.created} jobs were created, not {expected.created}"
        )
        assert set(self.images) == self.paid_jobs, (
            "the images delivered are not those that were paid for"
        )
        more = self.airflow.tries_ended_by_the_scheduler(
            self.name
        )  # the next try finds the job again
        assert row.reused is (expected.reused or more > 0), (
            f"the value says reused: {row.reused}, after {more} needless retries"
        )
        assert expected.tries is None or row.tries == expected.tries + more, (
            f"{row.tries} tries, not {expected.tries} + {more}"
        )
