"""A person who answers the forms of a run, by Airflow's own API, while the run goes on."""

from __future__ import annotations

import importlib
import threading
import traceback
from collections.abc import Callable, Sequence
from typing import Any

from airflow.providers.common.compat.sdk import AirflowOptionalProviderFeatureException
from api_users import token_of

Answer = tuple[str, dict[str, Any]]
"""The option that is chosen, and what is typed into the form's fields."""

Form = dict[str, Any]
"""A form as the API gives it."""

WAITING = ("deferred", "awaiting_input")


def has_forms() -> bool:
    """Return whether running tasks can ask people (Airflow 3.1+)."""
    return _hitl_operators() is not None


def has_forms_in_test_runs() -> bool:
    """Return whether they can do so in ``dag.test()`` too (Airflow 3.3+)."""
    return hasattr(_hitl_operators(), "TaskAwaitingInput")


def _hitl_operators() -> Any:
    try:
        return importlib.import_module("airflow.providers.standard.operators.hitl")
    except (ImportError, AirflowOptionalProviderFeatureException):
        return None


class Reviewer:
    """Answers one form after the other; a context manager around the run.

    :param answers: what to answer; one that is callable gets the form first.
    :ivar forms: what was shown.
    """

    def __init__(self, answers: Sequence[Answer | Callable[[Form], Answer]]) -> None:
        self._answers = list(answers)
        self.forms: list[Form] = []
        self._app: Any = None
        self._error: str | None = None
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._work, daemon=True)

    def __enter__(self) -> Reviewer:
        from airflow.api_fastapi.app import create_app
        from sqlalchemy.orm import configure_mappers

        # Before there are two threads: each imports Airflow's tables, and would wait for the other.
        self._app = create_app(apps="core")
        configure_mappers()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join(60)
        assert self._error is None, self._error
        assert not self._answers, f"{len(self._answers)} answers were not asked for"

    def _work(self) -> None:
        try:
            self._answer_all()
        except Exception:
            self._error = traceback.format_exc()
            _end_what_waits()

    def _answer_all(self) -> None:
        from fastapi.testclient import TestClient

        with TestClient(self._app, base_url="http://localhost") as client:
            client.headers["Authorization"] = f"Bearer {token_of('admin')}"
            while self._answers and not self._done.wait(0.2):
                response = client.get(
                    "/api/v2/dags/~/dagRuns/~/hitlDetails", params={"response_received": "false"}
                )
                assert response.status_code == 200, response.text
                for form in response.json()["hitl_details"]:
                    if form["task_instance"]["state"] in WAITING:
                        self._answer(client, form)

    def _answer(self, client: Any, form: Form) -> None:
        self.forms.append(form)
        answer = self._answers.pop(0)
        option, typed = answer(form) if callable(answer) else answer
        ti = form["task_instance"]
        place = {name: ti[name] for name in ("region_id", "region_index") if name in ti}
        response = client.patch(
            f"/api/v2/dags/{ti['dag_id']}/dagRuns/{ti['dag_run_id']}/taskInstances/"
            f"{ti['task_id']}/{ti['map_index']}/hitlDetails",
            params=place,
            json={"chosen_options": [option], "params_input": typed},
        )
        assert response.status_code == 200, response.text


def _end_what_waits() -> None:
    """Fail the tasks that would wait for an answer for ever."""
    from airflow.models.taskinstance import TaskInstance
    from airflow.utils.session import create_session

    with create_session() as session:
        waiting = session.query(TaskInstance).filter(TaskInstance.state.in_(WAITING))
        waiting.update({"state": "failed"}, synchronize_session=False)
