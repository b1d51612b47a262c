"""Places where a task stops and waits to be killed.

A test arms one by making the file ``<run_id>.<point>`` in the folder of LIFECYCLE_BREAKPOINTS. The
first task process of that run to come by takes the file away, writes its process id to
``<run_id>.<point>.hit``, and goes no further; the next try finds nothing. A number in the file says
how many times a process comes by before it stops.
"""

from __future__ import annotations

import os
import threading
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import Any

from airflow.sdk import get_current_context

from airflow_provider_apiframe.api.client import ApiframeClient
from airflow_provider_apiframe.operators.batch import FluxGenerateBatchOperator
from airflow_provider_apiframe.operators.flux import FluxGenerateOperator

FOLDER = Path(os.environ["LIFECYCLE_BREAKPOINTS"])


_lock = threading.Lock()
_passes: Counter[str] = Counter()


def reach(point: str) -> None:
    """Stop here for ever if this run's breakpoint is armed.

    All other threads of the process stop at their next breakpoint, armed or not.
    """
    with suppress(RuntimeError):  # outside of a task
        name = f"{get_current_context()['run_id']}.{point}"
        with _lock, suppress(FileNotFoundError):
            passes = int((FOLDER / name).read_text() or 1)
            _passes[name] += 1
            if _passes[name] < passes:
                return
            taken = (FOLDER / name).rename(FOLDER / f"{name}.taken")
            taken.write_text(str(os.getpid()))
            taken.rename(FOLDER / f"{name}.hit")
            while True:
                time.sleep(60)


class _Breakable:
    """What gives an operator breakpoints around its steps.

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
        value = super().execute_complete(context, event)
        reach("returning")
        return value


class BreakableFlux(_Breakable, FluxGenerateOperator):
    """Makes one image, with breakpoints."""


class BreakableBatch(_Breakable, FluxGenerateBatchOperator):
    """Makes many images, with breakpoints."""


_send = ApiframeClient._send


def _breakable_send(self: ApiframeClient, call: Any) -> Any:
    submits = call.method == "POST"
    reach("submitting" if submits else "polling")
    result = _send(self, call)
    reach("responded" if submits else "polled")
    return result


ApiframeClient._send = _breakable_send  # type: ignore[method-assign]


_replace = os.replace


def _breakable_replace(source: Any, target: Any) -> None:
    if str(source).startswith(f"{os.environ['AIRFLOW_HOME']}/saved/"):
        # It lies beside its place, under its temporary name.
        reach("recording" if str(target).endswith(".jsonl") else "saving")
    _replace(source, target)


os.replace = _breakable_replace
