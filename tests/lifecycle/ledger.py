"""What reached a sandbox, and which scripted faults met it."""

from __future__ import annotations

import time
from dataclasses import dataclass

from airflow_provider_apiframe.sandbox.faults import Fault
from airflow_provider_apiframe.sandbox.server import Sandbox


@dataclass(frozen=True)
class Entry:
    at: float
    route: str
    fault: Fault | None


class Ledger:
    """Records every request to *sandbox*, in order of arrival."""

    def __init__(self, sandbox: Sandbox) -> None:
        self.entries: list[Entry] = []
        take = sandbox.faults.take

        def taking(route: str) -> Fault | None:
            fault = take(route)
            self.entries.append(Entry(time.monotonic(), route, fault))
            return fault

        sandbox.faults.take = taking  # type: ignore[method-assign]

    def requests(self, route: str) -> list[Entry]:
        return [entry for entry in self.entries if entry.route == route]

    @property
    def faults(self) -> list[Fault]:
        """The scripted faults that took effect."""
        return [entry.fault for entry in self.entries if entry.fault]
