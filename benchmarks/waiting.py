"""What each way to wait for jobs costs, in requests, seconds, CPU and memory."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean, median

from benchmarks.apiframe import SandboxProcess, end, sandbox
from benchmarks.figures import Delivery, percentile, spread
from benchmarks.processes import ROOT, CpuShare, PeakMemory, environment
from benchmarks.tables import number, table
from benchmarks.waiter import Observation

OURS = "apiframe_job_trigger"
REHEARSED = "flux-1.1-pro"
LABELS = {
    OURS: "`ApiframeJobTrigger`",
    "http_event_trigger": "`HttpEventTrigger`",
    "plain_loop": "plain loop in a `@task`",
}
PATIENCE = 90.0  # seconds after a job's latency until the wait for it is given up
SUBMITTING_AT_MOST = 120.0  # seconds
# Share of a core, over the whole wait, from which on a process was surely too slow at times.
BUSY = 0.7
KB, MB = 1024, 1024**2


class LostImages(Exception):
    """Images were not delivered exactly once, or not waited for."""


class Waiter:
    """A waiting process, seen from outside.

    :param process: the process of :mod:`benchmarks.waiter`, which has had its rehearsal.
    """

    def __init__(self, process: subprocess.Popen[str]) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        self.pid = process.pid
        self._job_ids, self._results = process.stdin, process.stdout

    def watch(self, job_id: str) -> None:
        """Let it wait for one more job."""
        self._job_ids.write(f"{job_id}\n")
        self._job_ids.flush()

    def result(self) -> Observation:
        """Say that there are no more jobs, and return what it saw when all were there."""
        self._job_ids.close()
        line = self._results.readline()
        if not line:
            raise RuntimeError(
                "the waiting process ended, or was ended, before it said what it saw"
            )
        return Observation(**json.loads(line))


@contextmanager
def waiter(way: str, apiframe: SandboxProcess, scratch: Path, limit: float) -> Iterator[Waiter]:
    """Run a process that waits in one way, and let it rehearse with a job that takes no time.

    :param limit: seconds after the last job id when it gives up.
    :raises RuntimeError: it does not start.
    """
    log_file = scratch / f"{way}.log"
    with log_file.open("a") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.waiter", way, f"{limit}"],
            cwd=ROOT,
            env=environment(scratch, url=apiframe.url, api_key=apiframe.api_key),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
        )
    last_resort = threading.Timer(limit + SUBMITTING_AT_MOST, process.kill)
    last_resort.daemon = True
    last_resort.start()
    try:
        outside = Waiter(process)
        # Of another model: how long this one takes says nothing about the others.
        outside.watch(apiframe.submit("Rehearsal [takes: 0]", REHEARSED))
        assert process.stdout is not None
        if not process.stdout.readline():
            raise RuntimeError(f"{way} did not start: {log_file.read_text()[-4000:]}")
        yield outside
    finally:
        last_resort.cancel()
        end(process)


@dataclass(frozen=True, slots=True)
class Wait:
    """One wait of one process for a number of jobs.

    :ivar seen: what the process saw.
    :ivar delivery: what became of the jobs.
    :ivar requests: requests of all kinds that the sandbox counted, the submits included.
    :ivar submit_seconds: how long submitting took.
    :ivar memory_before: bytes before the first job.
    :ivar memory_peak: bytes at the highest.
    :ivar sandbox_share: share of a core that the sandbox used.
    """

    jobs: int
    seen: Observation
    delivery: Delivery
    requests: int
    submit_seconds: float
    memory_before: int
    memory_peak: int
    sandbox_share: float


def measure(way: str, seconds: list[float], progress: bool, scratch: Path) -> Wait:
    """Let a fresh process wait at a fresh sandbox for one job of each length.

    :param seconds: how long each job takes.
    :param progress: whether jobs say how far they are.
    :raises LostImages: this provider's trigger did not deliver every image exactly once.
    """
    jobs, longest = len(seconds), max(seconds)
    served = sandbox(scratch, longest, progress=progress)
    with served as apiframe, waiter(way, apiframe, scratch, longest + PATIENCE) as process:
        before = sum(apiframe.requests().values())
        share = CpuShare(apiframe.pid)
        with PeakMemory(process.pid) as memory:
            since = time.monotonic()
            submitted = apiframe.submit_many(
                [f"A poster [takes: {takes:.3f}]" for takes in seconds], process.watch
            )
            submit_seconds = time.monotonic() - since
            seen = process.result()
        sandbox_share = share.now()
        requests = sum(apiframe.requests().values()) - before
    delivery = Delivery.of(submitted, [job_id for job_id, _ in seen.deliveries])
    if way == OURS and (not delivery.exact or seen.errors):
        raise LostImages(
            f"{LABELS[way]}, {jobs:,} jobs: {delivery}; {'; '.join(seen.errors[:3]) or 'no error'}"
        )
    return Wait(
        jobs, seen, delivery, requests, submit_seconds, memory.before, memory.peak, sandbox_share
    )


HEAD = (
    "Waiting jobs",
    "Way to wait",
    "Requests per image",
    "Mean lag, s",
    "Max lag, s",
    "CPU, s",
    "Memory per job, KB",
    "Peak memory, MB",
    "Event-loop lag p99, ms",
    "Delivered",
    "Submitting, s",
    "Sandbox CPU",
)


def row(way: str, waits: list[Wait]) -> list[str]:
    """Return the row of the table for one measurement, made one or more times.

    Lags are taken over all of its waits, other figures are their median.
    """
    lags = [lag for wait in waits for _, lag in wait.seen.deliveries]
    loop_lags = [lag for wait in waits for lag in wait.seen.loop_lags]
    jobs = waits[0].jobs
    delivered = sum(jobs - len(wait.delivery.lost) for wait in waits)
    return [
        number(jobs),
        LABELS[way],
        number(median(wait.requests / jobs for wait in waits), 2),
        number(fmean(lags) if lags else None, 2),
        number(max(lags) if lags else None, 2),
        number(median(wait.seen.cpu_seconds for wait in waits), 2),
        number(median((wait.memory_peak - wait.memory_before) / jobs / KB for wait in waits), 1),
        number(median(wait.memory_peak / MB for wait in waits)),
        number(percentile(loop_lags, 0.99) * 1000 if loop_lags else None, 1),
        f"{number(delivered)} of {number(jobs * len(waits))}",
        number(median(wait.submit_seconds for wait in waits), 1),
        f"{median(wait.sandbox_share for wait in waits):.0%}",
    ]


def remarks(way: str, waits: list[Wait]) -> list[str]:
    """Return what the figures of one row leave out.

    That is jobs that were not delivered, and processes that could not follow.
    """
    where = f"{LABELS[way]}, {number(waits[0].jobs)} jobs"
    said = []
    for wait in waits:
        if not wait.delivery.exact:
            why = f"; the first error: {wait.seen.errors[0]}" if wait.seen.errors else ""
            said.append(
                f"{where}: {wait.delivery} after {wait.seen.seconds:.0f} s{why}. The lags are of "
                "the delivered ones."
            )
        own_share = wait.seen.cpu_seconds / wait.seen.seconds
        if own_share > BUSY:
            said.append(
                f"{where}: the waiting process used {own_share:.0%} of a core on average, so it "
                "could not keep its pace."
            )
        if wait.sandbox_share > BUSY:
            said.append(
                f"{where}: the sandbox used {wait.sandbox_share:.0%} of a core on average, so a "
                "part of the lag is its own."
            )
    return said


def measured(
    seconds: list[float], repeats: int, scratch: Path, *, progress: bool = True
) -> tuple[list[list[str]], list[str], list[float]]:
    """Measure every way with jobs of these lengths.

    Return the rows, the remarks, and what the tickers used of a core.
    """
    waits: dict[str, list[Wait]] = {way: [] for way in LABELS}
    for _ in range(repeats):
        for way in LABELS:
            print(
                f"  {len(seconds):,} jobs of {min(seconds):.0f} to {max(seconds):.0f} s, {way}",
                file=sys.stderr,
                flush=True,
            )
            waits[way].append(measure(way, seconds, progress, scratch))
    rows = [row(way, waits[way]) for way in LABELS]
    said = [remark for way in LABELS for remark in remarks(way, waits[way])]
    tickers = [
        wait.seen.ticker_share for way in LABELS for wait in waits[way] if wait.seen.loop_lags
    ]
    return rows, said, tickers


def report(sizes: list[int], mixed: int, latency: float, repeats: int, scratch: Path) -> str:
    """Measure every way with every number of jobs, and return the tables.

    :param sizes: numbers of jobs that wait at the same time, all of one length.
    :param mixed: number of jobs that wait at the same time, of different lengths; 0 leaves them
        out.
    :param latency: seconds that a job takes; the mean, where they differ.
    :param repeats: how often each measurement is made.
    :raises LostImages: this provider's trigger did not deliver every image exactly once.
    """
    rows, said, tickers = [], [], []
    for jobs in sizes:
        more_rows, more_said, more_tickers = measured([latency] * jobs, repeats, scratch)
        rows += more_rows
        said += more_said
        tickers += more_tickers
    notes = [
        f"Jobs take {latency:g} s, the ways ask every 2 s. As all jobs take equally long, a way "
        "that asks for each job is late "
        f"by {-latency % 2:g} s and its own delays.",
        "The sandbox has no rate limit, which flatters the ways that ask for each job: the real "
        "API allows 500 requests a "
        "minute. Its jobs make even progress, which flatters `ApiframeJobTrigger`: it looks when "
        "a job should be finished, by "
        "its progress and by the jobs before it. The second table is without that.",
        "Requests: all that the sandbox counted, divided by the jobs; one of them is the submit. "
        "Lag: from the job's "
        "`completedAt` to the moment the waiting code has the finished job. CPU: user and system "
        "time of the waiting process. "
        "Memory per job: its peak less what it was before the first job, divided by the jobs; "
        "for few jobs that is noise.",
        "The jobs are submitted by another process, over four connections; each wait starts when "
        "its job is accepted. Every "
        "process waits for one job beforehand, which is not counted, so that nothing is imported "
        "during the measurement.",
        "Event-loop lag: by how much sleeps of 5 ms were too long. The ticker that sleeps is in "
        "the CPU figures of the triggers: "
        f"{median(tickers):.1%} of a core when it runs alone.",
        "Plain loop: `requests.get` every 2 s. A thread of one process without Airflow stands in "
        "for each worker slot; a real "
        "one is a process of its own, with Airflow in its memory.",
        *said,
    ]
    lines = [table(HEAD, rows), "", *(f"- {note}" for note in notes)]
    if mixed:
        shortest, longest = latency * 2 / 3, latency * 4 / 3
        rows, said, _ = measured(spread(mixed, shortest, longest), repeats, scratch, progress=False)
        lines += [
            "",
            f"Jobs of different lengths, from {shortest:g} to {longest:g} s, spread evenly, "
            "which do not say how far they are:",
            "",
            table(HEAD, rows),
        ]
        lines += ["", *(f"- {remark}" for remark in said)] if said else []
    return "\n".join(lines)
