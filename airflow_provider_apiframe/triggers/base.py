"""What all triggers share that wait for jobs: the watcher and its settings, and when to fire.

They only read; nothing they do costs credits.
"""

from __future__ import annotations

import asyncio
import time
from abc import abstractmethod
from asyncio import sleep
from collections.abc import AsyncIterator
from importlib import import_module
from typing import TYPE_CHECKING, Any

from airflow.triggers.base import BaseTrigger, TriggerEvent

from airflow_provider_apiframe.api.errors import ApiframeError
from airflow_provider_apiframe.api.settings import ClientSettings, without_keys
from airflow_provider_apiframe.hooks.apiframe import ApiframeHook
from airflow_provider_apiframe.polling.report import REPORT_SECONDS
from airflow_provider_apiframe.polling.wait import Wait
from airflow_provider_apiframe.triggers.progress import DeferredProgress
from airflow_provider_apiframe.triggers.request_share import for_one_triggerer

if TYPE_CHECKING:
    from airflow_provider_apiframe.polling.watcher import JobWatcher

WATCHER = "airflow_provider_apiframe.polling.watcher"

LOOK_SECONDS = 5.0
"""How often a trigger looks whether there is something new to say of its job."""

MIN_DEFERRAL_SECONDS = 10.0
"""How long a task stays deferred at least.

The scheduler hears late that the process which deferred the task is gone. If the task is queued
again by then, or runs, Airflow 3.1 to 3.3 takes that for the task's own end and fails the try:
"finished with state success, but the task instance's state attribute is queued"
(``process_executor_events`` in Airflow's scheduler_job_runner.py).

Mostly it hears within 2 s. But a process that is not quite gone when its connections close is
looked at again only after ``[workers] min_heartbeat_interval``, 5 s; on a busy machine that is one
in six, and a rare one meets it twice. So it is two of these intervals. The turns of the triggerer
and of the scheduler come on top before the task is queued.
docs/decisions/8-a-deferral-lasts-ten-seconds.md has the figures.
"""


class WaitingTrigger(BaseTrigger):
    """Fires once: when what it waits for has ended, the deadline has passed, or waiting broke.

    All triggers of an account in a triggerer share one loop that polls their jobs
    (``polling/watcher.py``).

    :param apiframe_conn_id: id of the Airflow connection.
    :param not_before: seconds since the epoch; the event is held back until then, see
        MIN_DEFERRAL_SECONDS.
    :param keeps_progress: whether it may push an XCom that says how far it is.
    """

    def __init__(self, apiframe_conn_id: str, not_before: float, keeps_progress: bool) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.apiframe_conn_id = apiframe_conn_id
        self.not_before = not_before
        self.keeps_progress = keeps_progress

    @abstractmethod
    async def _payload(self) -> dict[str, Any]:
        """Wait, and return what the event holds. A trigger that raised would leave its task without
        the ids of its jobs."""

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Wait and yield the one event."""
        payload = await self._payload()
        if self.trigger_id is not None:  # on a triggerer; `dag.test()` has no scheduler to wait for
            # The worker's clock set the time; where it goes ahead, no longer than was meant.
            await sleep(min(max(0.0, self.not_before - time.time()), MIN_DEFERRAL_SECONDS))
        yield TriggerEvent(payload)

    def _path(self) -> str:
        return f"{type(self).__module__}.{type(self).__qualname__}"

    def _progress(self) -> DeferredProgress:
        # Without an id it runs in `dag.test()`, whose tasks nobody watches.
        shown = self.keeps_progress and self.trigger_id is not None
        return DeferredProgress(self.task_instance if shown else None)

    async def _watcher(self, wait: Wait) -> tuple[JobWatcher, ClientSettings]:
        """Return the account's watcher, and the connection's settings as they are now.

        :raises JobTimeoutError: Airflow cannot read the connection until the deadline of *wait*.
        """
        # DAG files import this module, and the watcher's takes longer to load than an event loop
        # may be blocked.
        await asyncio.to_thread(import_module, WATCHER)
        from airflow_provider_apiframe.polling.watcher import JobWatcher

        settings = await self._settings(wait)
        return JobWatcher.of(for_one_triggerer(settings)), settings

    async def _settings(self, wait: Wait) -> ClientSettings:
        """Read the connection. While Airflow cannot, that is ridden out until the deadline."""
        pause = 1.0
        while True:
            try:
                return await ApiframeHook(self.apiframe_conn_id).async_settings()
            except Exception as error:  # the secrets backend's, the database's, the API server's
                reason = without_keys(str(error))
            left = wait.deadline - time.time()
            if left <= 0:
                raise wait.timed_out(reason)
            self.log.warning("The connection cannot be read, trying again: %s", reason)
            await sleep(min(pause, left))
            pause = min(2 * pause, REPORT_SECONDS)

    async def _key_changed(self, settings: ClientSettings) -> bool:
        """Return whether somebody replaced the key while the wait was under way."""
        try:
            now = await ApiframeHook(self.apiframe_conn_id).async_settings()
        except Exception:
            return False  # what cannot be read did not change yet
        return now.api_key != settings.api_key


class JobWaitError(ApiframeError):
    """The trigger gave up on a job that may still be running.

    The task's retry reconnects to it.

    :ivar timed_out: whether it was the deadline.
    """

    transient = True

    def __init__(self, message: str, *, timed_out: bool, job_id: str | None = None) -> None:
        super().__init__(message, job_id=job_id)
        self.timed_out = timed_out


def broken_wait(error: Exception) -> str:
    """Say that waiting broke, and why, without secrets; to be followed by what becomes of it."""
    reason = without_keys(f"{type(error).__name__}: {error}").rstrip(".")
    return f"Waiting on the triggerer broke: {reason}."
