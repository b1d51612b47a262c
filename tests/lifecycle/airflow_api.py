"""The parts of Airflow's REST API that the tests need."""

from __future__ import annotations

import threading
import time
from typing import Any

import requests
import tenacity

SNAPSHOT_SECONDS = 0.7


class _Away(Exception):
    """The server, or its database, is down."""


class AirflowApi:
    """Airflow's API, safe to use from many threads.

    It sends one request at a time, which is all that SQLite can bear.

    :param url: base URL of the api-server.
    :param patience: seconds for which a request is repeated while the server is away.
    :ivar user: name and password of who logs in; nobody by default, where all are admins.
    """

    def __init__(self, url: str, patience: float = 0.0) -> None:
        self.user = ""
        self._url = url
        self._patience = patience
        self._headers: dict[str, str] = {}
        self._lock = threading.RLock()
        self._snapshot: dict[str, list[dict[str, Any]]] = {}
        self._taken_at = 0.0

    def log_in(self) -> None:
        self._headers = {"Authorization": f"Bearer {self.token(self.user)}"}

    def token(self, user: str) -> str:
        """Return what a browser or a program shows once *user* has logged in."""
        url = f"{self._url}/auth/token"
        login = {"username": user, "password": user}
        response = requests.post(url, json=login, timeout=30)
        assert response.ok, f"{user} logs in: {response.status_code} {response.text[:500]}"
        return str(response.json()["access_token"])

    def get(self, path: str, **query: object) -> Any:
        return self._request("GET", path, params=query)

    def post(self, path: str, body: dict[str, Any]) -> Any:
        return self._request("POST", path, json=body)

    def patch(self, path: str, body: dict[str, Any]) -> Any:
        return self._request("PATCH", path, json=body)

    def _request(self, method: str, path: str, **arguments: Any) -> Any:
        retrying = tenacity.Retrying(
            stop=tenacity.stop_after_delay(self._patience),
            wait=tenacity.wait_fixed(0.5),
            retry=tenacity.retry_if_exception_type((requests.ConnectionError, _Away)),
            reraise=True,
        )
        for attempt in retrying:
            with attempt, self._lock:
                response = requests.request(
                    method,
                    f"{self._url}/api/v2{path}",
                    headers=self._headers,
                    timeout=60,
                    **arguments,
                )
                said = f"{method} {path}: {response.status_code} {response.text[:500]}"
                if response.status_code >= 500 and self._patience:
                    raise _Away(said)
        number = attempt.retry_state.attempt_number
        made_before = response.status_code == 409 and number > 1  # its response was lost
        assert response.ok or made_before, said
        return response.json() if response.content else None

    def add_connection(
        self, connection_id: str, host: str, password: str, extra: str | None = None
    ) -> None:
        body = {
            "connection_id": connection_id,
            "conn_type": "apiframe",
            "host": host,
            "password": password,
            "port": 443,  # Test needs one; see the form's placeholder
            "extra": extra,
        }
        self._request("POST", "/connections", json=body)

    def start_run(self, dag_id: str, run_id: str, conf: dict[str, Any]) -> None:
        self._request(
            "POST",
            f"/dags/{dag_id}/dagRuns",
            json={"dag_run_id": run_id, "logical_date": None, "conf": conf},
        )

    def clear(self, dag_id: str, run_id: str, task_id: str) -> None:
        body = {"dry_run": False, "dag_run_id": run_id, "task_ids": [task_id], "only_failed": False}
        self._request("POST", f"/dags/{dag_id}/clearTaskInstances", json=body)

    def run_ended(self, dag_id: str, run_id: str) -> bool:
        return bool(self.get(f"/dags/{dag_id}/dagRuns/{run_id}")["state"] in ("success", "failed"))

    def mark_failed(self, dag_id: str, run_id: str, task_id: str) -> None:
        path = f"/dags/{dag_id}/dagRuns/{run_id}/taskInstances/{task_id}"
        self.patch(path, {"new_state": "failed"})

    def xcom(self, ti: dict[str, Any], key: str = "return_value") -> Any:
        run = f"/dags/{ti['dag_id']}/dagRuns/{ti['dag_run_id']}"
        path = f"{run}/taskInstances/{ti['task_id']}/xcomEntries/{key}"
        return self.get(path, map_index=ti["map_index"])["value"]

    def tasks(self, run_id: str, fresh: bool = False) -> list[dict[str, Any]]:
        """Return a run's task instances, up to SNAPSHOT_SECONDS old unless *fresh*."""
        with self._lock:
            if fresh or time.monotonic() > self._taken_at + SNAPSHOT_SECONDS:
                found = self.get("/dags/~/dagRuns/~/taskInstances", limit=2000)["task_instances"]
                self._snapshot = {}
                for ti in found:
                    self._snapshot.setdefault(ti["dag_run_id"], []).append(ti)
                self._taken_at = time.monotonic()
            return self._snapshot.get(run_id, [])
