"""What the jobs of an API key's user cost since midnight UTC, by the list of jobs."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, date, datetime, time, timedelta
from typing import TYPE_CHECKING, NamedTuple

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from airflow_provider_apiframe.api.errors import BudgetExceededError
from airflow_provider_apiframe.api.models import Job, ModelInfo
from airflow_provider_apiframe.submission.budget import catalogue, highest_price

if TYPE_CHECKING:
    from airflow_provider_apiframe.hooks.apiframe import ApiframeHook

JOBS_PER_PAGE = 100
MAX_PAGES = 300
"""A day of more jobs than that cannot be summed in time."""

LIST_LAG = timedelta(minutes=1)
"""For so long the list may not show a job that was accepted."""

ENDED_AFTER = timedelta(minutes=30)
"""A job that has not ended by then counts as it is: the next scans read only younger ones."""


class DayScan(BaseModel):
    """What one scan of the list found.

    :param day: in UTC, by this machine's clock.
    :param begun: when the scan began, epoch seconds by this machine's clock.
    :param settled: credits of the jobs up to *settled_through*, which do not change any more.
    :param settled_through: when the newest of those was created, by the API's clock.
    :param unsettled: credits of the jobs after that.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    day: date
    begun: float
    settled: float = Field(0.0, ge=0)
    settled_through: AwareDatetime | None = None
    unsettled: float = Field(0.0, ge=0)

    @property
    def midnight(self) -> datetime:
        """When the day began."""
        return datetime.combine(self.day, time.min, UTC)

    @property
    def spent(self) -> float:
        """Credits that all jobs of the day cost."""
        return self.settled + self.unsettled


class Scanned(NamedTuple):
    """A scan, and the ids of the jobs that it read."""

    scan: DayScan
    job_ids: frozenset[str]


def scan_day(
    hook: ApiframeHook, now: float, known: DayScan | None = None, *, retry: bool = True
) -> Scanned:
    """Sum what the jobs since midnight cost, newest first. Free.

    A job counts with what it was charged, which is nothing once it FAILED: that is refunded. Where
    the API does not say, it counts with the highest price of its model in the catalogue, or, where
    that is not said, with the highest of all.

    :param now: epoch seconds.
    :param known: an earlier scan. What cannot have changed since then is not read again.
    :param retry: as in :meth:`.ApiframeHook.list_jobs`.
    :raises BudgetExceededError: the day has more jobs than can be summed, or a job has no price.
    """
    day = datetime.fromtimestamp(now, UTC).date()
    if known is None or known.day != day:
        known = DayScan(day=day, begun=now)
    jobs = _jobs_after(hook, known, retry=retry)
    unpriced = any(_charge(job) is None for job in jobs)
    models = catalogue(hook, retry=retry) if unpriced else []
    costs = {job.id: _cost(job, models) for job in jobs}
    settled = _settled(jobs)
    if settled:
        since = max(job.created for job in settled if job.created)
        known = known.model_copy(
            update={
                "settled": known.settled + sum(costs[job.id] for job in settled),
                "settled_through": since,
            }
        )
    unsettled = sum(costs.values()) - sum(costs[job.id] for job in settled)
    scan = known.model_copy(update={"begun": now, "unsettled": max(0.0, unsettled)})
    return Scanned(scan, frozenset(costs))


def _jobs_after(hook: ApiframeHook, known: DayScan, *, retry: bool) -> list[Job]:
    """Return the jobs of the day that are not settled by *known*, each once."""
    found: dict[str, Job] = {}
    cursor = None
    for _ in range(MAX_PAGES):
        page = hook.list_jobs(limit=JOBS_PER_PAGE, cursor=cursor, retry=retry)
        for job in page.jobs:
            if job.created is not None:
                is_settled = known.settled_through and job.created <= known.settled_through
                if job.created < known.midnight or is_settled:
                    return list(found.values())
            found[job.id] = job
        if page.next_cursor in (None, cursor):
            return list(found.values())
        cursor = page.next_cursor
    raise BudgetExceededError(
        f"There are more than {MAX_PAGES * JOBS_PER_PAGE:,} jobs since midnight UTC. What they "
        "cost cannot be summed in time, so max_credits_per_day cannot be kept. Nothing was "
        "submitted. Leave it out of the connection, or use a key of another user."
    )


def _settled(jobs: list[Job]) -> list[Job]:
    """Return the oldest of the jobs, up to the first that may change, or may hide another one."""
    created = [job.created for job in jobs if job.created is not None]
    if not created or len(created) < len(jobs):
        return []
    newest = max(created)  # by the API's clock, as all of these
    first_open = min(
        (
            job.created
            for job in jobs
            if job.created
            and (
                job.created > newest - LIST_LAG
                or (_may_change(job) and job.created > newest - ENDED_AFTER)
            )
        ),
    )
    return [job for job in jobs if job.created and job.created < first_open]


def _may_change(job: Job) -> bool:
    return not job.is_terminal or _charge(job) is None


def _charge(job: Job) -> float | None:
    """Return what a job was charged, None where that is not known."""
    if job.status == "FAILED":
        return 0.0  # "refunded in full", says the vendor, whatever the job still shows
    cost = job.credit_cost
    if cost == 0 and not job.is_terminal:
        return None  # it may be said once the job has ended
    return float(cost) if cost is not None and 0 <= cost < float("inf") else None


def _cost(job: Job, models: Iterable[ModelInfo]) -> float:
    charge = _charge(job)
    if charge is not None:
        return charge
    outputs = max(1, len(job.image_urls))
    prices = [
        (entry.id == job.model, price)
        for entry in models
        if (price := highest_price(entry, outputs)) is not None
    ]
    if not prices:
        raise BudgetExceededError(
            f"Apiframe does not say what job {job.id} cost, and its catalogue names no prices, so "
            "max_credits_per_day cannot be kept. Nothing was submitted. Try again later, or leave "
            "it out of the connection."
        )
    # Of the job's own model, where that has a price; else of all.
    own = [price for is_own, price in prices if is_own]
    return max(own or [price for _, price in prices])
