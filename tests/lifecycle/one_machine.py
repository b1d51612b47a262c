"""A small Airflow: scheduler, dag-processor, triggerers and api-servers on SQLite.

The scheduler runs tasks with the LocalExecutor.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Mapping
from pathlib import Path

import psutil
from deployment import DAGS, START_SECONDS, Deployment, Settings
from ports import free_port
from waiting import wait_until

PARALLELISM = 16


class OneMachine(Deployment):
    """Airflow on one machine, as most people begin.

    :param dags: folders with DAG files; those of the scenarios by default.
    :param port: of the API server; any free one by default.
    :param users: role by name, which is the password as well; the first one is `api`'s and an
        admin, one without a role may do nothing. By default nobody need log in.
    :param settings: more options of airflow.cfg.
    :ivar triggerers: process id of each running triggerer by the id of its job in Airflow's
        database.
    """

    def __init__(
        self,
        *dags: Path,
        port: int | None = None,
        users: Mapping[str, str] | None = None,
        settings: Settings | None = None,
    ) -> None:
        super().__init__("one-machine", *(dags or [DAGS]), port=port)
        self.triggerers: dict[int, int] = {}
        self._scheduler = 0
        self._execution_port = free_port()
        own: Settings = {
            "core": {"executor": "LocalExecutor", "parallelism": PARALLELISM},
            # SQLite waits for its lock as long as this.
            "database": {
                "sql_alchemy_conn": f"sqlite:///{self.home}/airflow.db?timeout=60",
                "sql_alchemy_pool_size": 40,
            },
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
        execution_url = f"http://127.0.0.1:{self._execution_port}/execution/"
        self.configure(execution_url, own, self._login(users), settings or {})

    def _login(self, users: Mapping[str, str] | None) -> Settings:
        if not users:
            return {}
        self.api.user = next(iter(users))
        passwords = self.home / "passwords.json"
        passwords.write_text(json.dumps({name: name for name in users}))
        return {
            "core": {
                "simple_auth_manager_all_admins": False,
                "simple_auth_manager_users": ",".join(map(":".join, users.items())),
                "simple_auth_manager_passwords_file": passwords,
            }
        }

    def start(self) -> None:
        """Start everything and return once runs can be started."""
        self.migrate()
        # Two, because on SQLite one that serves both can stand still: the route that starts a run
        # waits for the database's lock in the event loop, which the task's request that holds the
        # lock needs to finish.
        ports = {"core": self.url.rpartition(":")[2], "execution": str(self._execution_port)}
        for app, port in ports.items():
            self._start("api-server", "--workers", "1", "--apps", app, "--port", port)
        self._start("dag-processor")
        self._scheduler = self._start("scheduler", "--skip-serve-logs")
        self.wait_for_api()
        self.start_triggerer()
        self.wait_for_dags()

    def _start(self, *arguments: str) -> int:
        return self.start_process(
            "-".join(arguments), [sys.executable, "-m", "airflow", *arguments]
        )

    def is_worker(self, process: psutil.Process) -> bool:
        return process.ppid() == self._scheduler

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
