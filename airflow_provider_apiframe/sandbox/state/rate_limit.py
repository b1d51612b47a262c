"""The rate limit: so many requests per minute and key."""

from __future__ import annotations

import math
from collections import defaultdict, deque

WINDOW = 60.0  # seconds


class RateLimiter:
    """Remembers the last minute of each key."""

    def __init__(self) -> None:
        self._admitted: defaultdict[str, deque[float]] = defaultdict(deque)

    def wait(self, key: str, limit: int, now: float) -> int:
        """Admit a request at `now` (epoch seconds) and return 0, or return the seconds to wait.

        The seconds are whole ones, 1 or more. A refused request does not count. With a `limit` of
        0 every request is admitted.
        """
        if not limit:
            return 0
        admitted = self._admitted[key]
        while admitted and admitted[0] <= now - WINDOW:
            admitted.popleft()
        if len(admitted) >= limit:
            return max(1, math.ceil(admitted[0] + WINDOW - now))
        admitted.append(now)
        return 0
