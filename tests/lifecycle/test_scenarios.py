"""Nothing is paid twice and no paid image is lost, whatever dies."""

from __future__ import annotations

from concurrent.futures import Future

import pytest
from scenarios import SCENARIOS
from stage import Row, Scenario


@pytest.mark.parametrize("scenario", SCENARIOS, ids=str)
def test_pays_once_and_delivers(scenario: Scenario, rows: dict[Scenario, Future[Row]]) -> None:
    rows[scenario].result()
