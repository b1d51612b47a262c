"""What an image may cost, asked before it is paid."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from airflow_provider_apiframe.api.errors import BudgetExceededError

if TYPE_CHECKING:
    from airflow_provider_apiframe.hooks.apiframe import ApiframeHook

log = logging.getLogger(__name__)


def check_budget(hook: ApiframeHook, model: str, max_credits: float, *, first_try: bool) -> None:
    """Refuse an image that may cost more than it is allowed to. Asks free routes only.

    The vendor names a price range per model, and the price only after the image is made; so the top
    of the range counts.

    :param max_credits: credits the image may cost.
    :param first_try: no earlier try can have submitted the image. Then the team's credits must
        cover it, too; a retry must not ask that, for its image may be paid already.
    :raises BudgetExceededError: it may cost more, the team has less, or the catalogue does not say
        what it may cost.
    """
    entry = next((entry for entry in hook.list_models() if entry.id == model), None)
    price = entry.cost_max if entry else None
    limit = f"max_credits={max_credits:g}"
    nothing = (
        "Nothing was submitted."
        if first_try
        else "This try submitted nothing; an earlier one may have."
    )
    if price is None:
        raise BudgetExceededError(
            f"Apiframe's catalogue does not say what an image with model {model!r} may cost, so "
            f"{limit} cannot be kept. {nothing} Choose a model of the catalogue "
            "(ApiframeHook().list_models()), or leave max_credits out."
        )
    if price > max_credits:
        raise BudgetExceededError(
            f"An image with model {model!r} may cost {price:g} credits, more than {limit}. "
            f"{nothing} Raise max_credits or choose a cheaper model."
        )
    team = hook.get_account().team if first_try else None
    if team and team.credits is not None and team.credits < price:
        raise BudgetExceededError(
            f"An image with model {model!r} may cost {price:g} credits, the team has "
            f"{team.credits:g}. {nothing} Buy credits at console.apiframe.ai."
        )
    log.info("An image with model %s may cost %g credits, within %s", model, price, limit)
