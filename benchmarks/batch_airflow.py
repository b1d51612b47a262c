"""A whole Airflow to run batches on: PostgreSQL, LocalExecutor, and what it uses."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import psycopg2
from deployment import START_SECONDS, Deployment
from services import Postgres
from waiting import wait_until

# More slots on these CPUs would only make each task hold its slot for longer.
PARALLELISM = 2 * (os.cpu_count() or 1)

PARTS = {
    "scheduler": ("scheduler", "--skip-serve-logs"),
    "triggerer": ("triggerer", "--skip-serve-logs"),
    "api-server": ("api-server", "--workers", "1"),
    "dag-processor": ("dag-processor",),
}


@dataclass(frozen=True, slots=True)
class Workload:
    """One start of a task, as the executor's worker reports its end.

    :ivar id: of the task instance's try.
    :ivar seconds: for which the worker was held.
    """

    id: str
    seconds: float


class LocalAirflow(Deployment):
    """Airflow with the LocalExecutor on PostgreSQL, with Airflow's default settings elsewhere.

    :param images: how many mapped tasks its DAG has.
    :ivar starts: file to which each start of a task appends a line.
    """

    def __init__(self, images: int) -> None:
        super().__init__("batch-benchmark", Path(__file__).parent / "batch_dags")
        self.starts = self.home / "starts.jsonl"
        self.starts.touch()
        self.postgres = Postgres(self.home, self.start_process)
        self._pids: dict[str, int] = {}
        url = self.postgres.url
        settings: Mapping[str, Mapping[str, object]] = {
            "core": {
                "executor": "LocalExecutor",
                "parallelism": PARALLELISM,
                "max_active_tasks_per_dag": PARALLELISM,
                "max_map_length": max(1024, images),
            },
            "database": {
                "sql_alchemy_conn": f"postgresql+psycopg2:{url}",
                "sql_alchemy_conn_async": f"postgresql+asyncpg:{url}",
            },
            "logging": {"json_logs": True},
        }
        self.configure(f"{self.url}/execution/", settings)
        self.env |= {"BENCHMARK_IMAGES": str(images), "BENCHMARK_STARTS": str(self.starts)}

    def start(self) -> None:
        """Start everything and return once runs can be started."""
        self.postgres.start()
        self.migrate()
        for name, arguments in PARTS.items():
            command = [sys.executable, "-m", "airflow", *arguments]
            if name == "api-server":
                command += ["--port", self.url.rpartition(":")[2]]
            self._pids[name] = self.start_process(name, command)
        self.wait_for_api()
        self.wait_for_dags()
        wait_until(self._all_at_work, "all parts are at work", START_SECONDS, every=0.5)

    def _all_at_work(self) -> bool:
        jobs = self.api.get("/jobs", is_alive=True)["jobs"]
        return {"SchedulerJob", "TriggererJob"} <= {job["job_type"] for job in jobs}

    def is_worker(self, process: psutil.Process) -> bool:
        """Return whether a process is one of the executor's."""
        return process.ppid() == self._pids["scheduler"]

    def cpu_seconds(self) -> dict[str, float]:
        """Return the CPU time of each part until now; the tasks are in the scheduler's."""
        pids = {**self._pids, "PostgreSQL": self.postgres.pid}
        return {name: _cpu_of_tree(pid) for name, pid in pids.items()}

    def workloads(self, offset: int) -> list[Workload]:
        """Return the starts of tasks that ended since the scheduler's log had *offset* bytes."""
        with self._log.open("rb") as log:
            log.seek(offset)
            lines = [line for line in log if b'"Workload finished"' in line]
        ends = (json.loads(line) for line in lines)
        return [Workload(end["workload_id"], float(end["duration"])) for end in ends]

    def log_size(self) -> int:
        """Return for how many bytes the scheduler has logged."""
        return self._log.stat().st_size

    @property
    def _log(self) -> Path:
        return self.logs / "scheduler.log"

    def query(self, statement: str, *values: Any) -> list[tuple[Any, ...]]:
        """Ask Airflow's database."""
        connection = psycopg2.connect(f"postgresql:{self.postgres.url}")
        try:
            with connection.cursor() as cursor:
                cursor.execute(statement, values)
                return list(cursor.fetchall())
        finally:
            connection.close()


def _cpu_of_tree(pid: int) -> float:
    """Return the CPU seconds of a process, all under it, and all that have ended under it."""
    first = psutil.Process(pid)
    seconds = 0.0
    for process in [first, *first.children(recursive=True)]:
        with suppress(psutil.NoSuchProcess):  # it has ended: its parent has its seconds
            seconds += sum(process.cpu_times()[:4])  # own and of children that were waited for
    return seconds
