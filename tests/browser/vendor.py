"""Apiframe, as the tests see it."""

from __future__ import annotations

import time

from airflow_provider_apiframe.sandbox.server import Sandbox

LONG = 600
"""Seconds that a job takes which waits for `Vendor.finish_jobs`: ``[takes: 600]``."""


class Vendor(Sandbox):
    """Apiframe, to which the connection ``apiframe_default`` leads."""

    def __init__(self) -> None:
        self._ahead = 0.0
        super().__init__(latency=0.5, clock=lambda: time.time() + self._ahead)

    def finish_jobs(self) -> None:
        """Let those that take up to `LONG` seconds be finished now."""
        self._ahead += LONG

    def paid_jobs(self, prompt: str) -> int:
        """Return how many jobs whose prompt has this text were paid for."""
        jobs = [job for job in self.state.jobs if prompt in job.input["prompt"]]
        return sum(not job.refunded for job in jobs)
