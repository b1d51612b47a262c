"""An Airflow of many machines: two workers, two triggerers, two schedulers, PostgreSQL and Redis.

A part is one process of Airflow with its children. Each runs as if on a host of its own: with its
own host name, and its own content of the scratch folder.
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil
from deployment import START_SECONDS, Deployment
from services import Postgres, Redis, is_alive
from waiting import wait_until

RESTART_SECONDS = 2.0  # until a part that ended is started again, as systemd or Kubernetes do
CONCURRENCY = 8  # tasks at a time on a worker

PARTS: Mapping[str, Sequence[str]] = {
    "api-server": ("api-server", "--workers", "1"),
    "dag-processor": ("dag-processor",),
    "scheduler-1": ("scheduler", "--skip-serve-logs"),
    "scheduler-2": ("scheduler", "--skip-serve-logs"),
    "triggerer-1": ("triggerer", "--skip-serve-logs"),
    "triggerer-2": ("triggerer", "--skip-serve-logs"),
    "worker-1": ("celery", "worker", "--skip-serve-logs", "--concurrency", str(CONCURRENCY)),
    "worker-2": ("celery", "worker", "--skip-serve-logs", "--concurrency", str(CONCURRENCY)),
}
WORKERS = ("worker-1", "worker-2")
TRIGGERERS = ("triggerer-1", "triggerer-2")
SCHEDULERS = ("scheduler-1", "scheduler-2")


@dataclass
class Part:
    """A part that shall run.

    :ivar since: when it was started last.
    :ivar log_size: bytes that its log had then.
    """

    command: Sequence[str]
    pid: int
    since: datetime
    log_size: int


class Cluster(Deployment):
    """Airflow with the CeleryExecutor.

    What ends is started again after RESTART_SECONDS, like on any well-kept cluster.

    :param dags: folders with DAG files.
    :ivar on_hosts: whether each part is on a host of its own; that is up to the system.
    :ivar scratch: a folder whose content differs from host to host.
    :ivar restarts: how often each part was started again.
    """

    def __init__(self, *dags: Path) -> None:
        super().__init__("cluster", *dags, patience=START_SECONDS)
        self.scratch = self.home / "scratch"
        self.scratch.mkdir()
        self.on_hosts = can_have_hosts()
        self.restarts: Counter[str] = Counter()
        self._parts: dict[str, Part] = {}
        self._lock = threading.RLock()
        self._closing = threading.Event()
        self.postgres = Postgres(self.home, self.start_process)
        self.redis = Redis(self.home, self.start_process)
        self.configure(f"{self.url}/execution/", self._settings())

    def _settings(self) -> dict[str, dict[str, object]]:
        url = self.postgres.url
        return {
            "core": {
                "executor": "CeleryExecutor",
                "parallelism": 2 * CONCURRENCY,
                "hostname_callable": "socket.gethostname",
            },
            "database": {
                "sql_alchemy_conn": f"postgresql+psycopg2:{url}",
                "sql_alchemy_conn_async": f"postgresql+asyncpg:{url}",
            },
            "celery": {
                "broker_url": self.redis.url,
                "result_backend": f"db+postgresql+psycopg2:{url}",
                "worker_prefetch_multiplier": 1,
            },
            "celery_broker_transport_options": {"visibility_timeout": 60},
            # What follows makes Airflow notice within seconds what is minutes by default.
            "scheduler": {
                "task_instance_heartbeat_timeout": 20,
                "task_instance_heartbeat_timeout_detection_interval": 2,
                "orphaned_tasks_check_interval": 10,
                "scheduler_health_check_threshold": 15,
                "scheduler_heartbeat_sec": 2,
                "task_queued_timeout": 60,
                "task_queued_timeout_check_interval": 10,
            },
            "workers": {"min_heartbeat_interval": 3},
            "triggerer": {"job_heartbeat_sec": 2, "triggerer_health_check_threshold": 10},
            "apiframe": {"triggerers": len(TRIGGERERS)},
        }

    def start(self) -> None:
        """Start everything and return once runs can be started."""
        self.postgres.start()
        self.redis.start()
        self.migrate()
        for name in PARTS:
            self._start_part(name)
        self.wait_for_api()
        self.wait_for_dags()
        wait_until(self._all_at_work, "all parts are at work", START_SECONDS, every=0.5)
        threading.Thread(target=self._keep_running, daemon=True).start()

    def _all_at_work(self) -> bool:
        for name, part in self._parts.items():
            assert is_alive(part.pid), (self.logs / f"{name}.log").read_text()[-3000:]
        return not self.missing()

    def close(self, keep_files: bool) -> None:
        self._closing.set()
        with self._lock:
            super().close(keep_files)

    # Parts

    def pid(self, name: str) -> int:
        return self._parts[name].pid

    def processes(self, name: str) -> list[psutil.Process]:
        """Return the processes of a part, the first one first."""
        with suppress(psutil.NoSuchProcess):
            first = psutil.Process(self.pid(name))
            return [first, *first.children(recursive=True)]
        return []

    def kill(self, *names: str) -> None:
        """Kill parts with all their processes, as when their hosts vanish."""
        with self._lock:
            doomed = [process for name in names for process in self.processes(name)]
            for act in (psutil.Process.suspend, psutil.Process.kill):  # none may start another
                for process in doomed:
                    with suppress(psutil.NoSuchProcess):
                        act(process)

    def missing(self) -> list[str]:
        """Return the parts that do not run, or are not at work yet since they were started."""
        jobs = self.api.get("/jobs", is_alive=True)["jobs"]
        return [name for name, part in self._parts.items() if not self._at_work(name, part, jobs)]

    def _at_work(self, name: str, part: Part, jobs: list[dict[str, Any]]) -> bool:
        if not is_alive(part.pid):
            return False
        if name in WORKERS:
            with (self.logs / f"{name}.log").open("rb") as log:
                log.seek(part.log_size)
                return f"celery@{name} ready".encode() in log.read()
        if name in (*SCHEDULERS, *TRIGGERERS):
            kind = f"{name.partition('-')[0].capitalize()}Job"
            return any(
                job["job_type"] == kind
                and datetime.fromisoformat(job["start_date"]) > part.since
                and (job["hostname"] == name or not self.on_hosts)
                for job in jobs
            )
        return True  # what uses them waits for them

    def is_worker(self, process: psutil.Process) -> bool:
        return any(process.ppid() == self.pid(name) for name in WORKERS)

    def _start_part(self, name: str) -> None:
        arguments = list(PARTS[name])
        if name in WORKERS:
            arguments += ["--celery-hostname", f"celery@{name}"]
        if name == "api-server":
            arguments += ["--port", self.url.rpartition(":")[2]]
        command = [sys.executable, "-m", "airflow", *arguments]
        if self.on_hosts:
            command = [*_on_host(name, self.home / "hosts" / name, self.scratch), *command]
        self._parts[name] = self._started(name, command)

    def _started(self, name: str, command: Sequence[str]) -> Part:
        log, now = self.logs / f"{name}.log", datetime.now(UTC)
        size = log.stat().st_size if log.exists() else 0
        return Part(command, self.start_process(name, command), now, size)

    def _keep_running(self) -> None:
        ended: dict[str, float] = {}
        while not self._closing.wait(0.25):
            now = time.monotonic()
            with self._lock:
                for name, part in list(self._parts.items()):
                    if is_alive(part.pid):
                        ended.pop(name, None)
                    elif now > ended.setdefault(name, now) + RESTART_SECONDS:
                        self._parts[name] = self._started(name, part.command)
                        self.restarts[name] += 1
                        del ended[name]


def can_have_hosts() -> bool:
    """Return whether this system gives processes host names and mounts of their own."""
    probe = [*_on_host("probe", Path("/tmp"), Path("/tmp")), "true"]
    return subprocess.run(probe, capture_output=True).returncode == 0


def _on_host(name: str, own: Path, scratch: Path) -> list[str]:
    """Return what goes before a command that runs on a host of its own."""
    own.mkdir(parents=True, exist_ok=True)
    namespaces = ["--mount", "--uts"] + (["--map-root-user"] if os.geteuid() else [])
    script = 'hostname "$0" && mount --bind "$1" "$2" && shift 2 && exec "$@"'
    return ["unshare", *namespaces, "--", "sh", "-c", script, name, str(own), str(scratch)]
