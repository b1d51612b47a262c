"""Idempotency keys: which job an earlier submission with the same key made."""

from __future__ import annotations

from typing import Any

from airflow_provider_apiframe.sandbox.state.jobs import Job

WINDOW = 24 * 3600.0  # seconds; OpenAPI parameter Idempotency-Key: "within 24 hours"
LONGEST_KEY = 255  # characters; OpenAPI parameter Idempotency-Key


class Conflict(Exception):
    """An idempotency key came back with another body."""


class IdempotencyStore:
    """The keys of the last 24 hours, each of one user. Not safe across threads by itself."""

    def __init__(self) -> None:
        self._jobs: dict[tuple[str, str], Job] = {}

    def find(self, user_id: str, key: str, body: dict[str, Any], now: float) -> Job | None:
        """Return the job that this user's key made; None if the key is new.

        :raises Conflict: the key made a job from another body.
        """
        job = self._jobs.get((user_id, key))
        if job is None or now >= job.created_at + WINDOW:
            return None
        if job.input != body:
            raise Conflict
        return job

    def remember(self, key: str, job: Job) -> None:
        """Record that a new key made a job."""
        self._jobs[job.user_id, key] = job
