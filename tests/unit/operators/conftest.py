from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
import task_lives


@pytest.fixture
def event_of() -> Callable[[Any], Any]:
    """Give the event of a trigger, as it comes back from Airflow's database."""
    return lambda trigger: asyncio.run(task_lives.event_of(trigger))
