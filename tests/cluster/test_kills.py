"""Killed at each step of a task, its own worker process or all workers: one image, paid once."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor

import pytest
from cluster import WORKERS, Cluster
from stage import Expected, Row, Scenario, Stage

POINTS = {
    "submitting": "before the submit",
    "responded": "before the response is read",
    "deferring": "before it defers",
    "polled": "between two polls",
    "saving": "while it saves",
    "resumed": "when it resumes",
}
MODES = {"deferring": ["deferrable"], "resumed": ["deferrable"], "polled": ["sync"]}
STEPS = [(point, mode) for point in POINTS for mode in MODES.get(point, ["sync", "deferrable"])]
ROW = "{:<56} {:<10} {:>5} {:>7} {:>4} {:>6} {:>7}  {}"

_all_are_there = threading.Barrier(len(STEPS), timeout=300)


def _kill_child(stage: Stage, point: str) -> None:
    stage.kill_worker_at(point)


def _kill_workers(stage: Stage, point: str) -> None:
    try:
        stage.stop_at(point)
    except AssertionError:
        _all_are_there.abort()  # the others need not wait for it
        raise
    if _all_are_there.wait() == 0:
        stage.airflow.kill(*WORKERS)
    _all_are_there.wait()


def _scenarios(title: str, kill: Callable[[Stage, str], None]) -> list[Scenario]:
    return [
        Scenario(
            f"{title} {POINTS[point]}",
            mode,
            lambda stage, point=point: kill(stage, point),
            Expected(tries=2, reused=point != "submitting"),
            kind="saved",
        )
        for point, mode in STEPS
    ]


CHILD = _scenarios("worker's process killed", _kill_child)
WORKER = _scenarios("both workers killed", _kill_workers)


@pytest.fixture(scope="module")
def rows(cluster: Cluster, tables: dict[str, list[str]]) -> dict[Scenario, Future[Row]]:
    """What comes of each scenario. Those of a kind run at the same time."""
    rows: dict[Scenario, Future[Row]] = {}

    def perform(scenario: Scenario) -> Row:
        name = f"kill-{(CHILD + WORKER).index(scenario)}"
        with Stage(scenario, cluster, name) as stage:
            return stage.perform()

    for scenarios in (CHILD, WORKER):
        with ThreadPoolExecutor(len(scenarios)) as stages:
            rows |= {scenario: stages.submit(perform, scenario) for scenario in scenarios}
    tables["Kills at each step"] = [
        ROW.format("scenario", "mode", "tries", "submits", "paid", "reused", "seconds", "result"),
        *(_line(scenario, row) for scenario, row in rows.items()),
    ]
    return rows


def _line(scenario: Scenario, future: Future[Row]) -> str:
    if future.exception():
        return ROW.format(scenario.title, scenario.mode, *[""] * 5, "FAILED")
    row = future.result()
    counts = (row.tries, row.submits, row.paid, str(row.reused), f"{row.seconds:.0f}")
    return ROW.format(scenario.title, scenario.mode, *counts, "ok")


@pytest.mark.parametrize("scenario", CHILD + WORKER, ids=str)
def test_one_image_is_paid_delivered_and_saved(
    scenario: Scenario, rows: dict[Scenario, Future[Row]]
) -> None:
    rows[scenario].result()
