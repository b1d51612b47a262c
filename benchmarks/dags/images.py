"""One image in three ways, and a task that does nothing.

The tasks record how long the code of their operators ran.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow.sdk import DAG, BaseOperator

from airflow_provider_apiframe.operators.flux import FluxGenerateOperator
from airflow_provider_apiframe.sensors.job import ApiframeJobSensor

if TYPE_CHECKING:
    from airflow.sdk import Context


@contextmanager
def recorded() -> Iterator[None]:
    """Append the seconds of the block, however it ends, to the file that the environment names."""
    since = time.monotonic()
    try:
        yield
    finally:
        with Path(os.environ["BENCHMARK_SECONDS"]).open("a") as file:
            file.write(f"{time.monotonic() - since}\n")


class Nothing(BaseOperator):
    """Does nothing."""

    def execute(self, context: Context) -> None:
        """Do nothing."""
        with recorded():
            pass


class Image(FluxGenerateOperator):
    """The operator, which records its time."""

    def execute(self, context: Context) -> Any:
        """Run the operator."""
        with recorded():
            return super().execute(context)

    def execute_complete(self, context: Context, event: dict[str, Any] | None = None) -> Any:
        """Resume the operator."""
        with recorded():
            return super().execute_complete(context, event)


class Collection(ApiframeJobSensor):
    """The sensor, which records its time."""

    def execute(self, context: Context) -> Any:
        """Poke once."""
        with recorded():
            return super().execute(context)


with DAG("images", schedule=None):
    Nothing(task_id="nothing")
    Image(task_id="deferrable", prompt="A poster, deferred", deferrable=True)
    Image(task_id="loop", prompt="A poster, waited for", deferrable=False)
    submit = Image(task_id="submit", prompt="A poster, ordered", wait_for_completion=False)
    Collection(
        task_id="collect", job_id=submit.output["job_id"], mode="reschedule", poke_interval=5
    )
