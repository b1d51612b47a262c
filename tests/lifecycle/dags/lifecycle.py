"""The DAGs that the scenarios and the chaos run."""

from __future__ import annotations

import os
from datetime import timedelta

from airflow.sdk import DAG
from breakpoints import BreakableFlux

from airflow_provider_apiframe.operators.flux import FluxGenerateOperator
from airflow_provider_apiframe.sensors.job import ApiframeJobSensor

MAPPED = 12
PATIENT = {"retries": 12, "retry_delay": timedelta(seconds=1)}
KINDS = {
    "image": {},
    "kept": {"regenerate_on_clear": False},
    "saved": {"save_to": f"{os.environ['AIRFLOW_HOME']}/saved/"},
}

for mode, deferrable in {"sync": False, "deferrable": True}.items():
    for kind, options in KINDS.items():
        with DAG(
            f"{kind}_{mode}",
            schedule=None,
            params={"conn_id": "", "prompt": ""},
            default_args=PATIENT,
        ):
            BreakableFlux(
                task_id="image",
                prompt="{{ params.prompt }}",
                apiframe_conn_id="{{ params.conn_id }}",
                deferrable=deferrable,
                poll_interval=0.5,
                **options,
            )

    with DAG(
        f"chaos_{mode}",
        schedule=None,
        params={"conn_id": ""},
        default_args={**PATIENT, "retries": 60},
    ):
        FluxGenerateOperator.partial(
            task_id="images",
            apiframe_conn_id="{{ params.conn_id }}",
            deferrable=deferrable,
            poll_interval=0.5,
        ).expand(prompt=[f"Image {number} of {{{{ run_id }}}}" for number in range(MAPPED)])

with DAG("collect", schedule=None, params={"conn_id": "", "job_id": ""}, default_args=PATIENT):
    ApiframeJobSensor(
        task_id="collect",
        job_id="{{ params.job_id }}",
        apiframe_conn_id="{{ params.conn_id }}",
        poke_interval=0.5,
    )
