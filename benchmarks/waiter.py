"""A process that waits for jobs in one of the ways, and measures itself.

It reads job ids from its standard input, one a line, and starts to wait for each at once. The first
is a rehearsal, which loads what is loaded at the first use; then it says that it is ready. When the
input has ended and every job is there, it says what it saw.
"""

from __future__ import annotations

import asyncio
import gc
import json
import os
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import asdict, dataclass, field
from typing import Any, TextIO

TICK = 0.005  # seconds the ticker sleeps
ALONE = 1.0  # seconds the ticker runs alone, to know what it costs


@dataclass
class Observation:
    """What a waiting process saw.

    :ivar deliveries: job id, and seconds from the job's completion until the waiting code had it.
    :ivar errors: what ended a wait otherwise.
    :ivar loop_lags: seconds by which each of the ticker's sleeps was too long; empty without an
        event loop.
    :ivar seconds: length of the wait, from the first job id to the last job.
    :ivar cpu_seconds: user and system time of the process in that time, the ticker's included.
    :ivar ticker_share: share of a core that the ticker used when it ran alone.
    """

    deliveries: list[tuple[str, float]] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    loop_lags: list[float] = field(default_factory=list)
    seconds: float = 0.0
    cpu_seconds: float = 0.0
    ticker_share: float = 0.0

    def document(self) -> dict[str, Any]:
        """Return the observation as JSON values."""
        return asdict(self)


AsyncWay = Callable[[str], AsyncIterator[tuple[float, float]]]
Way = Callable[[str], tuple[float, float]]


async def wait_in_one_loop(way: AsyncWay, limit: float, ready: Callable[[], None]) -> Observation:
    """Wait for all jobs as tasks of one event loop, as a triggerer does.

    :param limit: seconds after the last job id when the wait is given up.
    :param ready: called after the rehearsal.
    """
    job_ids = await _standard_input()
    await _watch(way, (await job_ids.readline()).decode().strip(), Observation())
    seen = Observation()
    ticker = asyncio.create_task(_tick([]))
    cpu = time.process_time()
    await asyncio.sleep(ALONE)
    ticker.cancel()
    seen.ticker_share = (time.process_time() - cpu) / ALONE

    gc.collect()
    ready()
    line = await job_ids.readline()
    cpu, since = time.process_time(), time.monotonic()
    ticker = asyncio.create_task(_tick(seen.loop_lags))
    waits = []
    while line:
        waits.append(asyncio.create_task(_watch(way, line.decode().strip(), seen)))
        line = await job_ids.readline()
    await asyncio.wait(waits, timeout=limit)
    seen.seconds, seen.cpu_seconds = time.monotonic() - since, time.process_time() - cpu
    for task in (ticker, *waits):
        task.cancel()
    return seen


async def _standard_input() -> asyncio.StreamReader:
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), sys.stdin
    )
    return reader


async def _watch(way: AsyncWay, job_id: str, seen: Observation) -> None:
    try:
        async for moment, completed in way(job_id):
            seen.deliveries.append((job_id, moment - completed))
    except Exception as error:
        seen.errors.append(f"{type(error).__name__}: {error}")


async def _tick(lags: list[float]) -> None:
    while True:
        before = time.perf_counter()
        await asyncio.sleep(TICK)
        lags.append(time.perf_counter() - before - TICK)


def wait_in_threads(way: Way, limit: float, ready: Callable[[], None]) -> Observation:
    """Wait for each job in a thread of its own.

    The parameters are those of :func:`wait_in_one_loop`.
    """
    way(sys.stdin.readline().strip())
    seen = Observation()
    gc.collect()
    ready()
    line = sys.stdin.readline()
    cpu, since = time.process_time(), time.monotonic()
    waits = []
    while line:
        waits.append(threading.Thread(target=_wait, args=(way, line.strip(), seen), daemon=True))
        waits[-1].start()
        line = sys.stdin.readline()
    give_up = time.monotonic() + limit
    for thread in waits:
        thread.join(max(0.0, give_up - time.monotonic()))
    seen.seconds, seen.cpu_seconds = time.monotonic() - since, time.process_time() - cpu
    return seen


def _wait(way: Way, job_id: str, seen: Observation) -> None:
    try:
        moment, completed = way(job_id)
        seen.deliveries.append((job_id, moment - completed))
    except Exception as error:
        seen.errors.append(f"{type(error).__name__}: {error}")


def main(name: str, limit: float, results: TextIO) -> None:
    """Wait in the way of that name."""
    from benchmarks import ways

    def say(value: Any) -> None:
        print(json.dumps(value), file=results, flush=True)

    def ready() -> None:
        say("ready")

    way = getattr(ways, name)
    in_threads = way is ways.plain_loop
    seen = (
        wait_in_threads(way, limit, ready)
        if in_threads
        else asyncio.run(wait_in_one_loop(way, limit, ready))
    )
    say(seen.document())


if __name__ == "__main__":
    # Airflow logs to the standard output, which is for the results here.
    results = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    main(sys.argv[1], float(sys.argv[2]), results)
