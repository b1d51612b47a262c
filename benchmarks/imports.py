"""What a DAG file pays for an import, each in fresh processes."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from benchmarks.processes import ROOT, environment
from benchmarks.tables import number, table

BASE = "import airflow.sdk"
STATEMENTS = {
    "`airflow.sdk`": BASE,
    "`DAG` and `task` from `airflow.sdk`": "from airflow.sdk import DAG, task",
    "`airflow_provider_apiframe.operators.flux`": "import airflow_provider_apiframe.operators.flux",
    "`airflow_provider_apiframe.sensors.job`": "import airflow_provider_apiframe.sensors.job",
    "`airflow_provider_apiframe.triggers.job`": "import airflow_provider_apiframe.triggers.job",
    "`airflow.providers.http.operators.http`": "import airflow.providers.http.operators.http",
    "`airflow.providers.openai.operators.openai`": (
        "import airflow.providers.openai.operators.openai"
    ),
}
CODE = """
import sys, time
start = time.perf_counter()
{base}
based = time.perf_counter()
{statement}
done = time.perf_counter()
import json, os
os.write(1, json.dumps([based - start, done - based, "requests" in sys.modules]).encode())
"""
HEAD = ("Module", "Total, s", "On top of `airflow.sdk`, ms", "Imports `requests`")


@dataclass(frozen=True, slots=True)
class Import:
    """One import in a fresh process.

    :ivar base: seconds that ``airflow.sdk`` took.
    :ivar more: seconds that the module took after it.
    :ivar requests: whether ``requests`` was loaded in the end.
    """

    base: float
    more: float
    requests: bool


def measure(statement: str, scratch: Path) -> Import:
    """Import ``airflow.sdk``, then run *statement*, in a fresh process."""
    done = subprocess.run(
        [sys.executable, "-c", CODE.format(base=BASE, statement=statement)],
        cwd=ROOT,
        env=environment(scratch),
        capture_output=True,
        text=True,
        check=True,
    )
    return Import(*json.loads(done.stdout.splitlines()[-1]))


def report(repeats: int, scratch: Path) -> str:
    """Measure every import *repeats* times, in turn, and return the table of the medians."""
    print(f"  {len(STATEMENTS)} imports, {repeats} times each", file=sys.stderr, flush=True)
    imports: dict[str, list[Import]] = {label: [] for label in STATEMENTS}
    for _ in range(repeats):
        for label, statement in STATEMENTS.items():
            imports[label].append(measure(statement, scratch))
    rows = [
        [
            label,
            number(median(one.base + one.more for one in measured), 2),
            number(
                None if STATEMENTS[label] == BASE else median(one.more for one in measured) * 1000
            ),
            "yes" if measured[0].requests else "no",
        ]
        for label, measured in imports.items()
    ]
    notes = [
        f"Medians of {repeats} fresh processes per row, in turn; the first ones fill the caches "
        "of bytecode and files. Each "
        "imports `airflow.sdk` first; what the module adds is timed in the same process.",
        "Every DAG file takes `DAG` or `task` from `airflow.sdk`, which loads them only then: "
        "the second row is part of the "
        "rows below it.",
    ]
    return "\n".join([table(HEAD, rows), "", *(f"- {note}" for note in notes)])
