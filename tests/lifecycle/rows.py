"""What came of scenarios that are played at the same time, and the table of it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future

from deployment import Deployment
from stage import Row, Scenario, Stage

LINE = "{:<54} {:<10} {:>5} {:>7} {:>7} {:>4} {:>6} {:>7}  {}"


def in_background(work: Callable[[], None]) -> None:
    """Do *work* on a thread; an interrupted test run does not wait for it."""
    threading.Thread(target=work, daemon=True).start()


def play_in(row: Future[Row], scenario: Scenario, airflow: Deployment, name: str) -> None:
    """Play a scenario and set what comes of it as the result of *row*.

    :param name: of its run and connection.
    """
    try:
        with Stage(scenario, airflow, name) as stage:
            row.set_result(stage.perform())
    except Exception as error:
        row.set_exception(error)


def table_of(rows: Mapping[Scenario, Future[Row]]) -> list[str]:
    """Return the lines of the table, without the rows that are not done."""
    header = LINE.format(
        "scenario", "mode", "tries", "submits", "created", "paid", "reused", "seconds", "result"
    )
    return [header, *(_line(scenario, row) for scenario, row in rows.items() if row.done())]


def _line(scenario: Scenario, future: Future[Row]) -> str:
    if future.exception():
        return LINE.format(scenario.title, scenario.mode, *[""] * 6, "FAILED")
    row = future.result()
    counts = (
        row.tries,
        row.submits,
        row.created,
        row.paid,
        "yes" if row.reused else "no",
        f"{row.seconds:.0f}",
    )
    return LINE.format(scenario.title, scenario.mode, *counts, "ok")
