"""The DAGs that make many images in one task."""

from __future__ import annotations

import os
from datetime import timedelta
from typing import Any

from airflow.sdk import DAG
from breakpoints import BreakableBatch

KINDS: dict[str, dict[str, Any]] = {
    "batch": {},
    "batch_kept": {"regenerate_on_clear": False},
    "batch_in_waves": {"max_active": 15},
}

for mode, deferrable in {"sync": False, "deferrable": True}.items():
    for kind, options in KINDS.items():
        with DAG(f"{kind}_{mode}", schedule=None, params={"conn_id": "", "requests": ""}):
            BreakableBatch(
                task_id="images",
                requests="{{ params.requests }}",
                flux_params={
                    "aspect_ratio": "custom",
                    "width": 256,
                    "height": 256,
                    "output_format": "jpg",
                },
                save_to=f"{os.environ['AIRFLOW_HOME']}/saved/",
                min_success=1.0,
                apiframe_conn_id="{{ params.conn_id }}",
                deferrable=deferrable,
                poll_interval=0.5,
                retries=40,
                retry_delay=timedelta(seconds=1),
                **options,
            )
