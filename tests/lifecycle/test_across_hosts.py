"""Processes that share a database and object storage, but neither folders nor connections in it.

The first of all tests here, so that this Airflow is gone before the others start theirs.
"""

from __future__ import annotations

import json
import os
import shutil
import textwrap
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from deployment import running
from one_machine import OneMachine
from waiting import wait_until

from airflow_provider_apiframe.sandbox.server import Sandbox

KEY = "afk_5ec4e7c0ffee5ec4e7c0ffee5ec4e7c0ffee5ec4e7"
DAG_FILE = """
    from datetime import timedelta

    from airflow.sdk import DAG, task
    from airflow_provider_apiframe.operators.flux import FluxGenerateOperator
    from airflow_provider_apiframe.operators.variants import image_variants
    from airflow_provider_apiframe.sensors.job import ApiframeJobSensor

    patient = {"retries": 3, "retry_delay": timedelta(seconds=1), "multiple_outputs": False}

    with DAG("across_hosts", schedule=None, default_args=patient):
        posters = FluxGenerateOperator.partial(
            task_id="posters", save_to="file://IMAGES/", deferrable=True, poll_interval=0.5
        ).expand(prompt=["a mug", "a cap"])
        image_variants(posters.output, {"story": "20x40"}, task_id="resize")
        submit = FluxGenerateOperator(
            task_id="submit", prompt="a shop window", wait_for_completion=False
        )
        collect = ApiframeJobSensor(
            task_id="collect", job_id=submit.output["job_id"], poke_interval=0.5
        )

        @task
        def use(posters, collected):
            assert __file__.startswith("WORKERS_FOLDER"), __file__
            return [*(poster["images"][0]["uri"] for poster in posters), *collected["image_urls"]]

        use(posters.output, collect.output)
"""


class Hosts(OneMachine):
    """The DAG processor reads the DAGs from another folder than the workers and the triggerer.

    They know the connection from a secrets backend. Results go to object storage.

    :param connection: to Apiframe.
    :ivar images: the folder where tasks save; it stands for a bucket.
    :ivar xcoms: the folder for results, likewise.
    """

    def __init__(self, connection: dict[str, str]) -> None:
        super().__init__()
        self.images, self.xcoms = self.home / "images", self.home / "xcoms"
        workers_folder = self.home / "workers" / "dags"
        workers_folder.mkdir(parents=True)
        shutil.rmtree(self.home / "dags")
        (self.home / "dags").mkdir()
        source = textwrap.dedent(DAG_FILE).replace("IMAGES", str(self.images))
        for folder in (self.home / "dags", workers_folder):
            (folder / "across_hosts.py").write_text(
                source.replace("WORKERS_FOLDER", str(workers_folder))
            )
        vault = self.home / "vault.json"
        vault.write_text(json.dumps({"apiframe_default": connection}))
        self.env |= {
            "AIRFLOW__WORKERS__SECRETS_BACKEND": (
                "airflow.secrets.local_filesystem.LocalFilesystemBackend"
            ),
            "AIRFLOW__WORKERS__SECRETS_BACKEND_KWARGS": json.dumps(
                {"connections_file_path": str(vault)}
            ),
            "AIRFLOW__CORE__XCOM_BACKEND": (
                "airflow.providers.common.io.xcom.backend.XComObjectStorageBackend"
            ),
            "AIRFLOW__COMMON_IO__XCOM_OBJECTSTORAGE_PATH": f"file://{self.xcoms}",
            "AIRFLOW__COMMON_IO__XCOM_OBJECTSTORAGE_THRESHOLD": "0",
        }
        self._for_workers = {
            **self.env,
            "AIRFLOW__CORE__DAGS_FOLDER": str(workers_folder),
        }
        self._for_dag_processor = self.env

    def _start(self, *arguments: str) -> int:
        is_dag_processor = arguments[0] == "dag-processor"
        self.env = self._for_dag_processor if is_dag_processor else self._for_workers
        return super()._start(*arguments)


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(latency=2.0, api_keys=[KEY]) as sandbox:
        yield sandbox


@pytest.fixture
def hosts(airflow_3_3: None, sandbox: Sandbox, request: pytest.FixtureRequest) -> Iterator[Hosts]:
    connection = {"conn_type": "apiframe", "host": sandbox.url, "password": KEY}
    with running(Hosts(connection), request.session) as hosts:
        yield hosts


def test_a_dag_runs_where_only_database_and_object_storage_are_shared(
    hosts: Hosts, sandbox: Sandbox
) -> None:
    hosts.api.start_run("across_hosts", "a_run", {})
    wait_until(lambda: hosts.api.run_ended("across_hosts", "a_run"), "the run ends", 300, every=1)
    tasks = hosts.api.tasks("a_run", fresh=True)
    assert {task["state"] for task in tasks} == {"success"}, hosts.task_logs("a_run")
    assert sandbox.state.jobs_paid == 3
    objects = Counter(
        path.relative_to(hosts.xcoms).parts[2] for path in hosts.xcoms.rglob("*") if path.is_file()
    )
    assert objects == {"posters": 4, "resize": 2, "submit": 2, "collect": 1, "use": 1}
    saved = {path.suffix for path in hosts.images.rglob("*") if path.is_file()}
    assert saved == {".png"}
    (used,) = (hosts.xcoms / "across_hosts" / "a_run" / "use").iterdir()
    uris = json.loads(used.read_bytes())
    assert len(uris) == 3
    assert all(Path(uri.removeprefix("file://")).is_file() for uri in uris[:2])
    for path in hosts.home.rglob("*"):
        if path.is_file() and path.name != "vault.json" and os.access(path, os.R_OK):
            assert KEY.encode() not in path.read_bytes(), path
