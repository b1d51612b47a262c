"""No image of a batch is paid twice and none that is paid gets lost, whatever dies.

LIFECYCLE_SEED sets where workers are killed.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Future

import pytest
from batch_scenarios import BATCHES
from batch_stage import SEED, BatchRow, BatchScenario, BatchStage
from one_machine import OneMachine
from rows import play_all, play_in, selected
from stage import Row, Scenario

Rows = dict[Scenario, Future[Row]]
LINE = "{:<44} {:<10} {:>6} {:>5} {:>5} {:>7} {:>7} {:>4} {:>7} {:>6} {:>7}  {}"
HEADER = (
    "batch",
    "mode",
    "images",
    "kills",
    "tries",
    "submits",
    "created",
    "paid",
    "fetched",
    "reused",
    "seconds",
    "result",
)


@pytest.fixture(scope="module")
def batches(
    request: pytest.FixtureRequest, airflow: OneMachine, tables: dict[str, list[str]]
) -> Iterator[Rows]:
    """What comes of each of the selected scenarios."""

    def play(scenario: Scenario, row: Future[Row]) -> None:
        play_in(row, scenario, airflow, f"batch-{BATCHES.index(scenario)}", BatchStage)

    rows = play_all(selected(request.session, BATCHES), play)
    yield rows
    lines = [_line(scenario, row) for scenario, row in rows.items() if row.done()]
    tables[f"Batches, LIFECYCLE_SEED={SEED}"] = [LINE.format(*HEADER), *lines]


@pytest.mark.parametrize("scenario", BATCHES, ids=str)
def test_pays_for_each_image_once_and_saves_it(scenario: BatchScenario, batches: Rows) -> None:
    batches[scenario].result()


def _line(scenario: Scenario, future: Future[Row]) -> str:
    if future.exception():
        return LINE.format(scenario.title, scenario.mode, *[""] * 9, "FAILED")
    row = future.result()
    assert isinstance(row, BatchRow)
    counts = (
        row.images,
        row.kills,
        row.tries,
        row.submits,
        row.created,
        row.paid,
        row.fetched,
        row.reused_jobs,
        f"{row.seconds:.0f}",
    )
    return LINE.format(scenario.title, scenario.mode, *counts, "ok")
