"""Places where a task stops and waits to be killed.

A test arms one by making the file ``<run_id>.<point>`` in the folder of LIFECYCLE_BREAKPOINTS. The
first task process of that run to come by takes the file away, writes its process id to
``<run_id>.<point>.hit``, and goes no further; the next try finds nothing.
"""

from __future__ import annotations

import os
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from airflow.sdk import get_current_context
from fsspec.implementations.local import LocalFileSystem

from airflow_provider_apiframe.api.client import ApiframeClient
from airflow_provider_apiframe.operators.flux import FluxGenerateOperator

FOLDER = Path(os.environ["LIFECYCLE_BREAKPOINTS"])


def reach(point: str) -> None:
    """Stop here for ever if this run's breakpoint is armed."""
    with suppress(RuntimeError):  # outside of a task
        name = f"{get_current_context()['run_id']}.{point}"
        with suppress(FileNotFoundError):
            taken = (FOLDER / name).rename(FOLDER / f"{name}.taken")
            taken.write_text(str(os.getpid()))
            taken.rename(FOLDER / f"{name}.hit")
            while True:
                time.sleep(60)


class BreakableFlux(FluxGenerateOperator):
    """The operator, with breakpoints around its steps.

    Those around its requests are in ``_send`` below.
    """

    def execute(self, context: Any) -> Any:
        value = super().execute(context)
        reach("returning")
        return value

    def defer(self, **arguments: Any) -> None:
        reach("deferring")
        super().defer(**arguments)

    def execute_complete(self, context: Any, event: dict[str, Any] | None = None) -> Any:
        reach("resumed")
        return super().execute_complete(context, event)


_send = ApiframeClient._send


def _breakable_send(self: ApiframeClient, call: Any) -> Any:
    submits = call.method == "POST"
    reach("submitting" if submits else "polling")
    result = _send(self, call)
    reach("responded" if submits else "polled")
    return result


ApiframeClient._send = _breakable_send  # type: ignore[method-assign]


_move = LocalFileSystem.mv


def _breakable_move(self: LocalFileSystem, *arguments: Any, **options: Any) -> None:
    reach("saving")  # the image lies beside its place, under its temporary name
    _move(self, *arguments, **options)


LocalFileSystem.mv = _breakable_move
