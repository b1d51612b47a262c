"""One run of a DAG that makes many images, and what it took."""

from __future__ import annotations

import json
import os
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import psutil
from PIL import Image
from waiting import wait_until

from airflow_provider_apiframe.api.client import ApiframeClient
from benchmarks.apiframe import SandboxProcess, sandbox
from benchmarks.batch_airflow import LocalAirflow
from benchmarks.figures import Delivery

MOST_SECONDS = 45 * 60.0
# Until when at the latest each connection of PostgreSQL has handed in what it counted.
COUNTED_SECONDS = 12.0
SIZE = (256, 256)


@dataclass(frozen=True, slots=True)
class Measured:
    """What a run took. The task that does nothing is only in the CPU time and the rows.

    :ivar wall: seconds from the request that triggered the run to its success.
    :ivar starts: of task processes.
    :ivar tries: of tasks.
    :ivar worker_seconds: for which the executor's workers were held.
    :ivar code_seconds: of these, in the operator's methods.
    :ivar cpu: seconds by part of Airflow.
    :ivar sandbox_cpu: seconds.
    :ivar foreign_cpu: seconds of all else on the machine.
    :ivar requests: to the API by route, with the downloads.
    :ivar above_empty: bytes of the largest task process, less those of the one that does nothing.
    :ivar inserted: rows by table, those that were deleted again as well.
    :ivar kept: rows by table that were more in the end.
    :ivar updated: rows of all tables, each time that one was updated.
    :ivar wal: bytes that the database wrote to its journal.
    :ivar delivery: the files of images beside the jobs that were paid.
    :ivar load: of the machine over the minute before.
    """

    images: int
    wall: float
    starts: int
    tries: int
    worker_seconds: float
    code_seconds: float
    cpu: Mapping[str, float]
    sandbox_cpu: float
    foreign_cpu: float
    requests: Mapping[str, int]
    above_empty: int
    inserted: Counter[str]
    kept: Counter[str]
    updated: int
    wal: int
    paid: int
    delivered: int
    delivery: Delivery
    load: float


@dataclass(frozen=True, slots=True)
class Database:
    """What Airflow's database has counted."""

    rows: Counter[str]
    inserted: Counter[str]
    updated: int
    wal: int

    @classmethod
    def of(cls, airflow: LocalAirflow) -> Database:
        """Count now."""
        counted = airflow.query("SELECT relname, n_tup_ins, n_tup_upd FROM pg_stat_user_tables")
        tables = [name for name, _, _ in counted]
        every = " UNION ALL ".join(f"SELECT '{name}', count(*) FROM \"{name}\"" for name in tables)
        ((wal,),) = airflow.query("SELECT pg_current_wal_lsn() - '0/0'::pg_lsn")
        return cls(
            rows=Counter(dict(airflow.query(every))),
            inserted=Counter({name: inserted for name, inserted, _ in counted}),
            updated=sum(updated for _, _, updated in counted),
            wal=int(wal),
        )


def run(airflow: LocalAirflow, dag_id: str, run_id: str, images: int, latency: float) -> Measured:
    """Run a DAG for *images* images at a sandbox of its own, and measure that.

    :param run_id: of the run; no other has it.
    :param latency: seconds that an image takes.
    :raises RuntimeError: the run failed.
    """
    scratch = airflow.home / run_id
    scratch.mkdir()
    with sandbox(scratch, latency) as apiframe:
        airflow.api.add_connection(run_id, apiframe.url, apiframe.api_key)
        conf = {
            "conn_id": run_id,
            "save_to": f"file://{scratch}/images/",
            "requests": str(_requests(scratch / "requests.jsonl", images)),
        }
        time.sleep(COUNTED_SECONDS)
        load = os.getloadavg()[0]
        before = Database.of(airflow)
        log_size = airflow.log_size()
        recorded_before = len(_lines(airflow.starts))
        machine_before, sandbox_before = _machine_cpu(), apiframe.cpu_seconds()
        cpu_before = airflow.cpu_seconds()
        begun = time.time()
        airflow.api.start_run(dag_id, run_id, conf)
        ended = _wait_for_end(airflow, dag_id, run_id)
        recorded = _lines(airflow.starts)[recorded_before:]
        wait_until(
            lambda: len(airflow.workloads(log_size)) >= len(recorded), "the workers are free", 60
        )
        cpu_after = airflow.cpu_seconds()
        sandbox_cpu = apiframe.cpu_seconds() - sandbox_before
        machine_cpu = _machine_cpu() - machine_before
        requests = apiframe.requests()
        time.sleep(COUNTED_SECONDS)
        after = Database.of(airflow)
        paid, job_ids = apiframe.paid(), _job_ids(apiframe)
    ((empty,),) = airflow.query(
        "SELECT id FROM task_instance WHERE run_id = %s AND task_id = 'nothing'", run_id
    )
    ((tries,),) = airflow.query(
        "SELECT sum(try_number) FROM task_instance WHERE run_id = %s AND task_id = 'images'", run_id
    )
    workloads = [one for one in airflow.workloads(log_size) if one.id != str(empty)]
    peaks: dict[str, list[int]] = {"nothing": [], "images": []}
    for line in recorded:
        peaks[line["task_id"]].append(line["peak_kb"] * 1024)
    delivered = _delivered(scratch / "images")
    cpu = {part: seconds - cpu_before[part] for part, seconds in cpu_after.items()}
    return Measured(
        images=images,
        wall=ended - begun,
        starts=len(workloads),
        tries=int(tries),
        worker_seconds=sum(one.seconds for one in workloads),
        code_seconds=sum(line["seconds"] for line in recorded if line["task_id"] == "images"),
        cpu=cpu,
        sandbox_cpu=sandbox_cpu,
        foreign_cpu=machine_cpu - sandbox_cpu - sum(cpu.values()),
        requests=requests,
        above_empty=max(peaks["images"]) - max(peaks["nothing"]),
        inserted=after.inserted - before.inserted,
        kept=after.rows - before.rows,
        updated=after.updated - before.updated,
        wal=after.wal - before.wal,
        paid=paid,
        delivered=len(delivered),
        delivery=Delivery.of(job_ids, delivered),
        load=load,
    )


def _machine_cpu() -> float:
    """Return for how many seconds the CPUs have worked, whoever for."""
    times = psutil.cpu_times()
    return float(times.user + times.nice + times.system + times.irq + times.softirq)


def _requests(file: Path, images: int) -> Path:
    lines = (json.dumps({"prompt": f"A poster, number {number}"}) for number in range(images))
    file.write_text("".join(f"{line}\n" for line in lines))
    return file


def _wait_for_end(airflow: LocalAirflow, dag_id: str, run_id: str) -> float:
    """Return when the run ended, in seconds since the epoch."""

    def ended() -> dict[str, Any] | None:
        found: dict[str, Any] = airflow.api.get(f"/dags/{dag_id}/dagRuns/{run_id}")
        return found if found["state"] in ("success", "failed") else None

    found = wait_until(ended, f"{run_id} ends", MOST_SECONDS, every=2.0)
    assert found is not None
    if found["state"] != "success":
        raise RuntimeError(f"{run_id} failed:\n{airflow.task_logs(run_id, 20)[-8000:]}")
    return datetime.fromisoformat(found["end_date"]).timestamp()


def _lines(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_text().splitlines()]


def _job_ids(apiframe: SandboxProcess) -> list[str]:
    """Return the ids of all completed jobs: those that were paid."""
    found: list[str] = []
    cursor: str | None = None
    with ApiframeClient(api_key=apiframe.api_key, base_url=apiframe.url) as client:
        while True:
            page = client.list_jobs(limit=100, cursor=cursor, status="COMPLETED")
            found += [job.id for job in page.jobs]
            if (cursor := page.next_cursor) is None:
                return found


def _delivered(folder: Path) -> list[str]:
    """Return the job of each image that was saved.

    :raises RuntimeError: a file is no image of the size that was asked for.
    """
    files = sorted(folder.rglob("*.jpg"))
    for file in files:
        with Image.open(file) as image:
            image.load()
            if image.size != SIZE:
                raise RuntimeError(f"{file}: {image.size} in place of {SIZE}")
    return [file.stem.rpartition("-")[0] for file in files]
