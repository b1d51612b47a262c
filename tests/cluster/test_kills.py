"""Killed at each step of a task, its own worker process or all workers: one image, paid once."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future, wait
from functools import partial

import pytest
from cluster import WORKERS, Cluster
from rows import in_background, play_in, table_of
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

_all_are_there = threading.Barrier(len(STEPS), timeout=300)


def _kill_workers(stage: Stage, point: str) -> None:
    try:
        stage.stop_at(point)
    except Exception:
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


CHILD = _scenarios("worker's process killed", Stage.kill_worker_at)
WORKER = _scenarios("both workers killed", _kill_workers)


@pytest.fixture(scope="module")
def rows(cluster: Cluster, tables: dict[str, list[str]]) -> dict[Scenario, Future[Row]]:
    """What comes of each scenario. Those of a kind run at the same time."""
    rows: dict[Scenario, Future[Row]] = {}
    for scenarios in (CHILD, WORKER):
        together = {scenario: Future() for scenario in scenarios}
        for scenario, row in together.items():
            name = f"kill-{(CHILD + WORKER).index(scenario)}"
            in_background(partial(play_in, row, scenario, cluster, name))
        wait(together.values())
        rows |= together
    tables["Kills at each step"] = table_of(rows)
    return rows


@pytest.mark.parametrize("scenario", CHILD + WORKER, ids=str)
def test_one_image_is_paid_delivered_and_saved(
    scenario: Scenario, rows: dict[Scenario, Future[Row]]
) -> None:
    rows[scenario].result()
