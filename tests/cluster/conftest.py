"""One cluster for all tests here."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from cluster import Cluster
from deployment import DAGS, running

HERE = Path(__file__).parent


@pytest.fixture(scope="session")
def cluster(request: pytest.FixtureRequest) -> Iterator[Cluster]:
    with running(Cluster(DAGS, HERE / "dags"), request.session) as cluster:
        yield cluster
