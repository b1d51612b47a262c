"""Waiting for a condition, with a deadline."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def wait_until(poll: Callable[[], T], what: str, seconds: float = 150.0, every: float = 0.1) -> T:
    """Call *poll* until it returns something true, and return that.

    :raises AssertionError: it did not within *seconds*; the text says *what* was waited for.
    """
    deadline = time.monotonic() + seconds
    while not (found := poll()):
        assert time.monotonic() < deadline, f"waited {seconds:g} s in vain: {what}"
        time.sleep(every)
    return found
