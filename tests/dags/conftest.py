"""Runs DAGs as ``airflow dags test`` does, on the installed Airflow, and reads its database."""

from __future__ import annotations

import copy
import os
import subprocess
import sys
import textwrap
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import dag_runs
import pytest
from dag_runs import Run, dag_bag

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
        return dag_runs.run(file, dag_id, conf)

    return run_dag


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
