"""Airflow in a temporary folder: what it has in common on one machine and on many."""

from __future__ import annotations

import json
import os
import re
import secrets
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TypeVar

import psutil
import pytest
import requests
from airflow_api import AirflowApi
from cryptography.fernet import Fernet
from ports import free_port
from waiting import wait_until

HERE = Path(__file__).parent
DAGS = HERE / "dags"
START_SECONDS = 300  # on a machine that does much else; else it takes 20 to 40

Settings = Mapping[str, Mapping[str, object]]
"""Options of airflow.cfg, by section and name."""

D = TypeVar("D", bound="Deployment")


class Deployment:
    """Airflow in a temporary folder; ``close()`` ends every process.

    Which processes there are is up to the subclass; `configure` comes before the first.

    :param kind: for the name of the folder.
    :param dags: folder with the DAG files, or several.
    :param patience: seconds for which `api` waits while the API server is away.
    :param port: of the API server; any free one by default.
    :ivar home: AIRFLOW_HOME; the output of the processes is in ``home / "processes"``.
    :ivar url: of the API server.
    :ivar breakpoints: see ``dags/breakpoints.py``.
    """

    def __init__(
        self, kind: str, *dags: Path, patience: float = 0.0, port: int | None = None
    ) -> None:
        self.home = Path(tempfile.mkdtemp(prefix=f"apiframe-{kind}-"))
        self.breakpoints = self.home / "breakpoints"
        self.logs = self.home / "processes"
        for folder in (self.breakpoints, self.logs):
            folder.mkdir()
        for folder in dags:
            shutil.copytree(
                folder,
                self.home / "dags",
                ignore=shutil.ignore_patterns("__pycache__"),
                dirs_exist_ok=True,
            )
        self.url = f"http://127.0.0.1:{port or free_port()}"
        self.api = AirflowApi(self.url, patience)
        self.env: dict[str, str] = {}
        self._orders = threading.Lock()
        self._keeper = subprocess.Popen(
            [sys.executable, str(HERE / "keeper.py")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def configure(self, execution_url: str, *settings: Settings) -> None:
        """Set the options of airflow.cfg, on top of those that all deployments need."""
        common: Settings = {
            "core": {
                "dags_folder": self.home / "dags",
                "load_examples": False,
                "dags_are_paused_at_creation": False,
                "execution_api_server_url": execution_url,
                "simple_auth_manager_all_admins": True,
                "fernet_key": Fernet.generate_key().decode(),
                "max_active_tasks_per_dag": 200,
                "max_active_runs_per_dag": 200,
                "test_connection": "Enabled",
            },
            "api": {
                "host": "127.0.0.1",
                "base_url": self.url,
                "secret_key": secrets.token_hex(32),
                "maximum_page_limit": 2000,
            },
            "api_auth": {"jwt_secret": secrets.token_hex(32)},
            "dag_processor": {"min_file_process_interval": 3600},
        }
        outer = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("AIRFLOW_", "_AIRFLOW"))
        }
        ours = {
            f"AIRFLOW__{section.upper()}__{name.upper()}": str(value)
            for source in (common, *settings)
            for section, options in source.items()
            for name, value in options.items()
        }
        self.env = {
            **outer,
            **ours,
            "AIRFLOW_HOME": str(self.home),
            "LIFECYCLE_BREAKPOINTS": str(self.breakpoints),
            "NO_PROXY": "127.0.0.1",
            "no_proxy": "127.0.0.1",
        }

    def start(self) -> None:
        """Start everything and return once runs can be started."""
        raise NotImplementedError

    def migrate(self) -> None:
        """Make the tables of Airflow's database."""
        command = [sys.executable, "-m", "airflow", "db", "migrate"]
        done = subprocess.run(command, env=self.env, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr

    def start_process(self, name: str, command: Sequence[str], **env: str) -> int:
        """Start a process that the keeper ends, and return its id; its output is appended."""
        order = {
            "command": list(command),
            "env": {**self.env, **env},
            "log": str(self.logs / f"{name}.log"),
        }
        assert self._keeper.stdin is not None
        assert self._keeper.stdout is not None
        with self._orders:
            self._keeper.stdin.write(json.dumps(order) + "\n")
            self._keeper.stdin.flush()
            return int(self._keeper.stdout.readline())

    def wait_for_api(self) -> None:
        wait_until(self._reachable, "the API servers respond", START_SECONDS, every=0.5)

    def _reachable(self) -> bool:
        with suppress(requests.ConnectionError):
            self.api.log_in()
            url = self.env["AIRFLOW__CORE__EXECUTION_API_SERVER_URL"]
            return requests.get(f"{url}health", timeout=60).ok
        return False

    def wait_for_dags(self) -> None:
        wait_until(
            self._dags_loaded, f"the DAGs are read; see {self.logs}", START_SECONDS, every=0.5
        )

    def _dags_loaded(self) -> bool:
        errors = self.api.get("/importErrors")["import_errors"]
        assert not errors, "\n".join(error["stack_trace"] for error in errors)
        loaded = {dag["relative_fileloc"] for dag in self.api.get("/dags", limit=1000)["dags"]}
        folder = self.home / "dags"
        return loaded >= {
            str(file.relative_to(folder))
            for file in folder.rglob("*.py")
            if "DAG(" in file.read_text()
        }

    def kill_task(self, pid: int, with_worker: bool = True) -> bool:
        """Kill a task process and the executor's worker above it; return whether both were at work.

        Airflow notices a dead worker when its heartbeats stay away, a dead task at once.

        The task is stopped first. A worker whose task has ended takes locks that all workers share,
        and must not die then; while its task is stopped it only watches.
        """
        try:
            task = psutil.Process(pid)
            worker = task.parent()
            if worker is None or not self.is_worker(worker):
                return False
            task.suspend()
            if task.status() == psutil.STATUS_ZOMBIE or task.parent() != worker:
                return False
            if with_worker:
                worker.kill()
            task.kill()
        except psutil.NoSuchProcess:
            return False
        return True

    def is_worker(self, process: psutil.Process) -> bool:
        """Return whether a process is one of the executor's, which runs a task in another one."""
        raise NotImplementedError

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
        said = (
            rf" {run_id} \[\w+\] .*finished with state success, but the task instance's state "
            "attribute is (?:queued|running)"
        )
        return sum(
            len(re.findall(said, log.read_text())) for log in self.logs.glob("scheduler*.log")
        )

    def close(self, keep_files: bool) -> None:
        assert self._keeper.stdin is not None
        self._keeper.stdin.close()
        self._keeper.wait(60)
        if not keep_files:
            shutil.rmtree(self.home, ignore_errors=True)


@contextmanager
def running(deployment: D, session: pytest.Session) -> Iterator[D]:
    """Start a deployment, and end it afterwards. Its files stay when a test failed."""
    failed = session.testsfailed
    try:
        deployment.start()
        yield deployment
    except BaseException:
        failed = -1
        raise
    finally:
        keep = session.testsfailed != failed
        deployment.close(keep_files=keep)
        if keep:
            print(f"\nAirflow's logs and database are in {deployment.home}")


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
