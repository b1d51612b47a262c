"""What reached a sandbox, which scripted faults met it, and which odd settings somebody saw."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass
from typing import Any

from airflow_provider_apiframe.sandbox.faults import Fault
from airflow_provider_apiframe.sandbox.server import Sandbox
from airflow_provider_apiframe.sandbox.state.jobs import Job


@dataclass(frozen=True)
class Entry:
    at: float
    route: str
    fault: Fault | None


class Ledger:
    """Records every request to *sandbox*, in order of arrival.

    :ivar seen: how often a response was not the usual one because of a setting of the sandbox:
        "job without its result" (once for each job), "job hidden from the list" (for each page),
        "replay with the first status", "refused by the rate limit".
    """

    def __init__(self, sandbox: Sandbox) -> None:
        self.entries: list[Entry] = []
        self.seen: Counter[str] = Counter()
        self._sandbox = sandbox
        self._without_result: set[str] = set()
        take = sandbox.faults.take

        def taking(route: str) -> Fault | None:
            fault = take(route)
            self.entries.append(Entry(time.monotonic(), route, fault))
            return fault

        sandbox.faults.take = taking  # type: ignore[method-assign]
        self._watch_settings()

    def _watch_settings(self) -> None:
        store = self._sandbox.state
        job, page, submit, wait = store.job, store.page, store.submit, store.seconds_to_wait

        def reading(*arguments: Any, **options: Any) -> Any:
            found = job(*arguments, **options)
            self._note_results([found] if found else [])
            return found

        def listing(*arguments: Any, **options: Any) -> Any:
            found = page(*arguments, **options)
            self._note_results(found.jobs)
            self.seen["job hidden from the list"] += store.faults.settings.hide_from_list
            return found

        def submitting(*arguments: Any, **options: Any) -> Any:
            accepted = submit(*arguments, **options)
            original = store.faults.settings.replay_status == "original"
            self.seen["replay with the first status"] += accepted.replay and original
            return accepted

        def limiting(*arguments: Any, **options: Any) -> Any:
            seconds = wait(*arguments, **options)
            self.seen["refused by the rate limit"] += seconds > 0
            return seconds

        store.job, store.page, store.submit = reading, listing, submitting  # type: ignore
        store.seconds_to_wait = limiting  # type: ignore[method-assign]

    def _note_results(self, jobs: list[Job]) -> None:
        now, settings = self._sandbox.state.clock(), self._sandbox.faults.settings
        for job in jobs:
            completed = job.status(now) == "COMPLETED"
            if (
                completed
                and not job.result(now, settings, "")
                and job.id not in self._without_result
            ):
                self._without_result.add(job.id)
                self.seen["job without its result"] += 1

    def requests(self, route: str) -> list[Entry]:
        return [entry for entry in self.entries if entry.route == route]

    @property
    def faults(self) -> list[Entry]:
        """The requests that met a scripted fault."""
        return [entry for entry in self.entries if entry.fault]
