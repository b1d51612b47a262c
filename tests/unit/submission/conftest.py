"""Tasks that do not pause for the rate limit between two polls of their one job."""

from __future__ import annotations

import pytest

from airflow_provider_apiframe.sandbox.server import Sandbox


@pytest.fixture
def connected(sandbox: Sandbox, connect) -> Sandbox:
    """The sandbox, with ``apiframe_default`` pointing at it, and a rate limit beyond reach."""
    connect(password=sandbox.api_key, host=sandbox.url, extra={"requests_per_minute": 5000})
    return sandbox
