"""One loop that watches the jobs of an account for everything on a triggerer that waits for them."""

from __future__ import annotations

import asyncio
import contextvars
import logging
import time
from asyncio import AbstractEventLoop, Future, Task
from collections import defaultdict
from collections.abc import Awaitable, Iterable
from contextlib import suppress
from dataclasses import replace
from typing import TypeVar
from weakref import WeakKeyDictionary

from airflow_provider_apiframe.api.async_client import AsyncApiframeClient
from airflow_provider_apiframe.api.errors import ConnectionFailedError
from airflow_provider_apiframe.api.models import Job
from airflow_provider_apiframe.api.settings import ClientSettings
from airflow_provider_apiframe.polling.rate_limit import Durations, RequestBudget
from airflow_provider_apiframe.polling.schedule import Look, Outcome, Schedule
from airflow_provider_apiframe.polling.wait import Wait

log = logging.getLogger(__name__)

T = TypeVar("T")

LONGEST_REQUEST = 20.0  # seconds; everybody waits for a page that hangs
AT_ONCE = 8  # jobs asked for by their ids
# Seconds that a wait may outlast its deadline: for the answer to the last look, and for the answer
# to the first one if the deadline passed while nobody watched.
LAST_ANSWER, FIRST_ANSWER = 1.0, 5.0

# An event loop of its own for every `dag.test()`, one for the life of a triggerer.
_watchers: WeakKeyDictionary[AbstractEventLoop, dict[tuple[str, str], JobWatcher]] = (
    WeakKeyDictionary()
)
_durations: defaultdict[str, Durations] = defaultdict(Durations)  # by base URL


class JobWatcher:
    """Watches the jobs of one account on one event loop; get it with :meth:`of`.

    It works as long as somebody waits, with one client. Which jobs it looks at and when is decided
    in ``api/schedule.py``. Nothing in here may hold on to the event loop while nobody waits.

    :param settings: of the account.
    """

    def __init__(self, settings: ClientSettings) -> None:
        self._settings = settings
        self._budget = RequestBudget(settings.requests_per_minute)
        self._schedule = Schedule(durations=_durations[settings.base_url])
        self._clock_offset = time.time() - time.monotonic()
        self._waiting: dict[Wait, Future[Job]] = {}
        self._watching: Task[None] | None = None
        self._asking: set[Task[None]] = set()
        self._next_look = 0.0
        self._look_again = asyncio.Event()
        self._turns = asyncio.Lock()

    @classmethod
    def of(cls, settings: ClientSettings) -> JobWatcher:
        """Return the watcher of an account on the running event loop.

        Its request budget is that of the last who came.
        """
        watchers = _watchers.setdefault(asyncio.get_running_loop(), {})
        account = (settings.base_url, settings.api_key)
        watcher = watchers.get(account)
        if watcher is None:
            watcher = watchers[account] = cls(settings)
        watcher._settings = settings
        watcher._budget.per_minute = settings.requests_per_minute
        watcher._schedule.requests_per_minute = settings.requests_per_minute
        return watcher

    async def wait(self, wait: Wait) -> Job:
        """Return the job when it is finished, in whatever state. Outages are ridden out until the
        deadline.

        :raises JobTimeoutError: not finished at the deadline.
        :raises ApiframeError: the job cannot be read, and asking again cannot help.
        """
        now = self._now()
        # In here time never jumps; the clock on the wall, by which the deadline is, may have done
        # so since.
        wait = replace(wait, deadline=wait.deadline - (time.time() - now))
        first_look = self._schedule.add(wait, now)
        ended: Future[Job] = asyncio.get_running_loop().create_future()
        self._waiting[wait] = ended
        try:
            if self._watching is None or self._watching.done():
                # In a context of its own: what it logs is not about the one task that happened to
                # come first.
                self._watching = asyncio.get_running_loop().create_task(
                    self._watch(), context=contextvars.Context()
                )
            elif first_look < self._next_look:
                self._look_again.set()
            await asyncio.wait(
                [ended], timeout=max(wait.deadline + LAST_ANSWER, now + FIRST_ANSWER) - now
            )
            if not ended.done():
                raise wait.timed_out(self._schedule.last_seen(wait))
            return ended.result()
        finally:
            if not ended.cancel() and not ended.cancelled():
                ended.exception()  # it has been seen, even if this wait was cancelled at the same moment
            del self._waiting[wait]
            self._schedule.discard(wait)
            if not self._waiting:
                await self._stop()

    async def _stop(self) -> None:
        watching, self._watching = self._watching, None
        # The old ones hold on to the event loop.
        self._look_again, self._turns = asyncio.Event(), asyncio.Lock()
        if watching is not None:
            watching.cancel()
            await asyncio.wait([watching])

    def _now(self) -> float:
        return self._clock_offset + time.monotonic()

    async def _watch(self) -> None:
        timeout = min(self._settings.timeout, LONGEST_REQUEST)
        settings = self._settings.model_copy(update={"timeout": timeout})
        asking = self._asking = set()
        try:
            async with (
                await AsyncApiframeClient.open(settings) as client,
                asyncio.TaskGroup() as group,
            ):
                while True:
                    look = await self._next()
                    if look.job_id is None:
                        await self._walk(client, look)
                    else:
                        self._schedule.asking(look.job_id, self._now())
                        task = group.create_task(self._ask_for(client, look.job_id))
                        asking.add(task)
                        task.add_done_callback(asking.discard)
                    await asyncio.sleep(0)  # others have a turn, however many looks are due
        except Exception as error:
            log.exception("Watching %d Apiframe jobs broke", len(self._waiting))
            self._give_up(error.exceptions[0] if isinstance(error, ExceptionGroup) else error)
        except asyncio.CancelledError:
            self._give_up(RuntimeError("the watch over the jobs was cancelled"))
            raise

    def _give_up(self, error: Exception) -> None:
        if (
            self._watching is not asyncio.current_task()
        ):  # stopped; who waits now is served by another
            return
        for ended in self._waiting.values():
            if not ended.done():
                ended.set_exception(error)

    async def _next(self) -> Look:
        """Return the next look when its time has come."""
        while True:
            look = self._schedule.next_look(self._now(), by_id=len(self._asking) < AT_ONCE)
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
                page = await _in_time(client.list_jobs(retry=False, **walk.query))
                self._end(self._schedule.read(walk, page, self._now()))
        except Exception as error:  # whatever it is, jobs can be asked for one by one
            self._end(self._schedule.walk_failed(walk, error, self._now()))

    async def _ask_for(self, client: AsyncApiframeClient, job_id: str) -> None:
        try:
            await self._turn()
            if not self._schedule.watches(job_id):
                return
            job = await _in_time(client.get_job(job_id, retry=False))
        except (
            Exception
        ) as error:  # whatever it is, it must not reach those that wait for other jobs
            self._end(self._schedule.failed(job_id, error, self._now()))
        else:
            self._end(self._schedule.saw(job_id, job, self._now()))
        finally:
            self._look_again.set()

    async def _turn(self) -> None:
        """Wait until the request budget allows another request."""
        async with self._turns:
            while (pause := self._budget.free_at(self._now()) - self._now()) > 0:
                await asyncio.sleep(pause)
            self._budget.note(self._now())

    def _end(self, outcomes: Iterable[Outcome]) -> None:
        for wait, outcome in outcomes:
            ended = self._waiting.get(wait)
            if ended is None or ended.done():
                continue
            if isinstance(outcome, Job):
                ended.set_result(outcome)
            else:
                ended.set_exception(outcome)


async def _in_time(answer: Awaitable[T]) -> T:
    """Return an answer that comes whole in time; the HTTP library's own timeout is for each piece of it."""
    try:
        async with asyncio.timeout(LONGEST_REQUEST):
            return await answer
    except TimeoutError:
        raise ConnectionFailedError(f"No whole answer came within {LONGEST_REQUEST:g} s") from None
