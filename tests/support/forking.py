"""Uses a hook, forks, and uses it again in both processes at the same time.

As a command, so that nothing but this forks: ``python forking.py WAY``. It asks for jobs named
"before-0", "parent-0", "child-0" and so on, and prints as JSON what came for each.
"""

from __future__ import annotations

import asyncio
import json
import os
import select
import signal
import sys
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from airflow_provider_apiframe.hooks.apiframe import ApiframeHook
from airflow_provider_apiframe.polling.wait import Wait
from airflow_provider_apiframe.polling.watcher import JobWatcher

Answers = dict[str, str]
THREADS = 4
JOBS = 40
SECONDS = 60.0  # that the child may take


def through_the_hook() -> Callable[[Iterable[str]], Answers]:
    hook = ApiframeHook()

    def ask(names: Iterable[str]) -> Answers:
        with ThreadPoolExecutor(THREADS) as threads:
            return dict(threads.map(lambda name: (name, hook.get_job(name).id), names))

    return ask


def through_its_session() -> Callable[[Iterable[str]], Answers]:
    hook = ApiframeHook()
    session, url = hook.get_conn(), hook.client.settings.base_url

    def one(name: str) -> tuple[str, str]:
        return name, session.get(f"{url}/v2/jobs/{name}", timeout=10).json()["id"]

    def ask(names: Iterable[str]) -> Answers:
        with ThreadPoolExecutor(THREADS) as threads:
            return dict(threads.map(one, names))

    return ask


def while_connections_are_taken() -> Callable[[Iterable[str]], Answers]:
    """Fork while the parent holds the locks of its connections, as one of its threads may."""
    hook = ApiframeHook()
    session, url = hook.get_conn(), hook.client.settings.base_url
    held: list[Any] = []

    def hold() -> None:
        pools: Any = session.get_adapter(url).poolmanager.pools
        keys = pools.keys()  # it cannot be iterated over itself
        held.extend(pools[key].pool.mutex for key in keys)
        for lock in held:
            lock.acquire()

    def release() -> None:
        while held:
            held.pop().release()

    os.register_at_fork(before=hold, after_in_parent=release)

    def ask(names: Iterable[str]) -> Answers:
        return {
            name: session.get(f"{url}/v2/jobs/{name}", timeout=10).json()["id"] for name in names
        }

    return ask


def through_the_watcher() -> Callable[[Iterable[str]], Answers]:
    # Read beforehand: Airflow's asynchronous way to a connection does not survive a fork.
    settings = ApiframeHook().client.settings

    async def ask_all(names: Iterable[str]) -> Answers:
        watcher = JobWatcher.of(settings)
        waits = {name: Wait(name, time.time() + SECONDS, 0.05) for name in names}
        jobs = await asyncio.gather(*(watcher.wait(wait) for wait in waits.values()))
        return {name: job.id for name, job in zip(waits, jobs, strict=True)}

    return lambda names: asyncio.run(ask_all(names))


WAYS = {
    way.__name__: way
    for way in (
        through_the_hook,
        through_its_session,
        while_connections_are_taken,
        through_the_watcher,
    )
}


def main() -> None:
    ask = WAYS[sys.argv[1]]()
    answers = ask(f"before-{n}" for n in range(THREADS))
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            told = json.dumps(ask(f"child-{n}" for n in range(JOBS)))
        except BaseException as error:
            told = json.dumps({"child": f"{type(error).__name__}: {error}"})
        os.write(writing, told.encode())
        os._exit(0)
    os.close(writing)
    try:
        answers |= ask(f"parent-{n}" for n in range(JOBS))
        if select.select([reading], [], [], SECONDS)[0]:
            answers |= json.loads(os.read(reading, 1024 * 1024))
    finally:
        os.kill(child, signal.SIGKILL)  # ended already, or it hangs
        os.waitpid(child, 0)
    print(json.dumps(answers))


if __name__ == "__main__":
    main()
