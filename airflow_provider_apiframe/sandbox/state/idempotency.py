"""Idempotency keys: which job an earlier submission with the same key made."""

from __future__ import annotations

import hashlib
import json
from collections import deque
from typing import Any

WINDOW = 24 * 3600.0  # seconds; OpenAPI parameter Idempotency-Key: "within 24 hours"
LONGEST_KEY = 255  # characters; OpenAPI parameter Idempotency-Key


class Conflict(Exception):
    """An idempotency key came back with another body."""


class IdempotencyStore:
    """The keys of the last 24 hours.

    A key belongs to its user; not safe across threads by itself.
    """

    def __init__(self) -> None:
        self._made: dict[tuple[str, str], tuple[str, str]] = {}
        self._expiries: deque[tuple[float, tuple[str, str]]] = deque()

    def find(self, user_id: str, key: str, body: dict[str, Any], now: float) -> str | None:
        """Return the id of the job that this user's key made; None when the key is new.

        :raises Conflict: the key made a job from another body.
        """
        while self._expiries and self._expiries[0][0] <= now:
            del self._made[self._expiries.popleft()[1]]
        made = self._made.get((user_id, key))
        if made is None:
            return None
        fingerprint, job_id = made
        if fingerprint != _fingerprint(body):
            raise Conflict
        return job_id

    def remember(
        self, user_id: str, key: str, body: dict[str, Any], job_id: str, now: float
    ) -> None:
        """Record that this user's new key made a job."""
        self._made[user_id, key] = (_fingerprint(body), job_id)
        self._expiries.append((now + WINDOW, (user_id, key)))


def _fingerprint(body: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()
