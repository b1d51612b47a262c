"""How fast to send requests: a limit per minute, and pauses after failures."""

from __future__ import annotations

from collections import deque

from airflow_provider_apiframe.api.retries import BACKOFF_CAP, RETRY_AFTER_CAP

WINDOW = 60.0  # seconds


class RateLimiter:
    """Spaces requests so that no 60 seconds hold more than *per_minute*.

    :param per_minute: requests, >= 1; ``math.inf`` is no limit. It may change at any time.
    """

    def __init__(self, per_minute: float) -> None:
        self.per_minute = per_minute
        self._sent: deque[float] = deque()

    def next_slot(self, now: float) -> float:
        """Return when the next request may be sent."""
        while self._sent and self._sent[0] <= now - WINDOW:
            self._sent.popleft()
        excess = len(self._sent) - self.per_minute
        return now if excess < 0 else self._sent[int(excess)] + WINDOW

    def record(self, now: float) -> None:
        """Count a request that is sent now."""
        self._sent.append(now)


def backoff(failures: int, first: float, error: Exception) -> float:
    """Return the seconds to pause after so many failures in a row.

    It is *first*, then doubles up to 30 s, and is at least what the API asks for (up to 5 minutes
    of it) and *first*.
    """
    doubling = first * 2.0 ** min(failures - 1, 10)
    retry_after = getattr(error, "retry_after", None) or 0.0
    return max(min(doubling, BACKOFF_CAP), first, min(retry_after, RETRY_AFTER_CAP))
