"""One loop that watches the jobs of an account for everything on a triggerer that waits for them."""

from __future__ import annotations

import asyncio
import contextvars
import logging
import time
from asyncio import AbstractEventLoop, Future, Task
from collections import defaultdict
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

from airflow_provider_apiframe.api.models import Job
from airflow_provider_apiframe.api.pacing import Durations, RequestBudget
from airflow_provider_apiframe.api.schedule import Look, Outcome, Schedule
from airflow_provider_apiframe.api.settings import ClientSettings
from airflow_provider_apiframe.api.waiting import Wait
from airflow_provider_apiframe.hooks.apiframe import new_async_client

if TYPE_CHECKING:
    from airflow_provider_apiframe.api.async_client import AsyncApiframeClient

log = logging.getLogger(__name__)

LONGEST_REQUEST = 20.0  # seconds; everybody waits for a page that hangs
AT_ONCE = 8  # jobs asked for by their ids
# Seconds that a wait may outlast its deadline: for the answer to the last look, and for the answer to the first one if the
# deadline passed while nobody watched.
LAST_ANSWER, FIRST_ANSWER = 1.0, 5.0

# An event loop of its own for every `dag.test()`, one for the life of a triggerer.
_watchers: WeakKeyDictionary[AbstractEventLoop, dict[tuple[str, str], JobWatcher]] = WeakKeyDictionary()
_durations: defaultdict[str, Durations] = defaultdict(Durations)  # by base URL


class JobWatcher:
    """Watches the jobs of one account on one event loop; get it with :meth:`of`.

    It works as long as somebody waits, with one client. Which jobs it looks at and when is decided in ``api/schedule.py``.
    Nothing in here may hold on to the event loop while nobody waits.

    :param settings: of the account.
    """

    def __init__(self, settings: ClientSettings) -> None:
        self._settings = settings
        self._budget = RequestBudget(settings.requests_per_minute)
        self._schedule = Schedule(durations=_durations[settings.base_url])
        self._waiting: dict[Wait, Future[Job]] = {}
        self._watching: Task[None] | None = None
        self._clock_offset = 0.0
        self._asking = 0
        self._next_look = 0.0
        self._look_again = asyncio.Event()

    @classmethod
    def of(cls, settings: ClientSettings) -> JobWatcher:
        """Return the watcher of an account on the running event loop. Its request budget is that of the last who came."""
        watchers = _watchers.setdefault(asyncio.get_running_loop(), {})
        account = (settings.base_url, settings.api_key)
        watcher = watchers.get(account)
        if watcher is None:
            watcher = watchers[account] = cls(settings)
        watcher._settings = settings
        watcher._budget.change(settings.requests_per_minute)
        watcher._schedule.requests_per_minute = settings.requests_per_minute
        return watcher

    async def wait(self, wait: Wait) -> Job:
        """Return the job when it is finished, in whatever state. Outages are ridden out until the deadline.

        :raises JobTimeoutError: not finished at the deadline.
        :raises ApiframeError: the job cannot be read, and asking again cannot help.
        """
        ended: Future[Job] = asyncio.get_running_loop().create_future()
        self._waiting[wait] = ended
        try:
            if self._watching is None or self._watching.done():
                self._start()
            now = self._now()
            if self._schedule.add(wait, now) < self._next_look:
                self._look_again.set()
            await asyncio.wait([ended], timeout=max(wait.deadline + LAST_ANSWER, now + FIRST_ANSWER) - now)
            if not ended.done():
                raise wait.timed_out(self._schedule.last_seen(wait))
            return ended.result()
        finally:
            del self._waiting[wait]
            self._schedule.discard(wait)
            if not self._waiting:
                await self._stop()

    def _start(self) -> None:
        loop = asyncio.get_running_loop()
        # Deadlines are by the clock on the wall; a clock that is set while somebody waits must not stop the watch.
        self._clock_offset = time.time() - loop.time()
        # In a context of its own: what it logs is not about the one task that happened to come first.
        self._watching = loop.create_task(self._watch(), context=contextvars.Context())

    async def _stop(self) -> None:
        watching, self._watching = self._watching, None
        self._look_again = asyncio.Event()
        if watching is not None:
            watching.cancel()
            await asyncio.wait([watching])

    def _now(self) -> float:
        return self._clock_offset + asyncio.get_running_loop().time()

    async def _watch(self) -> None:
        settings = replace(self._settings, timeout=min(self._settings.timeout, LONGEST_REQUEST))
        self._asking = 0
        try:
            async with await new_async_client(settings) as client, asyncio.TaskGroup() as asking:
                while True:
                    look = await self._next()
                    if look.job_id is None:
                        await self._walk(client, look)
                    else:
                        self._asking += 1
                        self._schedule.asking(look.job_id, self._now())
                        asking.create_task(self._ask_for(client, look.job_id))
        except Exception as error:
            log.exception("Watching %d Apiframe jobs broke", len(self._waiting))
            self._give_up(error.exceptions[0] if isinstance(error, ExceptionGroup) else error)
        except asyncio.CancelledError:
            self._give_up(RuntimeError("the watch over the jobs was cancelled"))  # to nobody, if it was by _stop()
            raise

    def _give_up(self, error: Exception) -> None:
        for ended in self._waiting.values():
            if not ended.done():
                ended.set_exception(error)

    async def _next(self) -> Look:
        """Return the next look when its time has come."""
        while True:
            look = self._schedule.next_look(self._now(), by_id=self._asking < AT_ONCE)
            self._next_look = look.at
            pause = look.at - self._now()
            if pause <= 0:
                return look
            with suppress(TimeoutError):
                async with asyncio.timeout(min(pause, LONGEST_REQUEST)):
                    await self._look_again.wait()
            self._look_again.clear()

    async def _walk(self, client: AsyncApiframeClient, look: Look) -> None:
        walk = self._schedule.walk(look)
        try:
            while not walk.over:
                await self._turn()
                page = await client.list_jobs(repeats=False, **walk.query)
                self._end(self._schedule.read(walk, page, self._now()))
        except Exception as error:  # whatever it is, jobs can be asked for one by one
            self._end(self._schedule.walk_failed(walk, error, self._now()))

    async def _ask_for(self, client: AsyncApiframeClient, job_id: str) -> None:
        try:
            await self._turn()
            job = await client.get_job(job_id, repeats=False)
        except Exception as error:  # whatever it is, it must not reach those that wait for other jobs
            self._end(self._schedule.failed(job_id, error, self._now()))
        else:
            self._end(self._schedule.saw(job_id, job, self._now()))
        finally:
            self._asking -= 1
            self._look_again.set()

    async def _turn(self) -> None:
        """Wait until the request budget allows another request."""
        pause = self._budget.reserve(self._now()) - self._now()
        if pause > 0:
            await asyncio.sleep(pause)

    def _end(self, outcomes: Iterable[Outcome]) -> None:
        for wait, outcome in outcomes:
            ended = self._waiting.get(wait)
            if ended is None or ended.done():
                continue
            if isinstance(outcome, Job):
                ended.set_result(outcome)
            else:
                ended.set_exception(outcome)
