"""One Airflow for all tests here; all scenarios at the same time; tables at the end."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Future, wait
from importlib.metadata import PackageNotFoundError, version

import pytest
from deployment import running
from one_machine import OneMachine
from rows import in_background, play_in, table_of
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
    calls = [item.callspec for item in request.session.items if hasattr(item, "callspec")]
    wanted = {call.params["scenario"] for call in calls if "scenario" in call.params}
    selected = [scenario for scenario in SCENARIOS if scenario in wanted]
    rows: dict[Scenario, Future[Row]] = {scenario: Future() for scenario in selected}
    first = [scenario for scenario in selected if not scenario.alone]

    def play(scenario: Scenario) -> None:
        play_in(rows[scenario], scenario, airflow, f"scenario-{SCENARIOS.index(scenario)}")

    def play_the_others() -> None:
        wait([rows[scenario] for scenario in first])
        for scenario in selected:
            if scenario.alone:
                play(scenario)

    for scenario in first:
        in_background(lambda scenario=scenario: play(scenario))
    in_background(play_the_others)
    yield rows
    if rows:
        tables["Scenarios"] = table_of(rows)
