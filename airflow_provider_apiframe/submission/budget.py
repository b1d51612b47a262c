"""What an image may cost, asked before it is paid."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import TYPE_CHECKING

from airflow_provider_apiframe.api.errors import BudgetExceededError
from airflow_provider_apiframe.api.models import ModelInfo

if TYPE_CHECKING:
    from airflow_provider_apiframe.api.params.request import ImageRequest
    from airflow_provider_apiframe.hooks.apiframe import ApiframeHook

log = logging.getLogger(__name__)


def price_of(request: ImageRequest, models: Iterable[ModelInfo]) -> float | None:
    """Return the most that a request may cost, in credits; None where the catalogue does not say.

    :param models: the catalogue, of all modalities: which of them holds the image tools is not
        documented.
    """
    prices = [
        highest_price(entry, request.outputs) for entry in models if entry.id == request.model
    ]
    return max((price for price in prices if price is not None), default=None)


def highest_price(entry: ModelInfo, outputs: int = 1) -> float | None:
    """Return the most that a job of a model may cost, in credits; None if that is not said.

    ``costMax`` is the top of the vendor's range: of the whole job where ``pricingMode`` is "flat",
    else of each output. One that is not said is taken for the dearer of the two.

    :param outputs: images that the job makes, >= 1.
    """
    if entry.cost_max is None:
        return None
    return entry.cost_max if entry.pricing_mode == "flat" else entry.cost_max * outputs


def catalogue(hook: ApiframeHook, *, retry: bool = True) -> list[ModelInfo]:
    """Return the vendor's catalogue of all modalities. Free."""
    return hook.list_models(None, retry=retry)


def check_budget(
    hook: ApiframeHook,
    request: ImageRequest,
    max_credits: float,
    *,
    first_try: bool,
    models: list[ModelInfo] | None = None,
) -> None:
    """Refuse an image that may cost more than it is allowed to. Asks free routes only.

    The vendor names a price range per model, and the price only after the image is made; so the top
    of the range counts.

    :param max_credits: credits the image may cost.
    :param first_try: no earlier try can have submitted the image. Then the team's credits must
        cover it, too; a retry must not ask that, for its image may be paid already.
    :param models: the catalogue, where it was read already.
    :raises BudgetExceededError: it may cost more, the team has less, or the catalogue does not say
        what it may cost.
    """
    limit = f"max_credits={max_credits:g}"
    nothing = (
        "Nothing was submitted."
        if first_try
        else "This try submitted nothing; an earlier one may have."
    )
    price = _highest_price(hook, request, limit, nothing, models)
    what = f"An image with model {request.model!r}"
    if price > max_credits:
        raise BudgetExceededError(
            f"{what} may cost {price:g} credits, more than {limit}. "
            f"{nothing} Raise max_credits or choose a cheaper model."
        )
    if first_try:
        _check_balance(hook, price, what, nothing)
    log.info("An image with model %s may cost %g credits, within %s", request.model, price, limit)


def check_budget_of_round(
    hook: ApiframeHook, request: ImageRequest, max_credits: float, *, images: int, spent: float
) -> float:
    """Refuse several images of one model that together may cost more than is left.

    For a task that submits none of them itself: what comes after it submits them. Asks free routes
    only.

    :param request: what each of them is made of, but for its seed.
    :param max_credits: credits that these images may cost with what was spent before.
    :param images: how many of them, >= 1.
    :param spent: credits that earlier images cost.
    :returns: the most that one of them may cost, in credits.
    :raises BudgetExceededError: as :func:`check_budget`.
    """
    limit = f"max_credits={max_credits:g}"
    nothing = "Nothing was submitted for them."
    price = _highest_price(hook, request, limit, nothing)
    what = f"{images} images with model {request.model!r}"
    if price * images + spent > max_credits:
        before = f" after the {spent:g} that were spent" if spent else ""
        raise BudgetExceededError(
            f"{what} may cost {price * images:g} credits{before}, more than {limit}. {nothing} "
            "Raise max_credits, ask for fewer images or choose a cheaper model."
        )
    _check_balance(hook, price * images, what, nothing)
    log.info("%s may cost %g credits, with %g spent within %s", what, price * images, spent, limit)
    return price


def _highest_price(
    hook: ApiframeHook,
    request: ImageRequest,
    limit: str,
    nothing: str,
    models: list[ModelInfo] | None = None,
) -> float:
    price = price_of(request, catalogue(hook) if models is None else models)
    if price is None:
        raise BudgetExceededError(
            f"Apiframe's catalogue does not say what an image with model {request.model!r} may "
            f"cost, so {limit} cannot be kept. {nothing} Choose a model of the catalogue "
            "(ApiframeHook().list_models()), or leave max_credits out."
        )
    return price


def _check_balance(hook: ApiframeHook, price: float, what: str, nothing: str) -> None:
    team = hook.get_account().team
    if team and team.credits is not None and team.credits < price:
        raise BudgetExceededError(
            f"{what} may cost {price:g} credits, the team has {team.credits:g}. {nothing} "
            "Buy credits at console.apiframe.ai."
        )
