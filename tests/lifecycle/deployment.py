"""A small Airflow: scheduler, dag-processor, triggerers and api-server, each its own process.

The scheduler runs tasks with the LocalExecutor.
"""

from __future__ import annotations

import json
import os
import re
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
from contextlib import suppress
from pathlib import Path

import psutil
import requests
from airflow_api import AirflowApi
from cryptography.fernet import Fernet
from ports import free_port
from waiting import wait_until

HERE = Path(__file__).parent
START_SECONDS = 300  # on a machine that does much else; else it takes 20
PARALLELISM = 16


class Deployment:
    """Airflow in a temporary folder; ``close()`` ends every process.

    :ivar home: AIRFLOW_HOME; the output of the processes is in ``home / "processes"``.
    :ivar breakpoints: see ``dags/breakpoints.py``.
    :ivar triggerers: process id of each running triggerer by the id of its job in Airflow's
        database.
    """

    def __init__(self) -> None:
        self.home = Path(tempfile.mkdtemp(prefix="apiframe-lifecycle-"))
        self.breakpoints = self.home / "breakpoints"
        self.triggerers: dict[int, int] = {}
        self._logs = self.home / "processes"
        for folder in (self.breakpoints, self._logs):
            folder.mkdir()
        shutil.copytree(
            HERE / "dags", self.home / "dags", ignore=shutil.ignore_patterns("__pycache__")
        )
        self._ports = {"core": free_port(), "execution": free_port()}
        url = f"http://127.0.0.1:{self._ports['core']}"
        self._env = _environment(
            self.home,
            self.breakpoints,
            url,
            f"http://127.0.0.1:{self._ports['execution']}/execution/",
        )
        self._keeper = subprocess.Popen(
            [sys.executable, str(HERE / "keeper.py")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        self.api = AirflowApi(url)
        self.scheduler = 0

    def start(self) -> None:
        """Start everything and return once runs can be started."""
        command = [sys.executable, "-m", "airflow", "db", "migrate"]
        done = subprocess.run(command, env=self._env, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
        # Two, because on SQLite one that serves both can stand still: the route that starts a run
        # waits for the database's lock in the event loop, which the task's request that holds the
        # lock needs to finish.
        for app, port in self._ports.items():
            self._start("api-server", "--workers", "1", "--apps", app, "--port", str(port))
        self._start("dag-processor")
        self.scheduler = self._start("scheduler", "--skip-serve-logs")
        wait_until(self._reachable, "the API servers respond", START_SECONDS, every=0.5)
        self.start_triggerer()
        wait_until(
            self._dags_loaded, f"the DAGs are read; see {self._logs}", START_SECONDS, every=0.5
        )

    def _reachable(self) -> bool:
        with suppress(requests.ConnectionError):
            self.api.log_in()
            return requests.get(
                f"{self._env['AIRFLOW__CORE__EXECUTION_API_SERVER_URL']}health", timeout=60
            ).ok
        return False

    def _dags_loaded(self) -> bool:
        errors = self.api.get("/importErrors")["import_errors"]
        assert not errors, "\n".join(error["stack_trace"] for error in errors)
        return bool(self.api.get("/dags")["total_entries"])

    def start_triggerer(self) -> int:
        """Start one more triggerer, wait until it is at work, and return the id of its job."""
        before = self._triggerer_jobs()
        pid = self._start("triggerer", "--skip-serve-logs")
        (job,) = wait_until(
            lambda: self._triggerer_jobs() - before,
            "the triggerer is at work",
            START_SECONDS,
            every=0.3,
        )
        self.triggerers[job] = pid
        return job

    def kill_triggerer(self, job: int) -> None:
        """Kill a triggerer and its runner, as when a node vanishes."""
        os.killpg(self.triggerers.pop(job), signal.SIGKILL)

    def _triggerer_jobs(self) -> set[int]:
        found = self.api.get("/jobs", job_type="TriggererJob", order_by="-id")["jobs"]
        return {job["id"] for job in found}

    def kill_task(self, pid: int) -> bool:
        """Kill a task process and the executor's worker above it; return whether both were at work.

        The task is stopped first. A worker whose task has ended takes locks that all workers share,
        and must not die then; while its task is stopped it only watches.
        """
        try:
            task = psutil.Process(pid)
            worker = task.parent()
            if worker is None or worker.ppid() != self.scheduler:
                return False
            task.suspend()
            if task.status() == psutil.STATUS_ZOMBIE or task.parent() != worker:
                return False
            worker.kill()
            task.kill()
        except psutil.NoSuchProcess:
            return False
        return True

    def task_logs(self, run_id: str, lines: int = 40) -> str:
        """Return the end of each log of a run's tasks, the triggers' ones too."""
        texts = []
        for file in sorted((self.home / "logs").glob(f"dag_id=*/run_id={run_id}/**/*.log*")):
            shown = [_skip_unreadable(line) for line in file.read_text().splitlines()[-lines:]]
            texts.append("\n".join([f"--- {file.relative_to(self.home / 'logs')}", *shown]))
        return "\n".join(texts)

    def tries_ended_by_the_scheduler(self, run_id: str) -> int:
        """Return how many tries of a run's tasks the scheduler ended itself, by mistake.

        When a deferred task resumes before the scheduler has heard that the process which deferred
        it is gone, it takes that for the end of the resumed one, says so, and retries the task.
        """
        log = (self._logs / "scheduler---skip-serve-logs.log").read_text()
        said = (
            rf" {run_id} \[\w+\] .*finished with state success, but the task instance's state "
            "attribute is (?:queued|running)"
        )
        return len(re.findall(said, log))

    def _start(self, *arguments: str) -> int:
        order = {
            "command": [sys.executable, "-m", "airflow", *arguments],
            "env": self._env,
            "log": str(self._logs / f"{'-'.join(arguments)}.log"),
        }
        assert self._keeper.stdin is not None
        assert self._keeper.stdout is not None
        self._keeper.stdin.write(json.dumps(order) + "\n")
        self._keeper.stdin.flush()
        return int(self._keeper.stdout.readline())

    def close(self, keep_files: bool) -> None:
        assert self._keeper.stdin is not None
        self._keeper.stdin.close()
        self._keeper.wait(60)
        if not keep_files:
            shutil.rmtree(self.home, ignore_errors=True)


def _skip_unreadable(line: str) -> str:
    try:
        record = json.loads(line)
    except ValueError:
        return line
    if not isinstance(record, dict):
        return line
    errors = [
        f"{error.get('exc_type')}: {error.get('exc_value')}"
        for error in record.get("error_detail") or []
    ]
    return " ".join(
        [
            str(record.get("timestamp", ""))[11:23],
            str(record.get("level", "")),
            str(record.get("event", "")),
            *errors,
        ]
    )


def _environment(home: Path, breakpoints: Path, url: str, execution_url: str) -> dict[str, str]:
    outer = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("AIRFLOW_", "_AIRFLOW"))
    }
    settings = {
        "core": {
            "dags_folder": home / "dags",
            "load_examples": False,
            "dags_are_paused_at_creation": False,
            "executor": "LocalExecutor",
            "execution_api_server_url": execution_url,
            "simple_auth_manager_all_admins": True,
            "fernet_key": Fernet.generate_key().decode(),
            "parallelism": PARALLELISM,
            "max_active_tasks_per_dag": 200,
            "max_active_runs_per_dag": 200,
            "test_connection": "Enabled",
        },
        "api": {
            "host": "127.0.0.1",
            "base_url": url,
            "secret_key": secrets.token_hex(32),
            "maximum_page_limit": 2000,
        },
        "api_auth": {"jwt_secret": secrets.token_hex(32)},
        # SQLite waits for its lock as long as this.
        "database": {
            "sql_alchemy_conn": f"sqlite:///{home}/airflow.db?timeout=60",
            "sql_alchemy_pool_size": 40,
        },
        "dag_processor": {"min_file_process_interval": 3600},
        # What follows makes Airflow notice within seconds what is minutes by default.
        "scheduler": {
            "task_instance_heartbeat_timeout": 15,
            "task_instance_heartbeat_timeout_detection_interval": 1,
            "orphaned_tasks_check_interval": 10,
            "job_heartbeat_sec": 2,
            "scheduler_heartbeat_sec": 1,
            "scheduler_idle_sleep_time": 0.3,
        },
        "workers": {"min_heartbeat_interval": 2, "execution_api_timeout": 30},
        "triggerer": {"job_heartbeat_sec": 1, "triggerer_health_check_threshold": 6},
    }
    ours = {
        f"AIRFLOW__{section.upper()}__{name.upper()}": str(value)
        for section, options in settings.items()
        for name, value in options.items()
    }
    return {
        **outer,
        **ours,
        "AIRFLOW_HOME": str(home),
        "LIFECYCLE_BREAKPOINTS": str(breakpoints),
        "NO_PROXY": "127.0.0.1",
        "no_proxy": "127.0.0.1",
    }
