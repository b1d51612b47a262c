"""What the jobs since midnight cost, by a list of jobs."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from airflow_provider_apiframe.api.errors import BudgetExceededError
from airflow_provider_apiframe.api.models import Job, JobPage, ModelInfo
from airflow_provider_apiframe.submission import day_scan
from airflow_provider_apiframe.submission.day_scan import DayScan, scan_day

MIDNIGHT = datetime(2026, 11, 26, tzinfo=UTC)
NOON = MIDNIGHT + timedelta(hours=12)


class Feed:
    """The list of jobs and the catalogue of an account; a page has two jobs."""

    def __init__(self, jobs: Iterable[Job], models: Iterable[ModelInfo] = ()) -> None:
        self.jobs = sorted(jobs, key=lambda job: job.created or NOON, reverse=True)
        self.models = list(models)
        self.pages = 0

    def list_jobs(self, *, limit: int, cursor: str | None, retry: bool) -> JobPage:
        self.pages += 1
        start = int(cursor or 0)
        more = start + 2 < len(self.jobs)
        return JobPage(
            jobs=self.jobs[start : start + 2], next_cursor=str(start + 2) if more else None
        )

    def list_models(self, modality: str | None, *, retry: bool) -> list[ModelInfo]:
        return self.models


def job(at: datetime, cost: float | None = 10, status: str = "COMPLETED", **fields: Any) -> Job:
    return Job(
        **{
            "id": at.isoformat(),
            "status": status,
            "model": "flux-2-flex",
            "credit_cost": cost,
            "created_at": at.isoformat(),
            **fields,
        }
    )


def scan(feed: Feed, known: DayScan | None = None, now: datetime = NOON) -> DayScan:
    return scan_day(feed, now.timestamp(), known).scan


def test_the_jobs_since_midnight_are_summed_over_all_pages():
    feed = Feed(job(MIDNIGHT + timedelta(hours=hour)) for hour in range(5))
    assert (scan(feed).spent, feed.pages) == (50, 3)


def test_the_scan_stops_at_the_first_job_before_midnight():
    yesterday = [job(MIDNIGHT - timedelta(milliseconds=1 + number)) for number in range(9)]
    feed = Feed([job(MIDNIGHT), *yesterday])
    assert (scan(feed).spent, feed.pages) == (10, 1)


def test_another_day_begins_with_nothing_spent():
    feed = Feed([job(NOON)])
    known = scan(feed)
    assert known.spent == 10
    assert scan(feed, known, NOON + timedelta(days=1)).spent == 0


@pytest.mark.parametrize(
    ("given", "spent"),
    [
        ({"status": "FAILED", "cost": 0}, 0),
        ({"status": "FAILED", "cost": None}, 0),
        ({"status": "FAILED", "cost": 10}, 0),
        ({"status": "CANCELLED", "cost": 0}, 0),
        ({"status": "CANCELLED", "cost": 10}, 10),
        ({"status": "PROCESSING", "cost": 10}, 10),
        ({"status": "SOMETHING_NEW", "cost": 10}, 10),
    ],
)
def test_a_job_counts_with_what_was_charged_and_not_refunded(given, spent):
    assert scan(Feed([job(NOON, **given)])).spent == spent


FLEX = ModelInfo(id="flux-2-flex", cost_max=7, pricing_mode="flat")
PER_OUTPUT = ModelInfo(id="gpt-image-2", cost_max=20, pricing_mode="per-output")


@pytest.mark.parametrize("cost", [None, -3, float("nan")])
@pytest.mark.parametrize(
    ("fields", "spent"),
    [
        ({"model": "flux-2-flex"}, 7),
        ({"model": "gpt-image-2"}, 20),
        (
            {"model": "gpt-image-2", "result": ["https://cdn.example/1", "https://cdn.example/2"]},
            40,
        ),
        ({"model": "unknown-9"}, 20),
        ({"model": None}, 20),
    ],
)
def test_a_job_whose_cost_is_not_told_counts_with_the_highest_price(fields, spent, cost):
    assert scan(Feed([job(NOON, cost, **fields)], [FLEX, PER_OUTPUT])).spent == spent


def test_without_any_price_nobody_can_tell_what_was_spent():
    with pytest.raises(BudgetExceededError, match="does not say what job"):
        scan(Feed([job(NOON, None)], [ModelInfo(id="flux-2-flex")]))


def test_what_cannot_change_any_more_is_not_read_again():
    jobs = [job(MIDNIGHT + timedelta(hours=hour)) for hour in range(10)]
    feed = Feed(jobs)
    known = scan(feed)
    again = Feed([*jobs, job(NOON)])
    assert (scan(again, known).spent, again.pages) == (110, 2)


def test_a_job_that_still_runs_is_read_again_and_so_is_its_refund():
    old = [job(NOON - timedelta(hours=1 + number)) for number in range(3)]
    young = job(NOON)
    running = job(NOON - timedelta(minutes=10), status="PROCESSING")
    known = scan(Feed([*old, running, young]))
    assert known.spent == 50
    failed = running.model_copy(update={"status": "FAILED", "credit_cost": 0})
    assert scan(Feed([*old, failed, young]), known).spent == 40


def test_a_job_that_never_ends_does_not_make_scans_long():
    stuck = job(NOON - timedelta(hours=2), status="PROCESSING")
    jobs = [stuck, *(job(NOON - timedelta(minutes=number * 2)) for number in range(20))]
    known = scan(Feed(jobs))
    feed = Feed(jobs)
    assert (scan(feed, known).spent, feed.pages) == (210, 1)


def test_a_job_that_the_list_shows_late_is_counted():
    """A minute late: the list is read from a copy of the vendor's database, perhaps."""
    jobs = [job(NOON - timedelta(seconds=seconds)) for seconds in (3600, 30, 0)]
    known = scan(Feed(jobs))
    late = job(NOON - timedelta(seconds=50))
    assert scan(Feed([*jobs, late]), known).spent == 40


def test_two_jobs_of_the_same_moment_both_count_once():
    same = [job(NOON - timedelta(hours=1), id="a"), job(NOON - timedelta(hours=1), id="b")]
    known = scan(Feed([*same, job(NOON)]))
    assert known.spent == 30
    assert scan(Feed([*same, job(NOON)]), known).spent == 30


def test_a_job_without_a_date_counts_and_nothing_is_settled_before_it():
    feed = Feed([job(NOON - timedelta(hours=1)), job(NOON, id="x", created_at=None), job(NOON)])
    known = scan(feed)
    assert (known.spent, known.settled_through) == (30, None)


def test_a_day_of_more_jobs_than_can_be_summed_is_refused(monkeypatch):
    monkeypatch.setattr(day_scan, "MAX_PAGES", 2)
    feed = Feed(job(MIDNIGHT + timedelta(hours=hour)) for hour in range(10))
    with pytest.raises(BudgetExceededError, match="more than 200 jobs since midnight"):
        scan(feed)
    assert feed.pages == 2


def test_a_list_whose_cursor_does_not_move_on_ends():
    feed = Feed([job(NOON)])
    feed.list_jobs = lambda **_: JobPage(jobs=[job(NOON)], next_cursor="same")  # type: ignore[method-assign]
    assert scan(feed).spent == 10
