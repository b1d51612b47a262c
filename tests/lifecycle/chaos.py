"""Faults drawn by chance, thrown at runs of mapped tasks until enough of them took effect.

They meet the submit, the wait, and the tries that reconnect.
"""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

from ledger import Entry, Ledger
from one_machine import OneMachine
from ports import free_port
from stage import FINISHED
from waiting import wait_until

from airflow_provider_apiframe.api.body import MAX_BODY_BYTES
from airflow_provider_apiframe.sandbox.server import Sandbox

CONNECTION = "chaos"
MODES = ("sync", "deferrable")
RUNS_AT_A_TIME = 2
SECONDS_PER_FAULT = 12  # the loop gives up when it takes longer than this
RESULT_DELAY = 3.0  # seconds; well below what the provider gives a COMPLETED job without images

ODD_RESPONSES: dict[str, dict[str, Any]] = {
    "401": {"status": 401, "body": {"error": "Invalid API key"}},
    "403, JSON": {"status": 403, "body": {"error": "API key is inactive"}},
    "403, HTML": {"status": 403, "body": "<html>error code: 1010</html>"},
    "404": {"status": 404, "body": {"error": "Job not found"}},
    "302": {"status": 302, "headers": {"Location": "https://elsewhere.invalid/"}},
    "400": {"status": 400, "body": {"error": "Bad Request"}},
    "409": {"status": 409, "body": {"error": "Conflict"}},
    "421": {"status": 421, "body": {"error": "Misdirected Request"}},
    "425": {"status": 425, "body": {"error": "Too Early"}},
    "unreadable body": {"status": 200, "body": "<html>Please wait ..."},
    "oversized body": {"status": 200, "body": "[" + " " * MAX_BODY_BYTES + "]"},
    "deeply nested body": {"status": 200, "body": "[" * 100_000 + "]" * 100_000},
}
"""What nobody should answer to GET /v2/jobs/{id} and GET /v2/jobs, by name."""


class Chaos:
    """Throws faults; a context manager that starts and ends its sandbox.

    :param seed: decides what is drawn. What it meets is up to the processes' timing.
    :ivar injected: faults that took effect, by kind. Scripted ones count when a request met them,
        kills when they hit a process.
    """

    def __init__(self, airflow: OneMachine, seed: int) -> None:
        self._airflow = airflow
        self._rngs = random.Random(seed)
        self.sandbox = Sandbox(port=free_port(), latency=(1.0, 6.0), seed=seed, credits=10**6)
        self._ledger = Ledger(self.sandbox)
        self._done: Counter[str] = Counter()
        self._scripted: Counter[str] = Counter()  # faults by route
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
        met = Counter(_kind(entry) for entry in self._ledger.faults)
        refused = Counter(
            {"no capacity": sum(job.ending == "FAILED" for job in self.sandbox.state.jobs)}
        )
        return met + refused + self._ledger.seen + self._done

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
            + 8 * [self._odd_response]
            + [self._late_results, self._hidden_list, self._first_status]
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

    def _script(self, route: str, times: int = 1, **fault: Any) -> None:
        """Queue a fault, unless the last request met one: where none succeeds, they become rare."""
        requests = self._ledger.requests(route)
        queued = self._scripted[route] - sum(entry.fault is not None for entry in requests)
        if not queued and not (requests and requests[-1].fault):
            self.sandbox.faults.next(route, times=times, **fault)
            self._scripted[route] += times

    def _drop(self) -> None:
        self._script("generate", drop=True)

    def _gateway(self) -> None:
        self._script("generate", status=504, applied=True)

    def _unavailable(self) -> None:
        self._script(self._rngs.choice(["generate", "job"]), status=503)

    def _limit(self) -> None:
        route, seconds = self._rngs.choice(["generate", "job"]), self._rngs.choice([1, 2])
        self._script(route, retry_after=seconds)

    def _odd_response(self) -> None:
        route, name = self._rngs.choice(["job", "jobs"]), self._rngs.choice([*ODD_RESPONSES])
        self._script(route, self._rngs.choice([1, 2, 3]), **ODD_RESPONSES[name])

    def _late_results(self) -> None:
        self._until_seen("job without its result", result_delay=RESULT_DELAY)

    def _hidden_list(self) -> None:
        self._until_seen("job hidden from the list", hide_from_list=True)

    def _first_status(self) -> None:
        """Answer repeated submits with the status of the first response."""
        self._until_seen("replay with the first status", replay_status="original")

    def _until_seen(self, kind: str, **options: Any) -> None:
        """Change settings of the sandbox for some seconds, and more until somebody has seen it."""
        before = self.sandbox.faults.settings.document()
        seen = self._ledger.seen[kind]
        self.sandbox.configure(**options)
        self._pause(RESULT_DELAY)
        self._pause(2.0, lambda: self._ledger.seen[kind] > seen)
        self.sandbox.configure(**{name: before[name] for name in options})

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


def _kind(entry: Entry) -> str:
    fault = entry.fault
    assert fault is not None
    if fault.drop:
        return "response dropped"
    if fault.applied:
        return "504 after acceptance"
    for name, odd in ODD_RESPONSES.items():
        if (fault.status, fault.body) == (odd["status"], odd.get("body")):
            return f"{name}, reading {'a job' if entry.route == 'job' else 'the list'}"
    return f"{fault.status}"
