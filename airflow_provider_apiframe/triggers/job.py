"""ApiframeJobTrigger: waits for one job on the triggerer.

It only reads; nothing it does costs credits.
"""

from __future__ import annotations

import asyncio
import time
from asyncio import sleep
from collections.abc import AsyncIterator, Mapping
from contextlib import suppress
from importlib import import_module
from typing import Any

from airflow.triggers.base import BaseTrigger, TriggerEvent
from pydantic import ValidationError

from airflow_provider_apiframe.api.errors import ApiframeError, JobTimeoutError
from airflow_provider_apiframe.api.models import Job
from airflow_provider_apiframe.api.settings import ClientSettings, without_keys
from airflow_provider_apiframe.exceptions import (
    cannot_cancel_hint,
    collect_hint,
    still_running_hint,
)
from airflow_provider_apiframe.hooks.apiframe import ApiframeHook
from airflow_provider_apiframe.polling.report import REPORT_SECONDS, Report
from airflow_provider_apiframe.polling.wait import Wait
from airflow_provider_apiframe.triggers.progress import DeferredProgress
from airflow_provider_apiframe.triggers.request_share import for_one_triggerer

WATCHER = "airflow_provider_apiframe.polling.watcher"

LOOK_SECONDS = 5.0
"""How often a trigger looks whether there is something new to say of its job."""

MAX_ARGUMENTS_BYTES = 40_000
"""How much a task may take along, as JSON. Airflow encrypts what a trigger's row holds, which makes
four thirds of it, and MySQL's column for that takes 65,535 bytes."""

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


class ApiframeJobTrigger(BaseTrigger):
    """Fires once: when the job is finished, the deadline has passed, or waiting broke.

    All triggers of an account in a triggerer share one loop that polls their jobs
    (``polling/watcher.py``). The event holds all that a resuming task needs;
    :func:`job_from_event` reads it. The trigger's row in the database holds JSON scalars and no
    secret.

    :param job_id: the job.
    :param apiframe_conn_id: id of the Airflow connection.
    :param deadline: seconds since the epoch; absolute, so that a restarted triggerer neither
        extends nor loses it.
    :param poll_interval: seconds between two polls of the job.
    :param reused: whether an earlier try of the task submitted the job; passed on to the event.
    :param prompt: what the job was submitted with, where it is known; passed on with the job, for
        the list of jobs leaves it out.
    :param not_before: seconds since the epoch; the event is held back until then, see
        MIN_DEFERRAL_SECONDS.
    :param keeps_progress: whether it may push an XCom that says how far the job is.
    :param arguments: what the task decided when it ran and is told again when it resumes: a mapping
        of JSON values, at most MAX_ARGUMENTS_BYTES of them, passed on to the event as it is.
    """

    def __init__(
        self,
        job_id: str,
        apiframe_conn_id: str,
        deadline: float,
        poll_interval: float,
        reused: bool = False,
        prompt: str | None = None,
        not_before: float = 0.0,
        keeps_progress: bool = False,
        arguments: dict[str, Any] | None = None,
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.job_id = job_id
        self.apiframe_conn_id = apiframe_conn_id
        self.deadline = deadline
        self.poll_interval = poll_interval
        self.reused = reused
        self.prompt = prompt
        self.not_before = not_before
        self.keeps_progress = keeps_progress
        self.arguments = arguments

    @classmethod
    def of(
        cls,
        wait: Wait,
        apiframe_conn_id: str,
        *,
        reused: bool = False,
        prompt: str | None = None,
        keeps_progress: bool = False,
        arguments: dict[str, Any] | None = None,
    ) -> ApiframeJobTrigger:
        """Return the trigger that does *wait* on the triggerer, for a task that defers now."""
        not_before = time.time() + MIN_DEFERRAL_SECONDS
        return cls(
            wait.job_id,
            apiframe_conn_id,
            wait.deadline,
            wait.poll_interval,
            reused,
            prompt,
            not_before,
            keeps_progress,
            arguments,
        )

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return the class path and the arguments for the trigger's row."""
        arguments: dict[str, Any] = {
            "job_id": self.job_id,
            "apiframe_conn_id": self.apiframe_conn_id,
            "deadline": self.deadline,
            "poll_interval": self.poll_interval,
        }
        if self.reused:
            arguments["reused"] = True
        if self.prompt is not None:
            arguments["prompt"] = self.prompt
        if self.not_before:
            arguments["not_before"] = self.not_before
        if self.keeps_progress:
            arguments["keeps_progress"] = True
        if self.arguments:
            arguments["arguments"] = self.arguments
        return f"{type(self).__module__}.{type(self).__qualname__}", arguments

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Wait for the job and yield the one event."""
        payload = await self._payload()
        if self.trigger_id is not None:  # on a triggerer; `dag.test()` has no scheduler to wait for
            # The worker's clock set the time; where it goes ahead, no longer than was meant.
            await sleep(min(max(0.0, self.not_before - time.time()), MIN_DEFERRAL_SECONDS))
        yield TriggerEvent(payload)

    async def _payload(self) -> dict[str, Any]:
        try:
            job = await self._terminal_job()
        except JobTimeoutError as error:
            message = f"{error} {collect_hint(self.job_id)}"
            return {"status": "timeout", "job_id": self.job_id, "message": message}
        except Exception as error:
            # A trigger that crashes would leave the task without the job's id.
            self.log.exception("Waiting for job %s broke", self.job_id)
            reason = without_keys(f"{type(error).__name__}: {error}").rstrip(".")
            hint = still_running_hint(self.job_id)
            message = f"Waiting on the triggerer broke: {reason}. {hint}"
            return {"status": "error", "job_id": self.job_id, "message": message}
        finished = {"status": "finished", "job": job.model_dump(mode="json"), "reused": self.reused}
        return finished | ({"arguments": self.arguments} if self.arguments else {})

    async def _terminal_job(self) -> Job:
        # DAG files import this module, and the watcher's takes longer to load than an event loop
        # may be blocked.
        await asyncio.to_thread(import_module, WATCHER)
        from airflow_provider_apiframe.polling.watcher import JobWatcher

        wait = Wait(self.job_id, self.deadline, self.poll_interval)
        report = Report(time.monotonic())
        # Without an id it runs in `dag.test()`, whose tasks nobody watches.
        shown = self.keeps_progress and self.trigger_id is not None
        progress = DeferredProgress(self.task_instance if shown else None)
        while True:
            settings = await self._settings(wait)
            watcher = JobWatcher.of(for_one_triggerer(settings))
            waiting = asyncio.ensure_future(watcher.wait(wait))
            try:
                while not (await asyncio.wait([waiting], timeout=LOOK_SECONDS))[0]:
                    latest = watcher.latest(wait)
                    if latest is not None:
                        await progress.write(latest)
                    if not report.is_due(latest, time.monotonic()):
                        continue
                    last_seen = watcher.last_seen(wait)
                    self.log.info("Waiting for job %s: %s", self.job_id, last_seen)
                    if watcher.key_rejected and await self._key_changed(settings):
                        break  # wait on with the watcher of the new key
                else:
                    return waiting.result().with_prompt(self.prompt)
            finally:
                waiting.cancel()

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
        """Return whether somebody replaced the key while the job was under way."""
        try:
            now = await ApiframeHook(self.apiframe_conn_id).async_settings()
        except Exception:
            return False  # what cannot be read did not change yet
        return now.api_key != settings.api_key

    async def on_kill(self) -> None:
        """Say that the job goes on and how to collect it.

        Airflow 3.3+ calls it after somebody cleared or marked the task.
        """
        self.log.warning(cannot_cancel_hint(self.job_id))


class JobWaitError(ApiframeError):
    """The trigger gave up on a job that may still be running.

    The task's retry reconnects to it.

    :ivar timed_out: whether it was the deadline.
    """

    transient = True

    def __init__(self, message: str, *, timed_out: bool, job_id: str | None = None) -> None:
        super().__init__(message, job_id=job_id)
        self.timed_out = timed_out


def job_from_event(event: Mapping[str, Any] | None) -> Job:
    """Return the finished job that an event of the trigger carries.

    :raises JobWaitError: the trigger could not see the job finish.
    """
    event = event or {}
    if event.get("status") == "finished":
        with suppress(ValidationError):
            return Job.model_validate(event.get("job"))
    timed_out = event.get("status") == "timeout"
    message = event.get("message") or f"the trigger sent an event that cannot be read: {event!r}"
    job_id = event.get("job_id")
    raise JobWaitError(
        str(message), timed_out=timed_out, job_id=job_id if isinstance(job_id, str) else None
    )


def was_reused(event: Mapping[str, Any] | None) -> bool:
    """Return whether an earlier try of the task submitted the job in an event of the trigger."""
    return bool((event or {}).get("reused"))


def arguments_of(event: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return the ``arguments`` that the trigger of an event was made with, {} without any."""
    return dict((event or {}).get("arguments") or {})
