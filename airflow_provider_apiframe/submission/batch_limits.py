"""What a batch may cost, asked before each wave is paid."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import accumulate
from typing import TYPE_CHECKING

from airflow_provider_apiframe.api.errors import ApiframeError, BudgetExceededError
from airflow_provider_apiframe.api.models import ModelInfo
from airflow_provider_apiframe.api.validation import truncated_repr
from airflow_provider_apiframe.delivery.batch_lines import FAILED, is_unfinished
from airflow_provider_apiframe.delivery.manifest import ManifestLine
from airflow_provider_apiframe.submission.batch_plan import Batch, Step
from airflow_provider_apiframe.submission.budget import catalogue, highest_price, price_of
from airflow_provider_apiframe.submission.day_budget import DayReservation, check_day_budget
from airflow_provider_apiframe.submission.earlier_jobs import jobs_since

if TYPE_CHECKING:
    from airflow_provider_apiframe.hooks.apiframe import ApiframeHook

log = logging.getLogger(__name__)

_SHOWN_MODELS = 5

Prices = Mapping[str, float | None]
"""The most that a request may cost, by its identity; None where the catalogue does not say."""


@dataclass(frozen=True)
class WaveAdmission:
    """That a wave may be submitted.

    :param reservation: what it holds of the day's credits.
    :param prices: what each job may cost, where that was asked.
    """

    reservation: DayReservation
    prices: Prices

    def accepted(self, lines: Iterable[ManifestLine]) -> None:
        """Note which jobs were accepted, of requests that were submitted."""
        self.reservation.accepted_all(
            {
                line.job_id: self.prices.get(line.key)
                for line in lines
                if line.job_id is not None and line.status not in FAILED
            }
        )


@dataclass(frozen=True)
class BatchLimits:
    """The limits of a batch: its own, and the connection's for a day.

    :param hook: of the task's connection.
    :param max_credits: what all jobs of the batch may cost together, None without a limit.
    :param run_started: when the task's run started, None where that is not known.
    """

    hook: ApiframeHook
    max_credits: float | None
    run_started: datetime | None = None

    def check(
        self, batch: Batch, wave: Sequence[ManifestLine], *, may_be_paid: bool
    ) -> WaveAdmission:
        """Refuse a batch whose requests together may cost more than they are allowed to.

        Asks free routes only, and none where there is no limit.

        :param wave: what is about to be submitted.
        :param may_be_paid: an earlier try may have been killed while it submitted the wave. Then a
            limit does not keep this one from what was paid, if there may be such a job.
        :raises BudgetExceededError: they may exceed a limit, or nobody can tell.
        """
        if self.max_credits is None and self.hook.client.settings.max_credits_per_day is None:
            return WaveAdmission(DayReservation(), {})
        prices = _prices(batch, catalogue(self.hook))
        try:
            if self.max_credits is not None:
                self._check_batch(batch, prices, self.max_credits)
            return WaveAdmission(check_day_budget(self.hook, _sum(wave, prices)), prices)
        except BudgetExceededError as error:
            if not may_be_paid or not self._may_have_submitted(batch, wave):
                raise
            log.warning(
                "An earlier try may have paid for these images already, so this one goes on: %s",
                error,
            )
            return WaveAdmission(DayReservation(), prices)

    def _check_batch(self, batch: Batch, prices: Prices, max_credits: float) -> None:
        limit = f"max_credits={max_credits:g}"
        coming = batch.at(Step.SUBMIT)
        begun = batch.earlier_tries or any(line.job_id for line in batch.lines.values())
        nothing = f"Nothing {'more ' if begun else ''}was submitted."
        if (credits := _sum(coming, prices)) is None:
            unknown = {line.model for line in coming if prices[line.key] is None}
            shown = ", ".join(map(truncated_repr, sorted(unknown)[:_SHOWN_MODELS]))
            more = f" and {len(unknown) - _SHOWN_MODELS} others" * (len(unknown) > _SHOWN_MODELS)
            raise BudgetExceededError(
                "Apiframe's catalogue does not say what an image may cost with "
                f"{shown}{more}, so {limit} cannot be kept. {nothing} Choose models of the "
                "catalogue (ApiframeHook().list_models()), or leave max_credits out."
            )
        held = sum(_held(line, batch, prices) for line in batch.lines.values())
        if held + credits > max_credits:
            each = (prices[line.key] or 0.0 for line in coming)
            fit = sum(total <= max_credits for total in accumulate(each, initial=held)) - 1
            before = f", after {held:g} for those before them" if held else ""
            raise BudgetExceededError(
                f"{len(coming):,} images may cost {credits:g} credits{before}, more than {limit}: "
                f"the first {max(0, fit):,} of them would fit. {nothing} Raise max_credits, ask "
                "for fewer images or choose a cheaper model."
            )
        if not batch.earlier_tries and not held:
            self._check_balance(credits, len(coming))
        log.info(
            "%d images may cost %g credits, %g held, within %s", len(coming), credits, held, limit
        )

    def _check_balance(self, credits: float, images: int) -> None:
        team = self.hook.get_account().team
        if team and team.credits is not None and team.credits < credits:
            raise BudgetExceededError(
                f"{images:,} images may cost {credits:g} credits, the team has {team.credits:g}. "
                "Nothing was submitted. Buy credits at console.apiframe.ai."
            )

    def _may_have_submitted(self, batch: Batch, wave: Sequence[ManifestLine]) -> bool:
        """Return whether there is a job of the wave that an earlier try may have made.

        One that the manifest knows is none, nor is one with another prompt.
        """
        if self.run_started is None:
            return True
        known = {line.job_id for line in batch.lines.values()}
        wishes = [batch.requests[line.key].request for line in wave]
        try:
            for model in {request.model for request in wishes}:
                jobs, is_whole = jobs_since(self.hook, model, self.run_started)
                prompts = {request.prompt.strip() for request in wishes if request.model == model}
                for job in (job for job in jobs if job.id not in known):
                    made_from = self.hook.get_job(job.id).prompt  # the list leaves it out
                    if made_from is None or made_from.strip() in prompts:
                        return True
                if not is_whole:
                    return True
        except ApiframeError:
            return True  # nobody can say that there is none
        return False


def _prices(batch: Batch, models: list[ModelInfo]) -> dict[str, float | None]:
    prices = {key: price_of(wanted.request, models) for key, wanted in batch.requests.items()}
    # Of what is gone from the batch since it was paid the manifest knows the model alone.
    gone = [line for key, line in batch.lines.items() if key not in prices]
    highest = {entry.id: highest_price(entry) for entry in models} if gone else {}
    return prices | {line.key: highest.get(line.model) for line in gone}


def _sum(lines: Iterable[ManifestLine], prices: Prices) -> float | None:
    """Return what *lines* may cost together; None where one of them does not say."""
    total = 0.0
    for line in lines:
        price = prices.get(line.key)
        if price is None:
            return None
        total += price
    return total


def _held(line: ManifestLine, batch: Batch, prices: Prices) -> float:
    """Return what a line's job cost, or may cost while that is not known."""
    if line.job_id is None or line.status in FAILED or batch.step_of(line) is Step.SUBMIT:
        return 0.0
    # A job may be said to cost 0 as long as it goes on.
    if line.credit_cost is not None and not (line.credit_cost == 0 and is_unfinished(line)):
        return line.credit_cost
    return prices.get(line.key) or 0.0
