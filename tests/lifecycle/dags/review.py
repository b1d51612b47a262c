"""The DAGs whose images somebody has to approve."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from airflow.sdk import DAG, task
from breakpoints import reach

from airflow_provider_apiframe.operators.review import review_images
from airflow_provider_apiframe.operators.review_form import ReviewOperator

KINDS: dict[str, dict[str, Any]] = {
    "asked": {},
    "kept": {"regenerate_on_clear": False},
    "default_first": {"default": "first", "response_timeout": timedelta(seconds=5)},
    "default_none": {"response_timeout": timedelta(seconds=5)},
}

_execute_complete = ReviewOperator.execute_complete


def _breakable_execute_complete(self: Any, context: Any, event: Any) -> Any:
    reach("answered")
    return _execute_complete(self, context, event)


ReviewOperator.execute_complete = _breakable_execute_complete

for kind, options in KINDS.items():
    with DAG(f"review_{kind}", schedule=None, params={"conn_id": "", "prompt": ""}):
        chosen = review_images(
            2,
            prompt="{{ params.prompt }}",
            apiframe_conn_id="{{ params.conn_id }}",
            rounds=2,
            poll_interval=0.5,
            retries=5,
            retry_delay=timedelta(seconds=1),
            **options,
        )

        @task
        def publish(job_id: str, image: int) -> dict[str, Any]:
            return {"job_id": job_id, "image": image}

        publish(chosen["job_id"], chosen["image"])
