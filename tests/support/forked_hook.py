"""Uses a hook, forks, and uses it again in both processes at the same time.

``python forked_hook.py WAY`` gets jobs named "before-0", "parent-0", "child-0" and so on, and
prints as JSON which job came for each.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from forking import SECONDS, Results, in_both_processes

from airflow_provider_apiframe.hooks.apiframe import ApiframeHook
from airflow_provider_apiframe.polling.wait import Wait
from airflow_provider_apiframe.polling.watcher import JobWatcher

THREADS = 4
JOBS = 40


def through_the_hook() -> Callable[[Iterable[str]], Results]:
    hook = ApiframeHook()

    def jobs_of(names: Iterable[str]) -> Results:
        with ThreadPoolExecutor(THREADS) as threads:
            return dict(threads.map(lambda name: (name, hook.get_job(name).id), names))

    return jobs_of


def through_its_session() -> Callable[[Iterable[str]], Results]:
    hook = ApiframeHook()
    session, url = hook.get_conn(), hook.client.settings.base_url

    def one(name: str) -> tuple[str, str]:
        return name, session.get(f"{url}/v2/jobs/{name}", timeout=10).json()["id"]

    def jobs_of(names: Iterable[str]) -> Results:
        with ThreadPoolExecutor(THREADS) as threads:
            return dict(threads.map(one, names))

    return jobs_of


def while_connections_are_taken() -> Callable[[Iterable[str]], Results]:
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

    def jobs_of(names: Iterable[str]) -> Results:
        return {
            name: session.get(f"{url}/v2/jobs/{name}", timeout=10).json()["id"] for name in names
        }

    return jobs_of


def through_the_watcher() -> Callable[[Iterable[str]], Results]:
    # Read beforehand: Airflow's asynchronous way to a connection does not survive a fork.
    settings = ApiframeHook().client.settings

    async def all_of(names: Iterable[str]) -> Results:
        watcher = JobWatcher.of(settings)
        waits = {name: Wait(name, time.time() + SECONDS, 0.05) for name in names}
        jobs = await asyncio.gather(*(watcher.wait(wait) for wait in waits.values()))
        return {name: job.id for name, job in zip(waits, jobs, strict=True)}

    return lambda names: asyncio.run(all_of(names))


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
    jobs_of = WAYS[sys.argv[1]]()
    results = jobs_of(f"before-{n}" for n in range(THREADS))
    results |= in_both_processes(lambda name: jobs_of(f"{name}-{n}" for n in range(JOBS)))
    print(json.dumps(results))


if __name__ == "__main__":
    main()
