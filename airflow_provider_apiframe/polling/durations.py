"""How long the jobs of each model took lately."""

from __future__ import annotations

from collections import defaultdict, deque

from airflow_provider_apiframe.api.models import Job

KEPT = 50  # jobs of each model


class Durations:
    """How long the jobs of each model took lately, by the API's own clock."""

    def __init__(self) -> None:
        self._seconds: defaultdict[str | None, deque[float]] = defaultdict(
            lambda: deque(maxlen=KEPT)
        )

    def record(self, job: Job) -> None:
        """Learn from a job that ended; one that failed says nothing about the others."""
        if job.status == "COMPLETED" and job.created and job.completed:
            seconds = (job.completed - job.created).total_seconds()
            self._seconds[job.model].append(max(0.0, seconds))

    def fastest(self) -> dict[str | None, float]:
        """Return the shortest of these times in seconds, by model."""
        return {model: min(known) for model, known in self._seconds.items()}
