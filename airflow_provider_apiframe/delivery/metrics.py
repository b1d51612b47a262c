"""What a delivered image cost, counted."""

from __future__ import annotations

import logging
import math
from typing import Any

from airflow.providers.common.compat.sdk import Stats

from airflow_provider_apiframe.api.models import Job

log = logging.getLogger(__name__)

CREDITS_METRIC = "apiframe.credits_spent"
"""Counter, in credits, tagged with the model, the DAG and the task."""

COUNTED_KEY = "apiframe_counted_job"
"""Under this key Airflow's task state store holds the id of the job that was counted last."""


def report_credits(
    job: Job,
    max_credits: float | None = None,
    *,
    dag_id: str,
    task_id: str,
    store: Any = None,
) -> None:
    """Count what a delivered image cost, and warn if that is more than it was allowed to.

    It is paid and delivered, so nothing fails here.

    To be called when all else is done, for a try that ends later, before Airflow hears of its
    success, is made again. Then the store says that the job was counted. It is counted first and
    recorded after that: a process that dies between the two lets the next one count it twice, which
    the account's balance disproves. The other way round it would never be counted, and spending
    that nobody sees is worse. Hence without a store, or with one that a clear emptied, each try
    that comes this far counts.

    :param dag_id: of the task that delivers it, as *task_id* is. Mapped tasks share one, so there
        are no more tags than a user writes tasks.
    :param store: Airflow's task state store, None where there is none (before Airflow 3.3).
    """
    cost = job.credit_cost
    if cost is None:
        log.warning("Apiframe does not say what job %s cost", job.id)
        return
    if not 0 <= cost < math.inf:
        log.warning("Apiframe says that job %s cost %g credits, which is not counted", job.id, cost)
        return
    if max_credits is not None and cost > max_credits:
        log.warning("Job %s cost %g credits, more than max_credits=%g", job.id, cost, max_credits)
    tags = {"model": job.model or "unknown", "dag_id": dag_id, "task_id": task_id}
    if not _was_counted(job, store) and _count(job, cost, tags):
        _record_counted(job, store)


def _count(job: Job, cost: float, tags: dict[str, str]) -> bool:
    """Return whether Airflow's metrics took it."""
    try:
        Stats.incr(CREDITS_METRIC, round(cost), tags=tags)
    except Exception as error:  # whatever it is: the image is paid and delivered
        log.warning("The %g credits of job %s could not be counted: %s", cost, job.id, error)
        return False
    return True


def _was_counted(job: Job, store: Any) -> bool:
    if store is None:
        return False
    try:
        return bool(store.get(COUNTED_KEY) == job.id)
    except Exception as error:  # as above
        log.warning(
            "Whether job %s was counted before cannot be read from the task state store, so it is "
            "counted: %s",
            job.id,
            error,
        )
        return False


def _record_counted(job: Job, store: Any) -> None:
    if store is None:
        return
    try:
        store.set(COUNTED_KEY, job.id)
    except Exception as error:  # as above
        log.warning(
            "That job %s was counted could not be recorded in the task state store: %s",
            job.id,
            error,
        )
