"""A connection that only this worker sees."""

from __future__ import annotations

import logging
import os

from airflow_provider_apiframe.hooks.connection import environment_variable

log = logging.getLogger(__name__)


def warn_of_a_connection_that_only_the_worker_sees(conn_id: str) -> None:
    """Warn of a connection from an environment variable, for a task that is about to defer."""
    variable = environment_variable(conn_id)
    if variable in os.environ:
        log.warning(
            "The connection %r comes from the environment variable %s of this worker. The "
            "triggerer needs it too: without it, it waits for the image in vain until the "
            "timeout",
            conn_id,
            variable,
        )
