"""The life of one batch task, try by try: a try is a new operator, as a new process has it.

``Killed`` stands for a process that ends at some point; the real kills are in tests/lifecycle.
"""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

from airflow.providers.common.compat.sdk import TaskDeferred
from task_lives import Killed, Store, Task, event_of

from airflow_provider_apiframe.api.client import ApiframeClient
from airflow_provider_apiframe.delivery.storage import ImageStorage
from airflow_provider_apiframe.operators.batch import FluxGenerateBatchOperator
from airflow_provider_apiframe.operators.batch_try import BatchTry
from airflow_provider_apiframe.submission.batch_run import BatchRun

SMALL = {"aspect_ratio": "custom", "width": 256, "height": 256, "output_format": "jpg"}


def requests(count: int, prompt: str = "image {}") -> list[dict[str, Any]]:
    return [{"prompt": prompt.format(number)} for number in range(count)]


class BatchTask(Task):
    """One batch task instance and its operator's arguments."""

    task_id = "batch"
    operator = FluxGenerateBatchOperator

    def __init__(self, folder: Path, store: Store | None = None, **arguments: Any) -> None:
        self.folder = folder
        self.deferrals = 0
        self.xcoms: dict[str, Any] = {}
        arguments = {"flux_params": SMALL, "timeout": 30, **arguments}
        arguments.setdefault("save_to", f"{folder}/")
        super().__init__(store, **arguments)
        del self.arguments["prompt"]

    def xcom_push(self, key: str, value: object) -> None:
        self.xcoms[key] = json.loads(json.dumps(value))

    def run(self, kill: Callable[[], Any] | None = None) -> dict[str, Any]:
        """Make one try, and be killed in it where *kill* says it: one of the functions below."""
        self.try_number += 1
        self.xcoms.clear()
        context: Any = {"ti": self, "dag_run": self.dag_run, "ds": "2026-11-26"}
        if self.store:
            context["task_state_store"] = self.store
        with ExitStack() as stack:
            if kill:
                stack.enter_context(kill())
            step = self._operator().execute
            while True:
                try:
                    return dict(step(context))
                except TaskDeferred as deferred:
                    self.deferrals += 1
                    event = asyncio.run(event_of(deferred.trigger))
                    resumed = self._operator()

                    def step(context: Any, resumed: Any = resumed, event: Any = event) -> Any:
                        return resumed.execute_complete(context, event)

    def _operator(self) -> Any:
        return self.operator(task_id=self.task_id, **self.arguments)

    @property
    def manifests(self) -> list[Path]:
        return sorted(self.folder.glob("**/manifest-*.jsonl"))

    def lose_manifests(self) -> None:
        for manifest in self.manifests:
            manifest.unlink()

    def manifest(self) -> list[dict[str, Any]]:
        """The lines of the newest manifest."""
        newest = max(self.manifests, key=lambda path: path.stat().st_mtime_ns)
        return [json.loads(line) for line in newest.read_text().splitlines()]

    @property
    def images(self) -> list[Path]:
        return sorted(self.folder.glob("**/*.jpg"))


def _killing(owner: Any, name: str, after: int, *, done: bool) -> Callable[[], Any]:
    """The process is killed in call number *after* of a method; with *done* right after it."""

    @contextmanager
    def patched() -> Any:
        real, lock, calls = getattr(owner, name), threading.Lock(), 0

        def method(*args: Any, **kwargs: Any) -> Any:
            nonlocal calls
            with lock:
                calls += 1
                number = calls
            if number > after:
                raise Killed  # what other threads would still do
            if number == after and not done:
                raise Killed
            result = real(*args, **kwargs)
            if number == after:
                raise Killed
            return result

        with patch.object(owner, name, method):
            yield

    return patched


def submitting(after: int = 1, *, done: bool = True) -> Callable[[], Any]:
    """Killed when that many requests were submitted; without *done* just before the last one."""
    return _killing(ApiframeClient, "submit", after, done=done)


def before_the_manifest() -> Callable[[], Any]:
    return _killing(BatchRun, "_write_if_possible", 1, done=False)


def after_the_manifest() -> Callable[[], Any]:
    return _killing(BatchRun, "_write_if_possible", 1, done=True)


def waiting() -> Callable[[], Any]:
    return _killing(BatchTry, "take", 1, done=False)


def saving(after: int = 1, *, done: bool = True) -> Callable[[], Any]:
    return _killing(ImageStorage, "save", after, done=done)


def at_the_end() -> Callable[[], Any]:
    return _killing(BatchTry, "finish", 1, done=False)
