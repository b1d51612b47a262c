from __future__ import annotations

from airflow_provider_apiframe.api.models import Job
from airflow_provider_apiframe.polling.report import Report


def told(polls: list[tuple[float, str, float | None]]) -> list[float]:
    """When a wait that begins at 0 says how its job is, after these polls."""
    report = Report(0)
    return [
        now
        for now, status, progress in polls
        if report.is_due(Job(id="6f2c", status=status, progress=progress), now)
    ]


def test_a_new_status_is_told_at_once():
    polls = [(1, "QUEUED", None), (2, "PROCESSING", None), (3, "PROCESSING", None)]
    assert told(polls) == [2]


def test_each_quarter_of_the_progress_is_told_once():
    polls = [(now, "PROCESSING", 4 * now) for now in range(1, 26)]
    assert told(polls) == [1, 7, 13, 19, 25]


def test_what_does_not_change_is_told_every_half_minute():
    assert told([(now, "QUEUED", None) for now in range(0, 100, 5)]) == [30, 60, 90]


def test_a_wait_that_could_not_poll_is_told_of_too():
    report = Report(0)
    assert [now for now in range(0, 70, 10) if report.is_due(None, now)] == [30, 60]


def test_a_job_that_swings_to_and_fro_does_not_flood_the_log():
    polls = [
        (now, ("PROCESSING", "PAUSED")[now % 2], (0, 99, -5, 1e9)[now % 4]) for now in range(100)
    ]
    assert len(told(polls)) <= 1 + 100 / 10 + 4
