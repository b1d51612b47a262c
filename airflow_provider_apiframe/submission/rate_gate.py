"""The gate before the API for several threads that submit at once: one 429 makes all of them wait.

A 429 says that nothing was accepted, and it is about the account, not about the request. If each
thread found that out for itself, most of the requests would be in vain.
"""

from __future__ import annotations

import logging
import threading
import time

from airflow_provider_apiframe.api.errors import RateLimitedError
from airflow_provider_apiframe.api.retries import MAX_RETRY_SECONDS, retry_backoff

log = logging.getLogger(__name__)


class RateGate:
    """Lets threads pass, unless all are to wait, or the submitting has ended.

    :param max_seconds: how long it may be that nothing passes, in seconds.
    """

    def __init__(self, max_seconds: float = MAX_RETRY_SECONDS) -> None:
        self._max_seconds = max_seconds
        self._lock = threading.Lock()
        self._closed = threading.Event()
        self._resume_at = 0.0
        self._limited_since: float | None = None
        self._pauses = 0  # in a row

    def wait(self) -> bool:
        """Wait until it is open; return False once the submitting has ended."""
        while (pause := self._resume_at - time.monotonic()) > 0:
            if self._closed.wait(pause):
                break
        return not self._closed.is_set()

    def pause(self, seconds: float) -> None:
        """Wait alone, before a retry, unless the submitting ends."""
        self._closed.wait(seconds)

    def limit(self, error: RateLimitedError) -> bool:
        """Make all wait as long as the API asks; return False when that has lasted too long."""
        with self._lock:
            now = time.monotonic()
            if self._limited_since is None:
                self._limited_since, self._pauses = now, 0
            if now >= self._resume_at:  # requests that were in flight fail for the same reason
                self._pauses += 1
                pause = retry_backoff(self._pauses, error.retry_after)
                if now + pause - self._limited_since > self._max_seconds:
                    return False
                self._resume_at = now + pause
                log.info("The rate limit is reached; all submits wait for %.1f s", pause)
            return True

    def passed(self) -> None:
        """Take note that a request was not limited."""
        self._limited_since = None

    def close(self) -> None:
        """End the submitting: nobody passes any more."""
        self._closed.set()
