"""The tables of a batch beside mapped tasks."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from benchmarks.batch_airflow import PARALLELISM
from benchmarks.batch_run import Measured
from benchmarks.tables import number, table

FEW_ROWS = 10  # a table with fewer is one of "all others"
MEGABYTE = 1e6

ROUTES = {
    "generate": "submits",
    "jobs": "pages of jobs",
    "job": "single jobs",
    "models": "price lists",
    "me": "looks at the account",
}

Figure = Callable[[Measured], str]

DELIVERY: dict[str, Figure] = {
    "Images delivered": lambda run: number(run.delivered),
    "Images paid": lambda run: number(run.paid),
    "Paid and not delivered": lambda run: number(len(run.delivery.lost)),
    "Delivered twice": lambda run: number(len(run.delivery.repeated)),
}
COST: dict[str, Figure] = {
    "From trigger to success, s": lambda run: number(run.wall),
    "Task starts": lambda run: number(run.starts),
    "Worker seconds": lambda run: number(run.worker_seconds),
    "Worker seconds: in the operator's code": lambda run: number(run.code_seconds),
    "CPU seconds, Airflow and its database": lambda run: number(sum(run.cpu.values())),
    "CPU seconds: scheduler, workers, tasks": lambda run: number(run.cpu["scheduler"]),
    "CPU seconds: triggerer": lambda run: number(run.cpu["triggerer"]),
    "CPU seconds: API server": lambda run: number(run.cpu["api-server"]),
    "CPU seconds: DAG processor": lambda run: number(run.cpu["dag-processor"]),
    "CPU seconds: PostgreSQL": lambda run: number(run.cpu["PostgreSQL"]),
    "API requests per image": lambda run: number(_requests(run) / run.images, 2),
    "Largest task process above the empty task's, MB": lambda run: number(
        run.above_empty / MEGABYTE, 1
    ),
    "Rows inserted": lambda run: number(sum(run.inserted.values())),
    "Rows updated, counted each time": lambda run: number(run.updated),
    "Rows that stay": lambda run: number(sum(run.kept.values())),
    "Written to PostgreSQL's journal, MB": lambda run: number(run.wal / MEGABYTE, 1),
}


def comparison(
    batch: Measured, mapped: Measured, latency: float, idle: float, postgres: str
) -> str:
    """Return the tables of a batch beside mapped tasks, and what is to be known of them.

    :param idle: CPU seconds that Airflow takes in a second without work.
    :param postgres: its version.
    """
    runs = (batch, mapped)
    head = ("", "One batch", "Mapped tasks")
    rows = [[label, *map(figure, runs)] for label, figure in {**DELIVERY, **COST}.items()]
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
        "The load of the machine over the minute before was "
        f"{batch.load:.1f} before the batch and {mapped.load:.1f} before the mapped tasks. The "
        "sandbox, on the same machine, used "
        f"{number(batch.sandbox_cpu)} and {number(mapped.sandbox_cpu)} s of CPU.",
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
    rows = [[label, figure(run)] for label, figure in {**DELIVERY, **COST}.items()]
    notes = [
        f"{number(run.images)} images of {latency:g} s in one deferrable task, else as above; "
        f"{run.tries} tries. The load over the minute before was {run.load:.1f}. The sandbox used "
        f"{number(run.sandbox_cpu)} s of CPU.",
        f"API requests: {_routes(run)}.",
    ]
    head = ("", f"One batch of {number(run.images)}")
    return f"{table(head, rows)}\n\n{_listed(notes)}"


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
