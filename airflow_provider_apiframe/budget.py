"""What a picture may cost: asked before it is paid, told after, and counted."""

from __future__ import annotations

import logging
import math
from typing import TYPE_CHECKING

from airflow.providers.common.compat.sdk import Stats

from airflow_provider_apiframe.api.errors import BudgetExceededError

if TYPE_CHECKING:
    from airflow_provider_apiframe.api.models import Job
    from airflow_provider_apiframe.hooks.apiframe import ApiframeHook

log = logging.getLogger(__name__)

CREDITS_METRIC = "apiframe.credits_spent"
"""Counter, in credits, tagged with the model."""


def check_budget(hook: ApiframeHook, model: str, max_credits: float, *, first_try: bool) -> None:
    """Refuse a picture that may cost more than it is allowed to. Asks free routes only.

    The vendor names a price range per model, and the price only after the picture is made; so the top of the range counts.

    :param max_credits: credits the picture may cost.
    :param first_try: no earlier try can have submitted the picture. Then the team's credits must cover it, too; a retry must not
        ask that, for its picture may be paid already.
    :raises BudgetExceededError: it may cost more, the team has less, or the catalogue does not say what it may cost.
    """
    entry = next((entry for entry in hook.list_models() if entry.id == model), None)
    price = entry.cost_max if entry else None
    limit = f"max_credits={max_credits:g}"
    nothing = "Nothing was submitted." if first_try else "This try submitted nothing; an earlier one may have."
    if price is None:
        raise BudgetExceededError(
            f"Apiframe's catalogue does not say what a picture with model {model!r} may cost, so {limit} cannot be kept. "
            f"{nothing} Choose a model of the catalogue (ApiframeHook().list_models()), or leave max_credits out."
        )
    if price > max_credits:
        raise BudgetExceededError(
            f"A picture with model {model!r} may cost {price:g} credits, more than {limit}. {nothing} "
            "Raise max_credits or choose a cheaper model."
        )
    team = hook.get_account().team if first_try else None
    if team and team.credits is not None and team.credits < price:
        raise BudgetExceededError(
            f"A picture with model {model!r} may cost {price:g} credits, the team has {team.credits:g}. {nothing} "
            "Buy credits at console.apiframe.ai."
        )
    log.info("A picture with model %s may cost %g credits, within %s", model, price, limit)


def report_credits(job: Job, max_credits: float | None = None, *, counted_before: bool = False) -> None:
    """Count what a delivered picture cost, and warn if that is more than it was allowed to. It is paid, so it is delivered.

    :param counted_before: whether the same task delivered this picture before.
    """
    if job.credit_cost is None:
        log.warning("Apiframe does not say what job %s cost", job.id)
        return
    if max_credits is not None and job.credit_cost > max_credits:
        log.warning("Job %s cost %g credits, more than max_credits=%g", job.id, job.credit_cost, max_credits)
    if not counted_before and math.isfinite(job.credit_cost):
        Stats.incr(CREDITS_METRIC, round(job.credit_cost), tags={"model": job.model or "unknown"})
