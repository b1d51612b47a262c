"""What a delivered image cost, counted."""

from __future__ import annotations

import logging
import math

from airflow.providers.common.compat.sdk import Stats

from airflow_provider_apiframe.api.models import Job

log = logging.getLogger(__name__)

CREDITS_METRIC = "apiframe.credits_spent"
"""Counter, in credits, tagged with the model."""


def report_credits(
    job: Job, max_credits: float | None = None, *, counted_before: bool = False
) -> None:
    """Count what a delivered image cost, and warn if that is more than it was allowed to.

    It is paid, so it is delivered all the same.

    :param counted_before: whether the same task delivered this image before.
    """
    if job.credit_cost is None:
        log.warning("Apiframe does not say what job %s cost", job.id)
        return
    if max_credits is not None and job.credit_cost > max_credits:
        log.warning(
            "Job %s cost %g credits, more than max_credits=%g", job.id, job.credit_cost, max_credits
        )
    if not counted_before and math.isfinite(job.credit_cost):
        Stats.incr(CREDITS_METRIC, round(job.credit_cost), tags={"model": job.model or "unknown"})
