"""What came of scenarios that are played at the same time, and the table of it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, wait
from functools import partial
from typing import TypeVar

import pytest
from deployment import Deployment
from stage import Row, Scenario, Stage

S = TypeVar("S", bound=Scenario)

LINE = "{:<54} {:<10} {:>5} {:>7} {:>7} {:>4} {:>6} {:>7}  {}"


def in_background(work: Callable[[], None]) -> None:
    """Do *work* on a thread; an interrupted test run does not wait for it."""
    threading.Thread(target=work, daemon=True).start()


def play_in(
    row: Future[Row],
    scenario: Scenario,
    airflow: Deployment,
    name: str,
    kind: type[Stage] = Stage,
) -> None:
    """Play a scenario and set what comes of it as the result of *row*.

    :param name: of its run and connection.
    :param kind: of the stage.
    """
    try:
        with kind(scenario, airflow, name) as stage:
            row.set_result(stage.perform())
    except Exception as error:
        row.set_exception(error)


def play_all(
    scenarios: Sequence[Scenario], play: Callable[[Scenario, Future[Row]], None]
) -> dict[Scenario, Future[Row]]:
    """Play scenarios at the same time, and then those that need to be alone, one by one.

    :returns: what comes of each, at once; they are played on threads.
    """
    rows: dict[Scenario, Future[Row]] = {scenario: Future() for scenario in scenarios}
    together = [scenario for scenario in scenarios if not scenario.alone]

    def play_the_others() -> None:
        wait([rows[scenario] for scenario in together])
        for scenario, row in rows.items():
            if scenario.alone:
                play(scenario, row)

    for scenario in together:
        in_background(partial(play, scenario, rows[scenario]))
    in_background(play_the_others)
    return rows


def selected(session: pytest.Session, scenarios: Sequence[S]) -> list[S]:
    """Return those of *scenarios* that the chosen tests are about."""
    calls = [item.callspec for item in session.items if hasattr(item, "callspec")]
    wanted = {call.params["scenario"] for call in calls if "scenario" in call.params}
    return [scenario for scenario in scenarios if scenario in wanted]


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
