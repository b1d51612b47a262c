"""Runs of DAGs as ``airflow dags test`` makes them, read with Airflow's own models.

As a command (``python dag_runs.py FILE DAG_ID ...``) it runs the DAGs of a file in a process of its
own, where Airflow may be set up in another way, and prints what they left behind as JSON.
"""

from __future__ import annotations

import json
import subprocess
import sys
from contextlib import redirect_stdout, suppress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any


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

    def link(self, task_id: str, name: str) -> str | None:
        (link,) = self.links(task_id, name)
        return link

    def links(self, task_id: str, name: str) -> list[str | None]:
        """Where a button leads, as the UI asks for it: by the DAG as Airflow stores it."""
        try:
            from airflow.serialization.serialized_objects import DagSerialization
        except ImportError:  # before Airflow 3.2
            from airflow.serialization.serialized_objects import SerializedDAG as DagSerialization
        dag = dag_bag(self.file).dags[self.dag_id]
        task = DagSerialization.from_dict(DagSerialization.to_dict(dag)).get_task(task_id)
        return [task.get_extra_links(ti, name) for ti in self._instances(task_id)]

    def stored(self, task_id: str, key: str) -> Any:
        """What a task noted in the task state store (Airflow 3.3)."""
        from airflow.models.task_state_store import TaskStateStoreModel as Stored
        from airflow.utils.session import create_session

        with create_session() as session:
            (row,) = session.query(Stored).filter_by(
                dag_id=self.dag_id, run_id=self.run_id, task_id=task_id, key=key
            )
            return json.loads(row.value)

    def _instances(self, task_id: str | None = None) -> list[Any]:
        from airflow.models.dagrun import DagRun

        of_run = DagRun.fetch_task_instances(dag_id=self.dag_id, run_id=self.run_id)
        return sorted(
            (instance for instance in of_run if task_id in (None, instance.task_id)),
            key=lambda instance: instance.map_index,
        )

    def as_dict(self) -> dict[str, Any]:
        """Return task id -> the states of its instances, their tries, results and image links."""
        task_ids = {instance.task_id for instance in self._instances()}
        return {
            task_id: {
                "states": self.states(task_id),
                "tries": self.tries(task_id),
                "results": self.xcoms(task_id) if self._succeeded(task_id) else None,
                "links": self.links(task_id, "Image"),
            }
            for task_id in task_ids
        }

    def _succeeded(self, task_id: str) -> bool:
        return {*self.states(task_id)} == {"success"}


def dag_bag(path: Path) -> Any:
    try:
        from airflow.dag_processing.dagbag import DagBag
    except ImportError:  # before Airflow 3.2
        from airflow.models import DagBag
    return DagBag(dag_folder=str(path))


def run(file: Path, dag_id: str, conf: dict[str, Any] | None = None) -> Run:
    """Run a DAG of *file* to its end."""
    dags = dag_bag(file)
    assert not dags.import_errors, dags.import_errors
    dag = dags.dags[dag_id]
    if hasattr(dag, "sync_to_db"):
        dag.sync_to_db()  # Airflow 2 knows an asset's alias from there, and does not look
    _build_the_api_once()
    made = dag.test(run_conf=conf)
    return Run(dag_id, made.run_id, file)


def _build_the_api_once() -> None:
    """Keep the API that tasks of test runs report to, as Airflow does from 3.3 on.

    Before, each task builds it anew, which takes seconds.
    """
    with suppress(ImportError):  # Airflow 2
        from airflow.sdk.execution_time import supervisor

        build = supervisor.in_process_api_server
        if not hasattr(build, "cache_info"):
            supervisor.in_process_api_server = lru_cache(maxsize=1)(build)


def run_elsewhere(file: Path, *dag_ids: str, env: dict[str, str]) -> dict[str, dict[str, Any]]:
    """Run DAGs of *file* one after the other in a new process with the environment *env*.

    :returns: DAG id -> :meth:`Run.as_dict`.
    """
    done = subprocess.run(
        [sys.executable, __file__, str(file), *dag_ids],
        env=env,
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-5000:]
    return dict(json.loads(done.stdout.splitlines()[-1]))


if __name__ == "__main__":
    with redirect_stdout(sys.stderr):
        left = {dag_id: run(Path(sys.argv[1]), dag_id).as_dict() for dag_id in sys.argv[2:]}
    print(json.dumps(left))
