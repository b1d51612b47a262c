"""The tables of a batch beside mapped tasks."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable

from benchmarks.batch_airflow import PARALLELISM
from benchmarks.batch_run import Measured
from benchmarks.tables import NOTHING, number, table

CPUS = os.cpu_count() or 1
FEW_ROWS = 10  # a table with fewer is one of "all others"
MEGABYTE = 1e6

ROUTES = {
    "generate": "submits",
    "jobs": "pages of jobs",
    "job": "single jobs",
    "models": "price lists",
    "me": "looks at the account",
}

Figure = tuple[str, int, Callable[[Measured], float]]
"""A figure's label, its decimals, and how it is had."""

DELIVERY: tuple[Figure, ...] = (
    ("Images delivered", 0, lambda run: run.delivered),
    ("Images paid", 0, lambda run: run.paid),
    ("Paid and not delivered", 0, lambda run: len(run.delivery.lost)),
    ("Delivered twice", 0, lambda run: len(run.delivery.repeated)),
)
COST: tuple[Figure, ...] = (
    ("From trigger to success, s", 0, lambda run: run.wall),
    ("Task starts", 0, lambda run: run.starts),
    ("Worker seconds", 0, lambda run: run.worker_seconds),
    ("Worker seconds: in the operator's code", 0, lambda run: run.code_seconds),
    ("CPU seconds, Airflow and its database", 0, lambda run: sum(run.cpu.values())),
    ("CPU seconds: scheduler, workers, tasks", 1, lambda run: run.cpu["scheduler"]),
    ("CPU seconds: triggerer", 1, lambda run: run.cpu["triggerer"]),
    ("CPU seconds: API server", 1, lambda run: run.cpu["api-server"]),
    ("CPU seconds: DAG processor", 1, lambda run: run.cpu["dag-processor"]),
    ("CPU seconds: PostgreSQL", 1, lambda run: run.cpu["PostgreSQL"]),
    ("API requests per image", 2, lambda run: _requests(run) / run.images),
    (
        "Largest task process above the empty task's, MB",
        1,
        lambda run: run.above_empty / MEGABYTE,
    ),
    ("Rows inserted", 0, lambda run: sum(run.inserted.values())),
    ("Rows updated, counted each time", 0, lambda run: run.updated),
    ("Rows that stay", 0, lambda run: sum(run.kept.values())),
    ("Written to PostgreSQL's journal, MB", 1, lambda run: run.wal / MEGABYTE),
)


def comparison(
    batch: Measured, mapped: Measured, latency: float, idle: float, postgres: str
) -> str:
    """Return the tables of a batch beside mapped tasks, and what is to be known of them.

    :param idle: CPU seconds that Airflow takes in a second without work.
    :param postgres: its version.
    """
    runs = (batch, mapped)
    head = ("", "One batch", "Mapped tasks", "Times the batch's")
    rows = [_row(figure, *runs, NOTHING) for figure in DELIVERY]
    for figure in COST:
        ours, theirs = map(figure[2], runs)
        rows.append(_row(figure, *runs, number(theirs / ours, 1) if ours > 0 else NOTHING))
    by_table = sorted(batch.inserted | mapped.inserted, key=lambda name: -mapped.inserted[name])
    many = [name for name in by_table if max(run.inserted[name] for run in runs) >= FEW_ROWS]
    tables = [
        [f"`{name}`", *(number(count[name]) for run in runs for count in (run.inserted, run.kept))]
        for name in many
    ]
    others = [
        number(sum(count.values()) - sum(count[name] for name in many))
        for run in runs
        for count in (run.inserted, run.kept)
    ]
    table_head = (
        "Table",
        "Inserted: one batch",
        "that stay",
        "Inserted: mapped tasks",
        "that stay",
    )
    notes = [
        f"{number(batch.images)} images of {latency:g} s, 256x256 JPEG, saved to a local folder: "
        "first in one deferrable task of `FluxGenerateBatchOperator`, then in as many deferrable "
        "mapped tasks of `FluxGenerateOperator`, in the same Airflow: scheduler, triggerer, API "
        "server, DAG processor, LocalExecutor with "
        f"{PARALLELISM} slots, PostgreSQL {postgres}, else with Airflow's settings. A few images "
        "of each kind are made beforehand and not counted.",
        f"{_beside(batch)} For the mapped tasks: {_beside(mapped)} What others took of the CPUs "
        "makes wall time and worker seconds longer, and so adds polls; task starts do not depend "
        "on it, rows hardly.",
        "Task starts: task processes, as the executor's workers report their ends. Tries: "
        f"{batch.tries} of 1 task, {number(mapped.tries)} of {number(mapped.images)}. Worker "
        "seconds: for which the workers were held, summed over the starts.",
        f"CPU: Airflow without work takes {idle:.2f} s in a second, which is in the figures of "
        "both.",
        f"API requests, as the sandbox counted them: {_routes(batch)} for the batch, "
        f"{_routes(mapped)} for the mapped tasks. Downloads of images are not among them. The "
        "sandbox has no rate limit; the API allows 500 requests a minute, so that submitting "
        "alone takes both at least "
        f"{batch.images / 500:.1f} minutes there.",
        "Both runs have one more task, which does nothing: its start and worker seconds are not "
        "counted, its rows and CPU time are. Memory: the highest resident set of a task process, "
        "less that of this one.",
        "Rows inserted: those that were deleted again, such as `trigger`, as well.",
    ]
    parts = [table(head, rows), table(table_head, [*tables, ["all others", *others]])]
    return "\n\n".join([*parts, _listed(notes)])


def large_batch(run: Measured, latency: float) -> str:
    """Return the table of one batch."""
    rows = [_row(figure, run) for figure in (*DELIVERY, *COST)]
    notes = [
        f"{number(run.images)} images of {latency:g} s in one deferrable task, else as above; "
        f"tries: {run.tries}. {_beside(run)}",
        f"API requests: {_routes(run)}.",
    ]
    head = ("", f"One batch of {number(run.images)}")
    return f"{table(head, rows)}\n\n{_listed(notes)}"


def _row(figure: Figure, *cells: Measured | str) -> list[str]:
    label, digits, value = figure
    return [
        label,
        *(cell if isinstance(cell, str) else number(value(cell), digits) for cell in cells),
    ]


def _beside(run: Measured) -> str:
    """Return what else the CPUs of the machine did."""
    share = run.foreign_cpu / (run.wall * CPUS)
    return (
        f"The sandbox, on the same machine, used {number(run.sandbox_cpu)} s of CPU, everything "
        f"that is no part of the measurement {number(run.foreign_cpu)} s, which is {share:.0%} of "
        f"the CPUs, and the load of the minute before was {run.load:.1f}."
    )


def _requests(run: Measured) -> int:
    return sum(count for route, count in run.requests.items() if route != "image")


def _routes(run: Measured) -> str:
    return ", ".join(
        f"{number(run.requests[route])} {ROUTES.get(route, route)}"
        for route in sorted(run.requests)
        if route != "image"
    )


def _listed(notes: Iterable[str]) -> str:
    return "\n".join(f"- {note}" for note in notes)
