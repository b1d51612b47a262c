"""Many images in one task, and a task that does nothing."""

from __future__ import annotations

from datetime import timedelta

from airflow.sdk import DAG
from recording import Nothing, Recorded

from airflow_provider_apiframe.operators.batch import FluxGenerateBatchOperator


class RecordedBatch(Recorded, FluxGenerateBatchOperator):
    """The operator, which records its starts."""


with DAG("one_batch", schedule=None):
    Nothing(task_id="nothing") >> RecordedBatch(
        task_id="images",
        requests="{{ dag_run.conf['requests'] }}",
        flux_params={"width": 256, "height": 256, "output_format": "jpg"},
        save_to="{{ dag_run.conf['save_to'] }}",
        apiframe_conn_id="{{ dag_run.conf['conn_id'] }}",
        deferrable=True,
        retries=2,
        retry_delay=timedelta(seconds=1),
    )
