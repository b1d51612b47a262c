"""ApiframeJobTrigger: waits for one job on the triggerer.

It only reads; nothing it does costs credits.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import suppress
from importlib import import_module
from typing import Any

from airflow.triggers.base import BaseTrigger, TriggerEvent
from pydantic import ValidationError

from airflow_provider_apiframe.api.errors import ApiframeError, AuthenticationError, JobTimeoutError
from airflow_provider_apiframe.api.models import Job
from airflow_provider_apiframe.api.settings import without_keys
from airflow_provider_apiframe.exceptions import (
    cannot_cancel_hint,
    collect_hint,
    still_running_hint,
)
from airflow_provider_apiframe.hooks.apiframe import ApiframeHook
from airflow_provider_apiframe.polling.wait import Wait

WATCHER = "airflow_provider_apiframe.polling.watcher"


class ApiframeJobTrigger(BaseTrigger):
    """Fires once: when the job is finished, or the deadline has passed.

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
    """

    def __init__(
        self,
        job_id: str,
        apiframe_conn_id: str,
        deadline: float,
        poll_interval: float,
        reused: bool = False,
        prompt: str | None = None,
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.job_id = job_id
        self.apiframe_conn_id = apiframe_conn_id
        self.deadline = deadline
        self.poll_interval = poll_interval
        self.reused = reused
        self.prompt = prompt

    @classmethod
    def of(
        cls, wait: Wait, apiframe_conn_id: str, *, reused: bool = False, prompt: str | None = None
    ) -> ApiframeJobTrigger:
        """Return the trigger that does *wait* on the triggerer."""
        return cls(wait.job_id, apiframe_conn_id, wait.deadline, wait.poll_interval, reused, prompt)

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
        return f"{type(self).__module__}.{type(self).__qualname__}", arguments

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Wait for the job and yield the one event."""
        try:
            job = await self._terminal_job()
        except JobTimeoutError as error:
            message = f"{error} {collect_hint(self.job_id)}"
            yield TriggerEvent({"status": "timeout", "message": message})
        except ApiframeError as error:
            yield self._failed(f"{error}", retry=error.transient)
        except Exception as error:
            # A trigger that crashes would leave the task without the job's id.
            self.log.exception("Waiting for job %s broke", self.job_id)
            yield self._failed(f"{type(error).__name__}: {error}", retry=True)
        else:
            document = job.model_dump(mode="json")
            yield TriggerEvent({"status": "finished", "job": document, "reused": self.reused})

    async def _terminal_job(self) -> Job:
        # DAG files import this module, and the watcher's takes longer to load than an event loop
        # may be blocked.
        await asyncio.to_thread(import_module, WATCHER)
        from airflow_provider_apiframe.polling.watcher import JobWatcher

        hook = ApiframeHook(self.apiframe_conn_id)
        wait = Wait(self.job_id, self.deadline, self.poll_interval)
        settings = await hook.async_settings()
        try:
            job = await JobWatcher.of(settings).wait(wait)
        except AuthenticationError:
            now = await hook.async_settings()
            if now.api_key == settings.api_key:
                raise
            # Somebody replaced the key in the connection while the job was under way.
            job = await JobWatcher.of(now).wait(wait)
        return job.with_prompt(self.prompt)

    async def on_kill(self) -> None:
        """Say that the job goes on and how to collect it.

        Airflow 3.3+ calls it after somebody cleared or marked the task.
        """
        self.log.warning(cannot_cancel_hint(self.job_id))

    def _failed(self, message: str, *, retry: bool) -> TriggerEvent:
        reason = without_keys(message).rstrip(".")
        text = f"Waiting on the triggerer broke: {reason}. {still_running_hint(self.job_id)}"
        return TriggerEvent({"status": "error", "message": text, "retry": retry})


class JobWaitError(ApiframeError):
    """The trigger gave up on a job that may still be running.

    :ivar timed_out: whether it was the deadline.
    """

    def __init__(self, message: str, *, timed_out: bool, transient: bool) -> None:
        super().__init__(message)
        self.timed_out = timed_out
        self.transient = transient


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
    transient = timed_out or bool(event.get("retry"))
    raise JobWaitError(str(message), timed_out=timed_out, transient=transient)


def was_reused(event: Mapping[str, Any] | None) -> bool:
    """Return whether an earlier try of the task submitted the job in an event of the trigger."""
    return bool((event or {}).get("reused"))
