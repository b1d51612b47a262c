"""Both limits of one submit, and the retry that they must not keep from a paid image."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING

from airflow_provider_apiframe.api.errors import BudgetExceededError
from airflow_provider_apiframe.submission.budget import catalogue, check_budget, price_of
from airflow_provider_apiframe.submission.day_budget import DayReservation, check_day_budget
from airflow_provider_apiframe.submission.earlier_jobs import may_have_submitted

if TYPE_CHECKING:
    from airflow_provider_apiframe.api.params.request import GenerateRequest
    from airflow_provider_apiframe.hooks.apiframe import ApiframeHook

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Admission:
    """That a try may submit its image, or reconnect to it.

    :param reservation: what it holds of the day's credits.
    :param only_if_paid: why it may only reconnect: an earlier try may have paid.
    """

    reservation: DayReservation = field(default_factory=DayReservation)
    only_if_paid: BudgetExceededError | None = None

    def check_new(self) -> None:
        """Refuse a submit that is surely new.

        :raises BudgetExceededError: a limit forbids it.
        """
        if self.only_if_paid:
            raise self.only_if_paid


def check_limits(
    hook: ApiframeHook,
    request: GenerateRequest,
    max_credits: float | None,
    *,
    first_try: bool,
    run_started: datetime | None,
) -> Admission:
    """Check the task's ``max_credits`` and the connection's ``max_credits_per_day``.

    Asks nothing where neither is set.

    :param run_started: when the task's run started, None where that is not known.
    :raises BudgetExceededError: a limit forbids the submit, and no earlier try can have made it.
    """
    per_day = hook.client.settings.max_credits_per_day
    if max_credits is None and per_day is None:
        return Admission()
    models = catalogue(hook)
    try:
        if max_credits is not None:
            check_budget(hook, request, max_credits, first_try=first_try, models=models)
        return Admission(check_day_budget(hook, price_of(request, models)))
    except BudgetExceededError as error:
        if first_try or not may_have_submitted(hook, request.model, run_started):
            raise
        log.warning(
            "An earlier try may have paid for the image already, so this one goes on: %s", error
        )
        return Admission(only_if_paid=error)
