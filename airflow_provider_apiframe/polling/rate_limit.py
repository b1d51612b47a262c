"""How fast to ask: a budget of requests, pauses after failures, and how long jobs take."""

from __future__ import annotations

import math
from collections import defaultdict, deque

from airflow_provider_apiframe.api.models import Job
from airflow_provider_apiframe.api.retries import BACKOFF_CAP, RETRY_AFTER_CAP


class RequestBudget:
    """Spaces requests so that no 60 seconds hold more than *per_minute*."""

    def __init__(self, per_minute: int) -> None:
        self.per_minute = per_minute
        self._sent: deque[float] = deque()

    def free_at(self, now: float) -> float:
        """Return when the next request may be sent."""
        while self._sent and self._sent[0] <= now - 60:
            self._sent.popleft()
        excess = len(self._sent) - self.per_minute
        return now if excess < 0 else self._sent[excess] + 60

    def note(self, now: float) -> None:
        """Count a request that is sent now."""
        self._sent.append(now)


class Durations:
    """How long the jobs of each model took lately, by the API's own clock."""

    KEPT = 50
    KNOWN_FROM = 5  # jobs; fewer say little about what the next one needs

    def __init__(self) -> None:
        self._seconds: defaultdict[str | None, deque[float]] = defaultdict(
            lambda: deque(maxlen=self.KEPT)
        )
        self._shortest: dict[str | None, float] = {}
        self._least: dict[str | None, float] = {}

    def note(self, job: Job) -> None:
        """Learn from a finished job. One that failed says nothing about the others."""
        if job.status == "COMPLETED" and job.created and job.completed:
            known = self._seconds[job.model]
            known.append(max(0.0, (job.completed - job.created).total_seconds()))
            self._shortest[job.model] = min(known)
            if len(known) >= self.KNOWN_FROM:
                self._least[job.model] = min(known) / 2

    def shortest(self, model: str | None) -> float:
        """Return the shortest time, infinite when no job of the model was seen."""
        return self._shortest.get(model, math.inf)

    def least(self, model: str | None) -> float:
        """Return the seconds below which no job need be asked for: half of the shortest, which leaves room for a lighter one."""
        return self._least.get(model, 0.0)


def pause_after_failures(failures: int, interval: float, error: Exception) -> float:
    """Return the seconds to pause after so many failures in a row: doubling, and at least what the API asks for."""
    doubling = interval * 2.0 ** min(failures - 1, 10)
    asked = getattr(error, "retry_after", None) or 0.0
    return max(min(doubling, BACKOFF_CAP), interval, min(asked, RETRY_AFTER_CAP))
