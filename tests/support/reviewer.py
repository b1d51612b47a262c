"""A person who answers the forms of a run, by Airflow's own API, while the run goes on."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

Answer = tuple[str, dict[str, Any]]
"""The option that is chosen, and what is typed into the form's fields."""


class Reviewer:
    """Answers one form after the other; a context manager around the run.

    :param answers: what to answer; one that is callable gets the form first.
    :ivar forms: what was shown, as the API gives it.
    """

    def __init__(self, answers: Sequence[Answer | Callable[[dict[str, Any]], Answer]]) -> None:
        self._answers = list(answers)
        self.forms: list[dict[str, Any]] = []
        self.errors: list[str] = []
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._work, daemon=True)

    def __enter__(self) -> Reviewer:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join(30)

    def _work(self) -> None:
        from airflow.api_fastapi.app import create_app
        from fastapi.testclient import TestClient

        with TestClient(create_app(), base_url="http://localhost") as client:
            token = client.get("/auth/token").json()["access_token"]
            client.headers["Authorization"] = f"Bearer {token}"
            while self._answers and not self._done.wait(0.3):
                response = client.get(
                    "/api/v2/dags/~/dagRuns/~/hitlDetails", params={"response_received": "false"}
                )
                if response.status_code != 200:
                    self.errors.append(response.text)
                    continue
                for form in response.json()["hitl_details"]:
                    self._answer(client, form)

    def _answer(self, client: Any, form: dict[str, Any]) -> None:
        ti = form["task_instance"]
        if ti["state"] not in ("deferred", "awaiting_input"):
            return
        answer = self._answers[0]
        option, typed = answer(form) if callable(answer) else answer
        path = (
            f"/api/v2/dags/{ti['dag_id']}/dagRuns/{ti['dag_run_id']}/taskInstances/"
            f"{ti['task_id']}/{ti['map_index']}/hitlDetails"
        )
        region = {
            name: ti[name] for name in ("region_id", "region_index") if ti.get(name) is not None
        }
        response = client.patch(
            path, params=region, json={"chosen_options": [option], "params_input": typed}
        )
        if response.status_code == 200:
            self._answers.pop(0)
            self.forms.append(form)
        else:
            self.errors.append(response.text)
            time.sleep(0.5)
