"""Many images in as many mapped tasks, and a task that does nothing."""

from __future__ import annotations

import os
from datetime import timedelta

from airflow.sdk import DAG
from recording import Nothing, Recorded

from airflow_provider_apiframe.operators.flux import FluxGenerateOperator

PROMPTS = [f"A poster, number {number}" for number in range(int(os.environ["BENCHMARK_IMAGES"]))]
WARM_UP = 4


class RecordedImage(Recorded, FluxGenerateOperator):
    """The operator, which records its starts."""


for dag_id, prompts in {"mapped_tasks": PROMPTS, "mapped_warm_up": PROMPTS[:WARM_UP]}.items():
    with DAG(dag_id, schedule=None):
        Nothing(task_id="nothing") >> RecordedImage.partial(
            task_id="images",
            flux_params={"width": 256, "height": 256, "output_format": "jpg"},
            save_to="{{ dag_run.conf['save_to'] }}",
            apiframe_conn_id="{{ dag_run.conf['conn_id'] }}",
            deferrable=True,
            retries=2,
            retry_delay=timedelta(seconds=1),
        ).expand(prompt=prompts)
