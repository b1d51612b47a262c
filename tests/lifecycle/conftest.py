"""One Airflow for all tests here; all scenarios at the same time; tables at the end."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, wait
from importlib.metadata import PackageNotFoundError, version

import pytest
from one_machine import OneMachine
from scenarios import SCENARIOS
from stage import Row, Scenario, Stage

Tables = dict[str, list[str]]
TABLES = pytest.StashKey[Tables]()
HEADER = "{:<38} {:<10} {:>5} {:>7} {:>7} {:>4} {:>6} {:>7}  {}"


def pytest_configure(config: pytest.Config) -> None:
    config.stash[TABLES] = {}


@pytest.fixture(scope="session")
def tables(pytestconfig: pytest.Config) -> Tables:
    """Lines to print when all is over, by their heading."""
    return pytestconfig.stash[TABLES]


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
    """A running Airflow. Its files stay when a test failed."""
    deployment = OneMachine()
    failed = request.session.testsfailed
    try:
        deployment.start()
        yield deployment
    except BaseException:
        failed = -1
        raise
    finally:
        keep = request.session.testsfailed != failed
        deployment.close(keep_files=keep)
        if keep:
            print(f"\nAirflow's logs and database are in {deployment.home}")


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
        name = f"scenario-{SCENARIOS.index(scenario)}"
        try:
            with Stage(scenario, airflow, name) as stage:
                rows[scenario].set_result(stage.perform())
        except Exception as error:
            rows[scenario].set_exception(error)

    def play_the_others() -> None:
        wait([rows[scenario] for scenario in first])
        for scenario in selected:
            if scenario.alone:
                play(scenario)

    for scenario in first:
        _in_background(lambda scenario=scenario: play(scenario))
    _in_background(play_the_others)
    yield rows
    if not rows:
        return
    lines = [
        HEADER.format(
            "scenario", "mode", "tries", "submits", "created", "paid", "reused", "seconds", "result"
        )
    ]
    tables["Scenarios"] = lines + [
        _line(scenario, future) for scenario, future in rows.items() if future.done()
    ]


def _in_background(work: Callable[[], None]) -> None:
    # Daemons, so that an interrupted test run does not wait for them.
    threading.Thread(target=work, daemon=True).start()


def _line(scenario: Scenario, future: Future[Row]) -> str:
    if future.exception():
        return HEADER.format(scenario.title, scenario.mode, *[""] * 6, "FAILED")
    row = future.result()
    counts = (
        row.tries,
        row.submits,
        row.created,
        row.paid,
        "yes" if row.reused else "no",
        f"{row.seconds:.0f}",
    )
    return HEADER.format(scenario.title, scenario.mode, *counts, "ok")


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    for heading, lines in config.stash[TABLES].items():
        terminalreporter.section(heading)
        terminalreporter.write_line("\n".join(lines))
