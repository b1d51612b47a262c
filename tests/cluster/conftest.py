"""One cluster for all tests here; tables at the end."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from cluster import Cluster
from deployment import DAGS

HERE = Path(__file__).parent
Tables = dict[str, list[str]]
TABLES = pytest.StashKey[Tables]()


def pytest_configure(config: pytest.Config) -> None:
    config.stash[TABLES] = {}


@pytest.fixture(scope="session")
def tables(pytestconfig: pytest.Config) -> Tables:
    """Lines to print when all is over, by their heading."""
    return pytestconfig.stash[TABLES]


@pytest.fixture(scope="session")
def cluster(request: pytest.FixtureRequest) -> Iterator[Cluster]:
    """A running cluster. Its files stay when a test failed."""
    cluster = Cluster(DAGS, HERE / "dags")
    failed = request.session.testsfailed
    try:
        cluster.start()
        yield cluster
    except BaseException:
        failed = -1
        raise
    finally:
        keep = request.session.testsfailed != failed
        cluster.close(keep_files=keep)
        if keep:
            print(f"\nAirflow's logs and database are in {cluster.home}")


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    for heading, lines in config.stash[TABLES].items():
        terminalreporter.section(heading)
        terminalreporter.write_line("\n".join(lines))
