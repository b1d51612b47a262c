"""The DAG that goes on while parts of the cluster end."""

from __future__ import annotations

import os
from datetime import timedelta
from typing import Any

from airflow.sdk import dag, task

from airflow_provider_apiframe.operators.flux import FluxGenerateOperator

SHARED = f"file://{os.environ['AIRFLOW_HOME']}/saved"


@task
def prompts(kind: str, params: dict[str, Any], run_id: str) -> list[str]:
    return [f"{run_id}, {kind} image {number}" for number in range(params[kind])]


@dag(
    schedule=None,
    params={"conn_id": "", "deferrable": 0, "sync": 0},
    default_args={"retries": 60, "retry_delay": timedelta(seconds=1)},
)
def campaign() -> None:
    for kind in ("deferrable", "sync"):
        FluxGenerateOperator.partial(
            task_id=f"{kind}_image",
            apiframe_conn_id="{{ params.conn_id }}",
            deferrable=kind == "deferrable",
            poll_interval=1.0,
            save_to=f"{SHARED}/",
        ).expand(prompt=prompts.override(task_id=kind)(kind))


campaign()
