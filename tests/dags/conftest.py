"""Runs DAGs as ``airflow dags test`` does, on the installed Airflow, and reads its database."""

from __future__ import annotations

import copy
import json
import os
import sqlite3
import subprocess
import sys
import textwrap
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

HOME = Path(os.environ["AIRFLOW_HOME"])
DATABASE = HOME / "airflow.db"


@pytest.fixture(scope="session", autouse=True)
def airflow_database() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "airflow", "db", "migrate"], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr


@dataclass(frozen=True)
class Run:
    """What a DAG run left behind."""

    dag_id: str
    run_id: str

    def states(self, task_id: str) -> list[str]:
        return [row[0] for row in self._select("state", "task_instance", task_id)]

    def tries(self, task_id: str) -> list[int]:
        return [row[0] for row in self._select("try_number", "task_instance", task_id)]

    def labels(self, task_id: str) -> list[str]:
        return [row[0] for row in self._select("rendered_map_index", "task_instance", task_id)]

    def xcom(self, task_id: str, key: str = "return_value") -> Any:
        (value,) = self.xcoms(task_id, key)
        return value

    def xcoms(self, task_id: str, key: str = "return_value") -> list[Any]:
        return [
            _json(value)
            for name, value in self._select("key, value", "xcom", task_id)
            if name == key
        ]

    def stored(self, task_id: str, key: str) -> Any:
        """What a task noted in the task state store (Airflow 3.3)."""
        (value,) = [
            value
            for name, value in self._select("key, value", "task_state_store", task_id)
            if name == key
        ]
        return _json(value)

    def _select(self, columns: str, table: str, task_id: str) -> list[tuple[Any, ...]]:
        where = "dag_id = ? AND run_id = ? AND task_id = ?"
        with closing(sqlite3.connect(DATABASE)) as database:
            query = f"SELECT {columns} FROM {table} WHERE {where} ORDER BY map_index"
            return database.execute(query, (self.dag_id, self.run_id, task_id)).fetchall()


def _json(stored: str | bytes) -> Any:
    # Airflow 3 keeps the JSON's text as a JSON string, in some releases only that of lists and
    # objects.
    value = json.loads(stored)
    if isinstance(value, str) and value[:1] in ('"', "[", "{"):
        return json.loads(value)
    return value


@pytest.fixture
def run_dag() -> Callable[..., Run]:
    """Run one of the examples, or a DAG given as source code, to its end."""

    def run_dag(dag_id: str, source: str | None = None, conf: dict[str, Any] | None = None) -> Run:
        file = HOME / "dags" / f"{dag_id}.py"
        if source is not None:
            file.write_text(textwrap.dedent(source))
        dags = dag_bag(file)
        assert not dags.import_errors, dags.import_errors
        run = dags.dags[dag_id].test(run_conf=conf)
        return Run(dag_id, run.run_id)

    return run_dag


def dag_bag(path: Path) -> Any:
    try:
        from airflow.dag_processing.dagbag import DagBag
    except ImportError:  # before Airflow 3.2
        from airflow.models import DagBag
    return DagBag(dag_folder=str(path))


@pytest.fixture
def import_errors() -> Callable[[str], str]:
    """What Airflow says about a DAG file with this source code."""

    def import_errors(source: str) -> str:
        file = HOME / "dags" / "broken.py"
        file.write_text(textwrap.dedent(source))
        try:
            return "\n".join(dag_bag(file).import_errors.values())
        finally:
            file.unlink()

    return import_errors


@pytest.fixture
def trigger_form() -> Callable[[str, dict[str, Any]], None]:
    """Check what somebody types into the form that triggers an example, as Airflow does."""

    def trigger_form(dag_id: str, conf: dict[str, Any]) -> None:
        params = copy.copy(dag_bag(HOME / "dags" / f"{dag_id}.py").dags[dag_id].params)
        params.update(conf)
        params.validate()

    return trigger_form
