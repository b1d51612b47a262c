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
from airflow_provider_apiframe.submission.idempotency import IdempotencyScope

if TYPE_CHECKING:
    from airflow_provider_apiframe.api.params.request import ImageRequest
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
    request: ImageRequest,
    max_credits: float | None,
    *,
    scope: IdempotencyScope,
    run_started: datetime | None,
    is_recorded: bool | None,
) -> Admission:
    """Check the task's ``max_credits`` and the connection's ``max_credits_per_day``.

    Asks nothing where neither is set.

    :param scope: of the tries that want the image.
    :param run_started: when the task's run started, None where that is not known.
    :param is_recorded: whether an earlier try recorded that it was about to submit the image, which
        each does where ``max_credits_per_day`` is set; None where nothing can be recorded.
    :raises BudgetExceededError: a limit forbids the submit, and no earlier try can have made it.
    """
    is_limited_per_day = hook.client.settings.max_credits_per_day is not None
    if max_credits is None and not is_limited_per_day:
        return Admission()
    first_try = scope.earlier_tries == 0
    models = catalogue(hook)
    try:
        if max_credits is not None:
            check_budget(hook, request, max_credits, first_try=first_try, models=models)
        return Admission(check_day_budget(hook, price_of(request, models)))
    except BudgetExceededError as error:
        if first_try:
            raise
        # The list of jobs says no more than that some task of the run submitted such an image. By
        # that alone, all retried tasks of a large run would exceed the day's limit.
        if is_limited_per_day and (scope.starts_here if is_recorded is None else not is_recorded):
            raise
        if not is_recorded and not may_have_submitted(hook, request, run_started):
            raise
        log.warning(
            "An earlier try may have paid for the image already, so this one goes on: %s", error
        )
        return Admission(only_if_paid=error)
