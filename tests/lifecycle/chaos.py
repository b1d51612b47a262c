"""Faults drawn by chance, thrown at runs of mapped tasks until enough of them took effect."""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

from deployment import Deployment
from ledger import Ledger
from ports import free_port
from stage import FINISHED
from waiting import wait_until

from airflow_provider_apiframe.sandbox.server import Sandbox

CONNECTION = "chaos"
MODES = ("sync", "deferrable")
RUNS_AT_A_TIME = 2
SECONDS_PER_FAULT = 12  # the loop gives up when it takes longer than this


class Chaos:
    """Throws faults; a context manager that starts and ends its sandbox.

    :param seed: decides what is drawn. What it meets is up to the processes' timing.
    :ivar injected: faults that took effect, by kind. Scripted ones count when a request met them,
        kills when they hit a process.
    """

    def __init__(self, airflow: Deployment, seed: int) -> None:
        self._airflow = airflow
        self._rngs = random.Random(seed)
        self.sandbox = Sandbox(port=free_port(), latency=(1.0, 6.0), seed=seed)
        self._ledger = Ledger(self.sandbox)
        self._done: Counter[str] = Counter()
        self.runs: list[str] = []

    def __enter__(self) -> Chaos:
        self.sandbox.start()
        self._airflow.api.add_connection(
            CONNECTION, self.sandbox.url, self.sandbox.api_key, '{"max_retries": 2}'
        )
        return self

    def __exit__(self, *_: object) -> None:
        self.sandbox.stop()

    @property
    def injected(self) -> Counter[str]:
        met = Counter(_kind(fault) for fault in self._ledger.faults)
        refused = Counter(
            {"no capacity": sum(job.ending == "FAILED" for job in self.sandbox.state.jobs)}
        )
        return met + refused + self._done

    def rage(self, faults: int) -> None:
        """Throw faults at runs until *faults* took effect; then let the runs finish."""
        deadline = time.monotonic() + faults * SECONDS_PER_FAULT + 120
        while (count := self.injected.total()) < faults:
            assert time.monotonic() < deadline, (
                f"only {count} faults took effect in time: {self.injected}"
            )
            if len(self._unfinished()) < RUNS_AT_A_TIME:
                self._start_run()
            self._rngs.choice(self._kinds)()
            self._pause(self._rngs.uniform(0.2, 1.2))
        for run in self.runs:
            wait_until(lambda run=run: run not in self._unfinished(), f"{run} ends", 300, every=1)

    @property
    def tasks(self) -> list[dict[str, Any]]:
        """All task instances, as they are now."""
        self._airflow.api.tasks("", fresh=True)
        return [task for run in self.runs for task in self._airflow.api.tasks(run)]

    @property
    def _kinds(self) -> list[Callable[[], None]]:
        return (
            [self._drop, self._gateway, self._unavailable, self._limit, self._no_capacity]
            + 2 * [self._kill_worker]
            + [self._kill_triggerer, self._outage]
        )

    def _start_run(self) -> None:
        mode = MODES[len(self.runs) % len(MODES)]
        self.runs.append(f"chaos-{len(self.runs)}")
        self._airflow.api.start_run(f"chaos_{mode}", self.runs[-1], {"conn_id": CONNECTION})

    def _unfinished(self) -> list[str]:
        def is_unfinished(run: str) -> bool:
            tasks = self._airflow.api.tasks(run)
            return not tasks or any(task["state"] not in FINISHED for task in tasks)

        return [run for run in self.runs if is_unfinished(run)]

    def _drop(self) -> None:
        self.sandbox.faults.next("generate", drop=True)

    def _gateway(self) -> None:
        self.sandbox.faults.next("generate", status=504, applied=True)

    def _unavailable(self) -> None:
        self.sandbox.faults.next(self._rngs.choice(["generate", "job"]), status=503)

    def _limit(self) -> None:
        self.sandbox.faults.next(
            self._rngs.choice(["generate", "job"]), retry_after=self._rngs.choice([1, 2])
        )

    def _no_capacity(self) -> None:
        created = self.sandbox.state.jobs_created
        self.sandbox.configure(fail_rate=1.0)
        self._pause(5.0, lambda: self.sandbox.state.jobs_created > created)
        self.sandbox.configure(fail_rate=0.0)

    def _kill_worker(self) -> None:
        running = [task for task in self.tasks if task["state"] == "running" and task["pid"]]
        if running and self._airflow.kill_task(self._rngs.choice(running)["pid"]):
            self._done["worker killed"] += 1

    def _kill_triggerer(self) -> None:
        # One that has just started is still coming to work; killing it again would only stop the
        # deferred tasks.
        if any(task["state"] == "deferred" and task["triggerer_job"] for task in self.tasks):
            for job in list(self._airflow.triggerers):
                self._airflow.kill_triggerer(job)
            self._airflow.start_triggerer()
            self._done["triggerer killed"] += 1

    def _outage(self) -> None:
        if any(task["state"] in ("running", "deferred") for task in self.tasks):
            self.sandbox.stop()
            self._pause(self._rngs.uniform(2, 5))
            self.sandbox.start()
            self._done["API down"] += 1

    def _pause(self, seconds: float, over: Callable[[], object] = lambda: False) -> None:
        end = time.monotonic() + seconds
        wait_until(lambda: time.monotonic() > end or over(), "a pause is over")


def _kind(fault: Any) -> str:
    if fault.drop:
        return "response dropped"
    return "504 after acceptance" if fault.applied else f"{fault.status}"
