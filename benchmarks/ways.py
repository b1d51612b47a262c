"""Three ways to wait for a job.

Each gives the moment it has the finished job, and the moment the job was completed. Each imports
what it needs by itself, so that the memory of a process is that of its own way.
"""

from __future__ import annotations

import base64
import json
import os
import time
from collections.abc import AsyncIterator
from datetime import datetime
from typing import Any

from benchmarks.processes import CONNECTION, HTTP_CONNECTION

POLL_INTERVAL = 2.0  # seconds; the vendor's own pace
A_DAY = 86_400.0


async def apiframe_job_trigger(job_id: str) -> AsyncIterator[tuple[float, float]]:
    """Wait as a deferred task of this provider does.

    :raises RuntimeError: the trigger gave up.
    """
    from airflow_provider_apiframe.triggers.job import ApiframeJobTrigger

    trigger = ApiframeJobTrigger(
        job_id, CONNECTION, deadline=time.time() + A_DAY, poll_interval=POLL_INTERVAL
    )
    async for event in trigger.run():
        moment = time.time()
        if event.payload["status"] != "finished" or event.payload["job"]["id"] != job_id:
            raise RuntimeError(f"job {job_id}: the trigger said {event.payload}")
        yield moment, _epoch_seconds(event.payload["job"]["completed_at"])
    await trigger.cleanup()


async def http_event_trigger(job_id: str) -> AsyncIterator[tuple[float, float]]:
    """Wait with the HTTP provider's trigger for responses.

    :raises RuntimeError: the trigger gave up.
    """
    from airflow.providers.http.triggers.http import HttpEventTrigger

    trigger = HttpEventTrigger(
        response_check_path="benchmarks.response_check.finished",
        http_conn_id=HTTP_CONNECTION,
        endpoint=f"/v2/jobs/{job_id}",
        poll_interval=POLL_INTERVAL,
    )
    async for event in trigger.run():
        moment = time.time()
        if event.payload["status"] != "success":
            raise RuntimeError(f"job {job_id}: the trigger said {event.payload}")
        yield (
            moment,
            _epoch_seconds(
                json.loads(base64.b64decode(event.payload["response"]["content"]))["completedAt"]
            ),
        )
    await trigger.cleanup()


def plain_loop(job_id: str) -> tuple[float, float]:
    """Wait as the vendor's examples do, which is what the body of a ``@task`` would hold."""
    import requests

    connection: dict[str, Any] = json.loads(os.environ[f"AIRFLOW_CONN_{CONNECTION.upper()}"])
    while True:
        job = requests.get(
            f"{connection['host']}/v2/jobs/{job_id}", headers={"X-API-Key": connection["password"]}
        ).json()
        if job["status"] in ("COMPLETED", "FAILED"):
            return time.time(), _epoch_seconds(job["completedAt"])
        time.sleep(POLL_INTERVAL)


def _epoch_seconds(moment: str) -> float:
    return datetime.fromisoformat(moment).timestamp()
