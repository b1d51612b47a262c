"""An Airflow of its own for the tests, and a sandbox in place of Apiframe.

The environment is set before anything imports Airflow, which reads it once.
"""

from __future__ import annotations

import atexit
import gc
import importlib.util
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest

from airflow_provider_apiframe.sandbox.server import Sandbox

hypothesis.settings.register_profile("tests", deadline=None)  # a slow machine is no finding
hypothesis.settings.load_profile("tests")

Tables = dict[str, list[str]]
TABLES = pytest.StashKey[Tables]()

PACKAGE = Path(str(importlib.util.find_spec("airflow_provider_apiframe").origin)).parent  # type: ignore[union-attr]
# In the wheel the examples are inside the package, in the source tree beside it.
EXAMPLES = next(
    folder
    for folder in (PACKAGE / "example_dags", PACKAGE.parent / "example_dags")
    if folder.is_dir()
)

AIRFLOW_HOME = Path(tempfile.mkdtemp(prefix="apiframe-tests-"))
atexit.register(shutil.rmtree, AIRFLOW_HOME, ignore_errors=True)

for name in [
    name for name in os.environ if name.startswith(("AIRFLOW__", "AIRFLOW_CONN_", "AIRFLOW_VAR_"))
]:
    del os.environ[name]
os.environ |= {
    "AIRFLOW_HOME": str(AIRFLOW_HOME),
    "AIRFLOW__CORE__DAGS_FOLDER": str(AIRFLOW_HOME / "dags"),
    "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
    "AIRFLOW__CORE__TEST_CONNECTION": "Enabled",
}
# One folder for the examples and for the DAGs the tests write: Airflow 3 runs only what lies in its
# DAGs folder.
(AIRFLOW_HOME / "dags").mkdir()
for example in EXAMPLES.glob("*.py"):
    shutil.copy(example, AIRFLOW_HOME / "dags")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> object:
    """Keep tests/dags on two workers, each of which makes the database once; spread the others.

    The examples take as long as all the others there.
    """
    from xdist.scheduler import LoadScopeScheduling

    # Not --dist=loadgroup: with pytest 9.2 pytest-xdist 3.8 does not see the marks.
    class DagsTogether(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            if "tests/dags/" not in nodeid:
                return nodeid
            return "examples" if "test_examples" in nodeid else "dags"

    return DagsTogether(config, log)


def pytest_configure(config: pytest.Config) -> None:
    config.stash[TABLES] = {}


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    for heading, lines in config.stash[TABLES].items():
        terminalreporter.section(heading)
        terminalreporter.write_line("\n".join(lines))


@pytest.fixture(scope="session")
def tables(pytestconfig: pytest.Config) -> Tables:
    """Lines to print when all is over, by their heading."""
    return pytestconfig.stash[TABLES]


def pytest_collection_finish() -> None:
    """Keep the garbage collector from walking through all of Airflow's modules again and again."""
    gc.collect()
    gc.freeze()


class FakeTaskInstance:
    """What operators need of a task instance: who it is, which try, a place for what is pushed."""

    dag_id, run_id, task_id, map_index = "a_dag", "a_run", "poster", -1

    def __init__(self) -> None:
        self.try_number = 1
        self.max_tries = 0
        self.xcoms: dict[str, object] = {}

    def xcom_push(self, key: str, value: object) -> None:
        self.xcoms[key] = value


@pytest.fixture
def ti() -> FakeTaskInstance:
    return FakeTaskInstance()


@pytest.fixture(scope="session")
def running_sandbox() -> Iterator[Sandbox]:
    # One server for all tests: uvicorn takes 0.1 s to notice that it shall stop.
    with Sandbox(latency=0.05) as sandbox:
        yield sandbox


@pytest.fixture
def sandbox(running_sandbox: Sandbox) -> Sandbox:
    """A local Apiframe as if just started, whose jobs take 0.05 s."""
    running_sandbox.reset()
    return running_sandbox


@pytest.fixture
def connect(monkeypatch: pytest.MonkeyPatch):
    """Call it to set the connection ``apiframe_default`` through its environment variable."""

    def connect(**fields: object) -> None:
        monkeypatch.setenv(
            "AIRFLOW_CONN_APIFRAME_DEFAULT", json.dumps({"conn_type": "apiframe", **fields})
        )

    return connect


@pytest.fixture
def connected(sandbox: Sandbox, connect) -> Sandbox:
    """The sandbox, with ``apiframe_default`` pointing at it."""
    connect(password=sandbox.api_key, host=sandbox.url)
    return sandbox
