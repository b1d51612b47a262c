"""ApiframeJobTrigger: waits for one job on the triggerer.

It only reads; nothing it does costs credits.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from pydantic import ValidationError

from airflow_provider_apiframe.api.errors import JobTimeoutError
from airflow_provider_apiframe.api.models import Job
from airflow_provider_apiframe.exceptions import (
    cannot_cancel_hint,
    collect_hint,
    still_running_hint,
)
from airflow_provider_apiframe.polling.report import Report
from airflow_provider_apiframe.polling.wait import Wait
from airflow_provider_apiframe.triggers import base
from airflow_provider_apiframe.triggers.base import (
    MIN_DEFERRAL_SECONDS,
    JobWaitError,
    WaitingTrigger,
    broken_wait,
)


class ApiframeJobTrigger(WaitingTrigger):
    """Fires once: when the job is finished, the deadline has passed, or waiting broke.

    The event holds all that a resuming task needs; :func:`job_from_event` reads it. The trigger's
    row in the database holds JSON scalars and no secret.

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
        of JSON values, passed on to the event as it is.
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
        super().__init__(apiframe_conn_id, not_before, keeps_progress)
        self.job_id = job_id
        self.deadline = deadline
        self.poll_interval = poll_interval
        self.reused = reused
        self.prompt = prompt
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
        return self._path(), arguments

    async def _payload(self) -> dict[str, Any]:
        try:
            job = await self._terminal_job()
        except JobTimeoutError as error:
            message = f"{error} {collect_hint(self.job_id)}"
            return {"status": "timeout", "job_id": self.job_id, "message": message}
        except Exception as error:
            # A trigger that crashes would leave the task without the job's id.
            self.log.exception("Waiting for job %s broke", self.job_id)
            message = f"{broken_wait(error)} {still_running_hint(self.job_id)}"
            return {"status": "error", "job_id": self.job_id, "message": message}
        finished = {"status": "finished", "job": job.model_dump(mode="json"), "reused": self.reused}
        return finished | ({"arguments": self.arguments} if self.arguments else {})

    async def _terminal_job(self) -> Job:
        wait = Wait(self.job_id, self.deadline, self.poll_interval)
        report = Report(time.monotonic())
        progress = self._progress()
        while True:
            watcher, settings = await self._watcher(wait)
            waiting = asyncio.ensure_future(watcher.wait(wait))
            try:
                while not (await asyncio.wait([waiting], timeout=base.LOOK_SECONDS))[0]:
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

    async def on_kill(self) -> None:
        """Say that the job goes on and how to collect it.

        Airflow 3.3+ calls it after somebody cleared or marked the task.
        """
        self.log.warning(cannot_cancel_hint(self.job_id))


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
