"""One Airflow for all tests here; all scenarios at the same time; tables at the end."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Future
from importlib.metadata import PackageNotFoundError, version

import pytest
from deployment import running
from one_machine import OneMachine
from rows import play_all, play_in, selected, table_of
from scenarios import SCENARIOS
from stage import Row, Scenario

Tables = dict[str, list[str]]


@pytest.fixture(scope="session")
def airflow_3_3() -> None:
    """Skip what the processes of an older Airflow do not do."""
    try:
        release = tuple(int(part) for part in version("apache-airflow-core").split(".")[:2])
    except PackageNotFoundError:  # Airflow 2
        release = (2,)
    if release < (3, 3):
        pytest.skip("the processes of these tests are those of Airflow 3.3 or newer")


@pytest.fixture(scope="session")
def airflow(airflow_3_3: None, request: pytest.FixtureRequest) -> Iterator[OneMachine]:
    with running(OneMachine(), request.session) as deployment:
        yield deployment


@pytest.fixture(scope="session")
def rows(
    request: pytest.FixtureRequest, airflow: OneMachine, tables: Tables
) -> Iterator[dict[Scenario, Future[Row]]]:
    """What comes of each of the selected scenarios.

    They run at the same time, but for those that need to be alone.
    """

    def play(scenario: Scenario, row: Future[Row]) -> None:
        play_in(row, scenario, airflow, f"scenario-{SCENARIOS.index(scenario)}")

    rows = play_all(selected(request.session, SCENARIOS), play)
    yield rows
    if rows:
        tables["Scenarios"] = table_of(rows)
