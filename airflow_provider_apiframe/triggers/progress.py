"""How far the job of a deferred task is, for the UI.

Airflow 3.3 and 3.4 let no trigger write to the task state store: the triggerer has no message for
it. XComs it may push, so that is where it lies while the task is deferred, in the form that the
store has.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from typing import Any

from airflow_provider_apiframe.api.models import Job
from airflow_provider_apiframe.delivery.progress import PROGRESS_KEY, ProgressNews
from airflow_provider_apiframe.version_compat import can_push_from_triggers, push_from_trigger

log = logging.getLogger(__name__)

SECONDS_PER_WRITE = 1.0
"""How often all triggers of a process together write: the triggerer does it between its own work,
and may have a thousand of them. Who comes too early is heard the next time."""

MAX_WRITE_SECONDS = 5.0

_next_write_at = 0.0


class DeferredProgress:
    """Writes how far the job of one trigger is (Airflow 3.3+).

    It never ends a wait, and holds its end up once at most, for MAX_WRITE_SECONDS: after an error
    nothing more is written.

    :param ti: of the deferred task, None to write nothing.
    :param clock: gives seconds that never jump.
    """

    def __init__(self, ti: Any, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._ti = ti if can_push_from_triggers() else None
        self._clock = clock
        self._news = ProgressNews(clock)

    async def write(self, job: Job) -> None:
        """Keep what a poll showed, if that is worth a request and the triggerer has the time."""
        global _next_write_at
        now = self._clock()
        if self._ti is None or now < _next_write_at or (news := self._news.of(job)) is None:
            return
        _next_write_at = now + SECONDS_PER_WRITE
        try:
            async with asyncio.timeout(MAX_WRITE_SECONDS):
                await push_from_trigger(self._ti, PROGRESS_KEY, news)
        except Exception as error:  # whatever it is: the image is paid, and the job goes on
            self._ti = None
            log.warning("The progress is no longer shown while the task is deferred: %r", error)
