"""ApiframeBatchTrigger: waits for the jobs of a batch on the triggerer, all of them at once."""

from __future__ import annotations

import asyncio
import time
from asyncio import Future
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from airflow_provider_apiframe.api.errors import JobTimeoutError
from airflow_provider_apiframe.api.models import Job
from airflow_provider_apiframe.delivery.batch_lines import (
    MAX_NAME_CHARACTERS,
    error_text,
    links_of,
    problem_of,
)
from airflow_provider_apiframe.delivery.progress import progress_of_batch
from airflow_provider_apiframe.exceptions import cannot_cancel_batch_hint
from airflow_provider_apiframe.polling.report import Report
from airflow_provider_apiframe.polling.wait import Wait
from airflow_provider_apiframe.triggers import base
from airflow_provider_apiframe.triggers.base import (
    MIN_DEFERRAL_SECONDS,
    JobWaitError,
    WaitingTrigger,
    broken_wait,
)

if TYPE_CHECKING:
    from airflow_provider_apiframe.polling.watcher import JobWatcher

_NAMES = ("status", "model", "created_at", "completed_at")
_SMALL = {"id", "error", "credit_cost", *_NAMES}


class ApiframeBatchTrigger(WaitingTrigger):
    """Fires once: when all of the jobs are finished, the deadline has passed, or waiting broke.

    The event holds all that a resuming task needs; :class:`BatchEvent` reads it. The trigger's
    row in the database holds JSON and no secret.

    :param job_ids: the jobs, 1 or more.
    :param apiframe_conn_id: id of the Airflow connection.
    :param deadline: seconds since the epoch; absolute, so that a restarted triggerer neither
        extends nor loses it.
    :param poll_interval: seconds between two polls.
    :param not_before: seconds since the epoch; the event is held back until then.
    :param keeps_progress: whether it may push an XCom that says how far the batch is.
    :param done_before: how many images of the batch were done before, for the log.
    :param total: how many images the batch has, for the log; default: one for each job.
    :param carried: what the event hands on as it is: small, JSON.
    """

    def __init__(
        self,
        job_ids: Sequence[str],
        apiframe_conn_id: str,
        deadline: float,
        poll_interval: float,
        not_before: float = 0.0,
        keeps_progress: bool = False,
        done_before: int = 0,
        total: int | None = None,
        carried: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(apiframe_conn_id, not_before, keeps_progress)
        self.job_ids = list(job_ids)
        self.deadline = deadline
        self.poll_interval = poll_interval
        self.done_before = done_before
        self.total = len(self.job_ids) if total is None else total
        self.carried = dict(carried or {})

    @classmethod
    def starting_now(
        cls,
        job_ids: Sequence[str],
        apiframe_conn_id: str,
        *,
        timeout: float,
        poll_interval: float,
        **options: Any,
    ) -> ApiframeBatchTrigger:
        """Return the trigger for a task that defers now.

        :param timeout: seconds until it gives up.
        :param options: *keeps_progress*, *done_before*, *total*, *carried*.
        """
        now = time.time()
        not_before = now + MIN_DEFERRAL_SECONDS
        return cls(job_ids, apiframe_conn_id, now + timeout, poll_interval, not_before, **options)

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return the class path and the arguments for the trigger's row."""
        return self._path(), {
            "job_ids": self.job_ids,
            "apiframe_conn_id": self.apiframe_conn_id,
            "deadline": self.deadline,
            "poll_interval": self.poll_interval,
            "not_before": self.not_before,
            "keeps_progress": self.keeps_progress,
            "done_before": self.done_before,
            "total": self.total,
            "carried": self.carried,
        }

    async def _payload(self) -> dict[str, Any]:
        ended: dict[str, Job] = {}
        payload: dict[str, Any] = {"status": "finished", "carried": self.carried}
        try:
            await self._wait(ended)
        except JobTimeoutError as error:  # the connection could not be read until the deadline
            unread = str(error).partition(" [job ")[0]
        except Exception as error:
            self.log.exception("Waiting for %d jobs broke", len(self.job_ids))
            unread = broken_wait(error)
            payload |= {"status": "error", "message": unread}
        else:
            unread = "The trigger does not say how the job is"
        jobs = [
            _small(job_id, ended.get(job_id) or Job(id=job_id, status="UNKNOWN", error=unread))
            for job_id in self.job_ids
        ]
        return {**payload, "jobs": jobs}

    async def _wait(self, ended: dict[str, Job]) -> None:
        """Fill *ended*: each finished job, or as it was seen last when the deadline had passed."""
        waits = [Wait(job_id, self.deadline, self.poll_interval) for job_id in self.job_ids]
        report, progress = Report(time.monotonic()), self._progress()
        while waits:
            watcher, settings = await self._watcher(waits[0])
            waiting: dict[Future[Job], Wait] = {
                asyncio.ensure_future(watcher.wait(wait)): wait for wait in waits
            }
            latest: dict[str, Job] = {}
            try:
                while waits:
                    done, _ = await asyncio.wait(waiting, timeout=base.LOOK_SECONDS)
                    broken: Exception | None = None
                    for future in done:
                        wait = waiting.pop(future)
                        try:
                            ended[wait.job_id] = _outcome(future, latest.get(wait.job_id))
                        except Exception as error:  # what others saw is not lost by it
                            broken = error
                    if broken:
                        raise broken
                    waits = list(waiting.values())
                    latest |= _as_seen_last(watcher, waits)
                    state = progress_of_batch(self._done(ended), self.total)
                    await progress.write(state)
                    if waits and report.is_due(state, time.monotonic()):
                        self.log.info("%d of %d images are done", self._done(ended), self.total)
                        if watcher.key_rejected and await self._key_changed(settings):
                            break  # wait on with the watcher of the new key
            finally:
                for future in waiting:
                    future.cancel()

    def _done(self, ended: Mapping[str, Job]) -> int:
        return self.done_before + sum(job.is_terminal for job in ended.values())

    async def on_kill(self) -> None:
        """Say that the jobs go on and how to collect them.

        Airflow 3.3+ calls it after somebody cleared or marked the task.
        """
        self.log.warning(cannot_cancel_batch_hint(len(self.job_ids)))


def _as_seen_last(watcher: JobWatcher, waits: Sequence[Wait]) -> dict[str, Job]:
    seen = ((wait.job_id, watcher.latest(wait)) for wait in waits)
    return {job_id: job for job_id, job in seen if job is not None}


def _outcome(future: Future[Job], latest: Job | None) -> Job:
    """Return the finished job; one that was not finished in time says so as its error."""
    try:
        return future.result()
    except JobTimeoutError as error:
        reason = str(error).partition(" [job ")[0]
        status = latest.status if latest else "UNKNOWN"
        return Job(id=error.job_id, status=status, error=reason, model=latest and latest.model)


def _small(job_id: str, job: Job) -> dict[str, Any]:
    """Return a job as the event has it: its links in place of its result, and no input.

    :param job_id: as it was asked for; the API takes ids that it writes in another way.
    """
    error = problem_of(job)
    small = job.model_copy(update={"id": job_id, "error": error and error_text(error)})
    values = small.model_dump(mode="json", include=_SMALL)
    values |= {name: values[name] and values[name][:MAX_NAME_CHARACTERS] for name in _NAMES}
    return {**values, "result": links_of(job)}


@dataclass(frozen=True)
class BatchEvent:
    """What an event of the trigger says.

    :param jobs: in the order of the trigger's ``job_ids``; one that is not finished has as its
        error what was seen last.
    :param carried: what the trigger was given to hand on.
    :param broken: why waiting broke, None where it did not. Jobs that had ended by then are ended.
    """

    jobs: tuple[Job, ...]
    carried: Mapping[str, Any]
    broken: JobWaitError | None = None

    @classmethod
    def read(cls, event: Mapping[str, Any] | None) -> BatchEvent:
        """Read the event of a trigger. One that cannot be read counts as a wait that broke."""
        event = event or {}
        try:
            jobs = tuple(Job.model_validate(job) for job in event["jobs"])
        except (KeyError, TypeError, ValidationError):
            text = "the trigger sent an event that cannot be read"
            return cls((), {}, JobWaitError(text, timed_out=False))
        broken = None
        if event.get("status") != "finished":
            broken = JobWaitError(str(event.get("message")), timed_out=False)
        carried = event.get("carried")
        return cls(jobs, carried if isinstance(carried, Mapping) else {}, broken)
