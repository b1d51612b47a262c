"""Requests per minute while jobs are made, against the number of jobs that wait."""

from __future__ import annotations

import sys
import time
from contextlib import ExitStack
from pathlib import Path

from benchmarks.apiframe import SandboxProcess, sandbox
from benchmarks.tables import number, table
from benchmarks.waiting import OURS, LostImages, waiter

PEER = "http_event_trigger"
PEER_AT_MOST = 200  # waiting jobs; more would take the CPU time that is measured beside it
HOURS = 86_400.0  # seconds a job takes: none ends during the measurement
LIMIT = 600.0  # seconds until a process that waits is ended in any case
POLL_INTERVAL = 2.0  # seconds, as in ways.py
POLL_ROUTES = ("job", "jobs")  # the sandbox's names of GET /v2/jobs/{id} and GET /v2/jobs
HEAD = (
    "Waiting jobs",
    "`ApiframeJobTrigger`, requests a minute",
    "of these pages of jobs",
    "`HttpEventTrigger`, requests a minute",
    "One poller per job, by arithmetic",
)


def polls(apiframe: SandboxProcess) -> dict[str, int]:
    """Return how often jobs were polled until now, per route."""
    counts = apiframe.requests()
    return {route: counts.get(route, 0) for route in POLL_ROUTES}


def count(
    sizes: list[int], counted: float, scratch: Path
) -> dict[tuple[str, int], dict[str, float]]:
    """Return requests per minute by route, for each way to wait and each number of jobs.

    They all wait at the same time.

    :param sizes: numbers of jobs that wait.
    :param counted: seconds in which requests are counted.
    :raises LostImages: some jobs were not polled.
    """
    ways = [(OURS, jobs) for jobs in sizes] + [
        (PEER, jobs) for jobs in sizes if jobs <= PEER_AT_MOST
    ]
    with ExitStack() as running:
        apiframes = {}
        for way, jobs in ways:
            print(f"  {jobs:,} jobs that do not end, {way}", file=sys.stderr, flush=True)
            apiframe = running.enter_context(sandbox(scratch, HOURS))
            process = running.enter_context(waiter(way, apiframe, scratch, LIMIT))
            apiframe.submit_many(["A poster"] * jobs, process.watch)
            apiframes[way, jobs] = apiframe
        time.sleep(counted / 4)  # until all have found their pace
        before = {case: (polls(apiframe), time.monotonic()) for case, apiframe in apiframes.items()}
        time.sleep(counted)
        rates = {}
        for case, apiframe in apiframes.items():
            earlier, since = before[case]
            now, minutes = polls(apiframe), (time.monotonic() - since) / 60
            rates[case] = {route: (now[route] - earlier[route]) / minutes for route in POLL_ROUTES}
            if now == earlier:
                way, jobs = case
                raise LostImages(
                    f"{way}, {jobs:,} jobs that do not end: nobody polled them in {counted:g} s"
                )
    return rates


def report(sizes: list[int], counted: float, scratch: Path) -> str:
    """Count, and return the table. The parameters are those of :func:`count`."""
    rates = count(sizes, counted, scratch)
    rows = []
    for jobs in sizes:
        ours, peer = rates[OURS, jobs], rates.get((PEER, jobs))
        rows.append(
            [
                number(jobs),
                number(sum(ours.values())),
                number(ours["jobs"]),
                number(sum(peer.values()) if peer else None),
                number(jobs * 60 / POLL_INTERVAL),
            ]
        )
    notes = [
        f"Jobs that do not end, poll interval {POLL_INTERVAL:g} s; the looks of {counted:g} s, "
        "after a settling time of "
        f"{counted / 4:g} s, by the sandbox's count. All rows run at the same time, each at a "
        "sandbox of its own.",
        "The connection's `requests_per_minute` is at its default. The API allows 500 requests a "
        "minute.",
        f"`HttpEventTrigger` runs with up to {PEER_AT_MOST} jobs only; more would take CPU time "
        "from the rows beside it.",
    ]
    return "\n".join([table(HEAD, rows), "", *(f"- {note}" for note in notes)])
