"""How long an image holds a worker slot, in each way to wait."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from benchmarks.apiframe import sandbox
from benchmarks.processes import ROOT, environment
from benchmarks.tables import number, table

DAGS = Path(__file__).parent / "dags"
EMPTY = "nothing"
WAYS = {
    "operator, `deferrable=True`": ("deferrable",),
    'operator, then `ApiframeJobSensor(mode="reschedule", poke_interval=5)`': ("submit", "collect"),
    "operator, `deferrable=False`: a plain loop": ("loop",),
}
PATIENCE = 180.0  # seconds beyond the latencies until a process is given up
# Seconds between a task's report of its end and the worker's return; else it is tenths at most.
NOTICED_LATE = 1.0
HEAD = (
    "Way to wait",
    "Task starts",
    "In the operator's code, s",
    "In starting tasks, s",
    "Worker seconds",
    "Until the supervisor noticed, s",
    "Worker seconds, a new worker process for each start",
)


@dataclass(frozen=True, slots=True)
class TaskStart:
    """One start of a task process, as :class:`benchmarks.task_starts.Start` has it.

    :ivar code: seconds of it inside the operator's methods.
    """

    task_id: str
    seconds: float
    held: float
    code: float


def run(tasks: list[str], latency: float, scratch: Path) -> tuple[list[TaskStart], float]:
    """Run tasks of ``dags/images.py`` to their end in one worker process.

    Return their starts, and the seconds which that process lived.

    :param latency: seconds that an image takes.
    :raises RuntimeError: a task failed.
    """
    seconds = scratch / "seconds"
    seconds.unlink(missing_ok=True)
    with sandbox(scratch, latency) as apiframe:
        own = environment(scratch, url=apiframe.url, api_key=apiframe.api_key)
        since = time.monotonic()
        done = subprocess.run(
            [sys.executable, "-m", "benchmarks.task_starts", *tasks],
            cwd=ROOT,
            env=own | {"AIRFLOW__CORE__DAGS_FOLDER": str(DAGS), "BENCHMARK_SECONDS": str(seconds)},
            capture_output=True,
            text=True,
            timeout=latency * len(tasks) + PATIENCE,
        )
        lived = time.monotonic() - since
    if done.returncode:
        raise RuntimeError(f"tasks {', '.join(tasks)}: {done.stderr[-4000:]}")
    starts = json.loads(done.stdout)
    code = [float(line) for line in seconds.read_text().split()]
    if len(code) != len(starts):
        raise RuntimeError(
            f"tasks {', '.join(tasks)}: {len(starts)} starts, but {len(code)} of them reached "
            "the operator"
        )
    return [TaskStart(**one, code=inside) for one, inside in zip(starts, code, strict=True)], lived


def report(latency: float, repeats: int, scratch: Path) -> str:
    """Run an image in every way, and return the table.

    :param latency: seconds that an image takes.
    :param repeats: how often the task that does nothing is started, by a worker that runs and by
        new ones.
    """
    print(
        f"  empty tasks, and an image of {latency:g} s in {len(WAYS)} ways",
        file=sys.stderr,
        flush=True,
    )
    starts, _ = run(
        [EMPTY] * (1 + repeats) + [task for tasks in WAYS.values() for task in tasks],
        latency,
        scratch,
    )
    warm = median(
        start.seconds for start in starts[1 : 1 + repeats]
    )  # the first of a worker is not like the others
    lives = [run([EMPTY], latency, scratch) for _ in range(repeats)]
    cold = median(lived - (only.held - only.seconds) for (only,), lived in lives)
    rows = []
    for label, tasks in WAYS.items():
        own = [start for start in starts if start.task_id in tasks]
        code, total = sum(start.code for start in own), sum(start.seconds for start in own)
        held = sum(start.held for start in own)
        cells = (code, total - code, total, held, total + len(own) * (cold - warm))
        rows.append([label, number(len(own)), *(number(cell, 2) for cell in cells)])
    late = [
        start.held - start.seconds for start in starts if start.held - start.seconds > NOTICED_LATE
    ]
    notes = [
        f"One image of {latency:g} s. Worker seconds: from the worker's call of Airflow's "
        "`supervise_task()` until the task "
        "reports its end, its deferral or its reschedule, summed over all starts of the image's "
        "tasks. Waiting on the "
        "triggerer or for the next poke holds no slot and is not in it. The operator's code is "
        "the time in `execute()`, where a "
        "sensor pokes, and `execute_complete()`; the rest is the start: fork, imports, DAG file, "
        "reports.",
        f"A task that does nothing takes {warm:.2f} s, started by a worker that runs already, as "
        "LocalExecutor and "
        f"CeleryExecutor do, and {cold:.2f} s with a new worker process, as KubernetesExecutor "
        "does (without the pod's own "
        "start). The last column adds the difference to the worker seconds for each start.",
        "The task processes are real. The execution API that they report to, the scheduler and "
        "the triggerer are played in "
        "memory, so a start on a real deployment takes longer, by its network and database.",
        f"Airflow's supervisor noticed the end of {len(late)} of the {len(starts)} task "
        "processes late, by up to "
        f"{max(late, default=0):.1f} s, in which the slot was held as well: it looks again after "
        "`[workers] "
        "min_heartbeat_interval` only, 5 s, if a process is not quite gone when its connections "
        "close. That is a race, decided "
        "by the machine and its load and not by the way to wait, so it has a column of its own.",
    ]
    return "\n".join([table(HEAD, rows), "", *(f"- {note}" for note in notes)])
