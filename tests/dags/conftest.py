"""Runs DAGs as ``airflow dags test`` does, on the installed Airflow, and reads its database."""

from __future__ import annotations

import copy
import json
import os
import subprocess
import sys
import textwrap
from collections.abc import Callable
from contextlib import suppress
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


@pytest.fixture
def assets() -> None:
    """Skip the test where test runs know no assets."""
    with suppress(ImportError):  # Airflow 2
        from airflow.sdk import __version__

        if __version__.startswith("1.0."):
            pytest.skip("dag.test() of Airflow 3.0 refuses assets that no scheduler has seen")


@dataclass(frozen=True)
class Run:
    """What a DAG run left behind, read with Airflow's own models.

    Its tables differ between versions.
    """

    dag_id: str
    run_id: str
    file: Path

    def task_of(self, dag_id: str, task_id: str) -> Any:
        """Return a task of a DAG in the same file."""
        return dag_bag(self.file).dags[dag_id].get_task(task_id)

    def states(self, task_id: str) -> list[str]:
        return [str(ti.state) for ti in self._instances(task_id)]

    def tries(self, task_id: str) -> list[int]:
        return [ti.try_number for ti in self._instances(task_id)]

    def labels(self, task_id: str) -> list[str]:
        return [ti.rendered_map_index for ti in self._instances(task_id)]

    def xcom(self, task_id: str, key: str = "return_value") -> Any:
        (value,) = self.xcoms(task_id, key)
        return value

    def xcoms(self, task_id: str, key: str = "return_value") -> list[Any]:
        """What each instance of a mapped task pushed."""
        values = [
            instance.xcom_pull(task_ids=task_id, key=key, map_indexes=instance.map_index)
            for instance in self._instances(task_id)
        ]
        assert None not in values, f"{task_id} pushed no {key}"
        return values

    def stored(self, task_id: str, key: str) -> Any:
        """What a task noted in the task state store (Airflow 3.3)."""
        from airflow.models.task_state_store import TaskStateStoreModel as Stored
        from airflow.utils.session import create_session

        with create_session() as session:
            (row,) = session.query(Stored).filter_by(
                dag_id=self.dag_id, run_id=self.run_id, task_id=task_id, key=key
            )
            return json.loads(row.value)

    def _instances(self, task_id: str) -> list[Any]:
        from airflow.models.dagrun import DagRun

        of_run = DagRun.fetch_task_instances(dag_id=self.dag_id, run_id=self.run_id)
        return sorted(
            (instance for instance in of_run if instance.task_id == task_id),
            key=lambda instance: instance.map_index,
        )


@pytest.fixture
def run_dag() -> Callable[..., Run]:
    """Run one of the examples, or a DAG given as source code, to its end."""

    def run_dag(
        dag_id: str,
        source: str | None = None,
        conf: dict[str, Any] | None = None,
        stem: str | None = None,
    ) -> Run:
        file = HOME / "dags" / f"{stem or dag_id}.py"
        if source is not None:
            file.write_text(textwrap.dedent(source))
        dags = dag_bag(file)
        assert not dags.import_errors, dags.import_errors
        dag = dags.dags[dag_id]
        if hasattr(dag, "sync_to_db"):
            dag.sync_to_db()  # Airflow 2 knows an asset's alias from there, and does not look
        run = dag.test(run_conf=conf)
        return Run(dag_id, run.run_id, file)

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
