"""What each start of a task records: how long it ran, and how much memory its process took."""

from __future__ import annotations

import json
import os
import resource
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperator

if TYPE_CHECKING:
    from airflow.sdk import Context


@contextmanager
def recorded(context: Context) -> Iterator[None]:
    """Append a line about the block, however it ends, to the file that the environment names."""
    since = time.monotonic()
    try:
        yield
    finally:
        line = {
            "run_id": context["run_id"],
            "task_id": context["ti"].task_id,
            "seconds": time.monotonic() - since,
            "peak_kb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss,
        }
        with Path(os.environ["BENCHMARK_STARTS"]).open("a") as file:
            file.write(json.dumps(line) + "\n")


class Recorded:
    """Goes before an operator, and records all that its process does, first and resumed."""

    def execute(self, context: Context) -> Any:
        """Run the operator."""
        with recorded(context):
            return super().execute(context)  # type: ignore[misc]

    def resume_execution(self, next_method: str, next_kwargs: Any, context: Context) -> Any:
        """Resume the operator."""
        with recorded(context):
            return super().resume_execution(next_method, next_kwargs, context)  # type: ignore[misc]


class Nothing(BaseOperator):
    """Does nothing, and records it."""

    def execute(self, context: Context) -> None:
        """Do nothing."""
        with recorded(context):
            pass
