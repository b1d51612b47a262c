"""One loop that polls the jobs of an account for everything on a triggerer that waits for them."""

from __future__ import annotations

import asyncio
import contextvars
import logging
import time
from asyncio import AbstractEventLoop, Future, Task
from collections.abc import Awaitable, Iterable
from contextlib import suppress
from dataclasses import replace
from typing import TypeVar
from weakref import WeakKeyDictionary

from airflow_provider_apiframe.api.async_client import AsyncApiframeClient
from airflow_provider_apiframe.api.errors import ConnectionFailedError
from airflow_provider_apiframe.api.models import Job
from airflow_provider_apiframe.api.settings import ClientSettings
from airflow_provider_apiframe.polling.pending import Outcome
from airflow_provider_apiframe.polling.poll import Poll, PollKind
from airflow_provider_apiframe.polling.schedule import Schedule
from airflow_provider_apiframe.polling.wait import Wait

log = logging.getLogger(__name__)

T = TypeVar("T")

MAX_REQUEST_SECONDS = 20.0  # everybody waits for a page that hangs
MAX_IN_FLIGHT = 8  # polls by id
# Seconds that a wait may outlast its deadline: for the last response, and for the first one if the
# deadline passed while nobody was polling.
LAST_RESPONSE, FIRST_RESPONSE = 1.0, 5.0

# An event loop of its own for every `dag.test()`, one for the life of a triggerer.
_watchers: WeakKeyDictionary[AbstractEventLoop, dict[tuple[str, str], JobWatcher]] = (
    WeakKeyDictionary()
)


class JobWatcher:
    """Polls the jobs of one account on one event loop; get it with :meth:`of`.

    It works as long as somebody waits, with one client. Which jobs it polls and when is decided in
    ``schedule.py``. Times are the event loop's, which never jump. Nothing in here may hold on to
    the event loop while nobody waits.

    :param settings: of the account.
    """

    def __init__(self, settings: ClientSettings) -> None:
        self._settings = settings
        self._schedule = Schedule(settings.requests_per_minute)
        self._waiting: dict[Wait, Future[Job]] = {}
        self._watching: Task[None] | None = None
        self._next_poll_at = 0.0
        self._reconsider = asyncio.Event()

    @classmethod
    def of(cls, settings: ClientSettings) -> JobWatcher:
        """Return the watcher of an account on the running event loop.

        Its rate limit is that of the last who came.
        """
        watchers = _watchers.setdefault(asyncio.get_running_loop(), {})
        account = (settings.base_url, settings.api_key)
        watcher = watchers.get(account)
        if watcher is None:
            watcher = watchers[account] = cls(settings)
        watcher._settings = settings
        watcher._schedule.limiter.per_minute = settings.requests_per_minute
        return watcher

    def last_seen(self, wait: Wait) -> str:
        """Say what the last poll of a waited-for job showed, e.g. "PROCESSING, 40 %"."""
        return self._schedule.last_seen(wait.job_id)

    def latest(self, wait: Wait) -> Job | None:
        """Return a waited-for job as a poll showed it last, None while none did."""
        return self._schedule.latest(wait.job_id)

    @property
    def key_rejected(self) -> bool:
        """Whether the last response rejected the API key; it may have been replaced meanwhile."""
        return self._schedule.key_rejected

    async def wait(self, wait: Wait) -> Job:
        """Return the job when it is finished, in whatever state.

        Errors of the API are ridden out until the deadline: the job is paid for, and goes on.

        :raises JobTimeoutError: not finished at the deadline; it says what was last seen.
        """
        loop = asyncio.get_running_loop()
        now = loop.time()
        wait = replace(wait, deadline=now + wait.deadline - time.time())
        first_poll_at = self._schedule.add(wait, now)
        ended: Future[Job] = loop.create_future()
        self._waiting[wait] = ended
        try:
            if self._watching is None or self._watching.done():
                # In a context of its own: what it logs is not about the one task that happened to
                # come first.
                self._watching = loop.create_task(self._watch(), context=contextvars.Context())
            elif first_poll_at < self._next_poll_at:
                self._reconsider.set()
            end = max(wait.deadline + LAST_RESPONSE, now + FIRST_RESPONSE)
            await asyncio.wait([ended], timeout=end - now)
            if not ended.done():
                raise wait.timed_out(self._schedule.last_seen(wait.job_id))
            return ended.result()
        finally:
            if not ended.cancel() and not ended.cancelled():
                ended.exception()  # seen, even if this wait was cancelled at the same moment
            del self._waiting[wait]
            self._schedule.discard(wait)
            if not self._waiting:
                await self._stop()

    async def _stop(self) -> None:
        watching, self._watching = self._watching, None
        self._reconsider = asyncio.Event()  # the old one holds on to the event loop
        if watching is not None:
            watching.cancel()
            await asyncio.wait([watching])

    async def _watch(self) -> None:
        timeout = min(self._settings.timeout, MAX_REQUEST_SECONDS)
        in_flight: set[Task[None]] = set()
        try:
            async with (
                await AsyncApiframeClient.open(
                    self._settings.model_copy(update={"timeout": timeout})
                ) as client,
                asyncio.TaskGroup() as group,
            ):
                while True:
                    poll = await self._next_poll(in_flight)
                    if poll.kind is PollKind.JOB:
                        self._schedule.mark_in_flight(poll.job_id, _now())
                        task = group.create_task(self._poll_job(client, poll.job_id))
                        in_flight.add(task)
                        task.add_done_callback(in_flight.discard)
                    else:
                        await self._read_page(client, poll)
                    await asyncio.sleep(0)  # lets others run, however many polls are due
        except Exception as error:
            log.exception("Polling %d Apiframe jobs broke", len(self._waiting))
            self._fail_all(error.exceptions[0] if isinstance(error, ExceptionGroup) else error)
        except asyncio.CancelledError:
            self._fail_all(RuntimeError("the loop that polls the jobs was cancelled"))
            raise

    async def _next_poll(self, in_flight: set[Task[None]]) -> Poll:
        """Return the next poll when its time has come."""
        while True:
            now = _now()
            poll = self._schedule.next_poll(now, by_id=len(in_flight) < MAX_IN_FLIGHT)
            self._next_poll_at = poll.at
            if poll.at <= now:
                return poll
            with suppress(TimeoutError):
                async with asyncio.timeout(min(poll.at - now, MAX_REQUEST_SECONDS)):
                    await self._reconsider.wait()
            self._reconsider.clear()

    async def _read_page(self, client: AsyncApiframeClient, poll: Poll) -> None:
        query = self._schedule.next_page(poll, _now())
        try:
            page = await _with_timeout(client.list_jobs(retry=False, **query))
        except Exception as error:  # whatever it is, jobs can be polled by id
            self._resolve(self._schedule.record_scan_error(error, _now()))
        else:
            self._resolve(self._schedule.record_page(page, _now()))

    async def _poll_job(self, client: AsyncApiframeClient, job_id: str) -> None:
        try:
            job = await _with_timeout(client.get_job(job_id, retry=False))
        except Exception as error:  # whatever it is, it must not reach who waits for other jobs
            self._resolve(self._schedule.record_error(job_id, error, _now()))
        else:
            self._resolve(self._schedule.record_job(job_id, job, _now()))
        finally:
            self._reconsider.set()

    def _resolve(self, outcomes: Iterable[Outcome]) -> None:
        for wait, outcome in outcomes:
            ended = self._waiting.get(wait)
            if ended is None or ended.done():
                continue
            if isinstance(outcome, Job):
                ended.set_result(outcome)
            else:
                ended.set_exception(outcome)

    def _fail_all(self, error: Exception) -> None:
        if self._watching is not asyncio.current_task():
            return  # stopped; who waits now is served by another loop
        for ended in self._waiting.values():
            if not ended.done():
                ended.set_exception(error)


def _now() -> float:
    return asyncio.get_running_loop().time()


async def _with_timeout(response: Awaitable[T]) -> T:
    """Return a response that comes whole in time; the HTTP library's timeout is for each piece."""
    try:
        async with asyncio.timeout(MAX_REQUEST_SECONDS):
            return await response
    except TimeoutError:
        raise ConnectionFailedError(
            f"No whole response came within {MAX_REQUEST_SECONDS:g} s"
        ) from None
