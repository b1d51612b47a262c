"""What makes an image paid once: the idempotency key of a submit is derived, not stored.

Airflow runs code more than once, and every accepted submit costs credits. The API returns the first
job for a repeated key, for 24 hours, so the key decides what is paid. Invariants, which nothing may
relax:

- All automatic retries of a task instance have the same key: ``try_number`` is not part of it.
- Another task, run, map index or request body has another key.
- A task that is cleared by hand starts a new scope and makes a new image, unless it is told to keep
  the one it has.
- A job that ended without an image is refunded, and the next generation has another key. No try
  uses a generation beyond the number of tries before it, so a try that polls all of those finds
  every job there is, and the number of jobs is bounded.
- What is recorded about a job adds to the key (it lasts longer than 24 hours) and never stands in
  for it: without a record everything above holds.
- Nothing of the prompt can be read from a key or a record.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, ValidationError

from airflow_provider_apiframe.api.params.request import ImageRequest
from airflow_provider_apiframe.version_compat import region_of

KEY_WINDOW = timedelta(hours=24)
"""For so long the API knows a key (OpenAPI parameter Idempotency-Key)."""

ONE_SCOPE = -1
"""The number of the one scope that a task has with ``regenerate_on_clear=False``."""


def fingerprint(request: ImageRequest) -> str:
    """Return the SHA-256 of the request's body: 64 hexadecimal characters.

    In place of the path of a file it names the content's hash, see ``references.py``.
    """
    return _sha256(json.dumps(request.to_payload(), sort_keys=True))


@dataclass(frozen=True)
class IdempotencyScope:
    """The tries of one task instance that want one and the same image.

    :param identity: dag_id, run_id, task_id and map_index; inside a loop or a mapped region of
        Airflow 3.4 the place in it, too.
    :param number: the same for all tries from one clear to the next, and hardly ever for others.
    :param earlier_tries: how many tries of the scope there may have been before this one. No try
        uses a generation beyond the number of tries before it.
    :param clear_number: tells two scopes with the same number apart, 0 where nothing does.
    :param run_clear_number: how often something in the run was cleared.
    :param starts_here: whether this try may be the first of its scope, by the task's ``retries``.
    """

    identity: tuple[str | int, ...]
    number: int
    earlier_tries: int
    clear_number: int = 0
    run_clear_number: int = 0
    starts_here: bool = False

    @classmethod
    def of(cls, context: Any, *, retries: int, regenerate_on_clear: bool = True) -> Self:
        """Return the scope that a running task instance belongs to.

        :param context: Airflow's context of the try.
        :param retries: of the task.
        :param regenerate_on_clear: False makes one scope of all tries, from before a clear and
            after it.
        """
        ti = context["ti"]
        identity: tuple[str | int, ...] = (ti.dag_id, ti.run_id, ti.task_id, ti.map_index)
        # Iterations of a loop share all of these, and map indexes repeat in each region.
        identity += region_of(ti) or ()
        # A retry policy may repeat a try without giving it another number (RESCHEDULE, 3.4).
        repeated = context.get("task_reschedule_count") or 0
        return cls(
            identity,
            # Airflow sets max_tries when it makes a task instance and when it clears one (then to
            # the tries made plus retries), and never in between. Unlike max_tries - retries, it
            # stays when somebody changes retries between two tries.
            number=ti.max_tries if regenerate_on_clear else ONE_SCOPE,
            earlier_tries=max(0, ti.try_number - 1) + repeated,
            run_clear_number=getattr(context.get("dag_run"), "clear_number", None) or 0,
            starts_here=(
                regenerate_on_clear and not repeated and ti.max_tries == ti.try_number - 1 + retries
            ),
        )

    def was_cleared_since(self, record: SubmissionRecord) -> bool:
        """Return whether the task was cleared since *record*, although its number is the same.

        Lowering ``retries`` by just the number of tries that were made, and then clearing, does
        that.
        """
        cleared = self.run_clear_number > record.run_clear_number
        return record.scope == self.number and self.starts_here and cleared

    def following(self, record: SubmissionRecord | None) -> Self:
        """Return this scope, told apart from the recorded one of the same number.

        A try that gets another scope than the recorded one must record it before anything is paid:
        the tries after it cannot tell any more.
        """
        if record is None or record.scope != self.number:
            return self
        cleared = self.was_cleared_since(record)
        return replace(self, clear_number=self.run_clear_number if cleared else record.clear_number)

    def key(self, request: ImageRequest, generation: int, reference: str | None = None) -> str:
        """Return the idempotency key: 64 hexadecimal characters.

        :param generation: how many jobs of this scope for this request ended FAILED or CANCELLED.
        :param reference: tells two of the same request apart that one task wants.
        """
        parts: list[Any] = [*self.identity, self.number, fingerprint(request), generation]
        if self.clear_number:
            parts.append(self.clear_number)
        if reference is not None:
            parts.append([reference])
        return _sha256(json.dumps(parts))


class SubmissionRecord(BaseModel):
    """What a try records about the job it got, for the tries after it.

    :param job_id: the job; None where a try is about to submit, or only started a new scope.
    :param fingerprint: of the request it was made for.
    :param scope: the number of the scope it belongs to.
    :param clear_number: of the scope.
    :param run_clear_number: how often something in the run had been cleared then.
    :param generation: its generation.
    :param file_hashes: SHA-256 of the path of each file in the request -> SHA-256 of its content.
    :param uploads: SHA-256 of a file's content -> the URL it was uploaded to, until there is a job.
        The next try sends the same request then, and the API knows the key.
    """

    model_config = ConfigDict(frozen=True, extra="ignore", strict=True)

    job_id: str | None
    fingerprint: str
    scope: int
    clear_number: int = 0
    run_clear_number: int = 0
    generation: int
    file_hashes: dict[str, str] = {}
    uploads: dict[str, str] = {}

    def hash_of(self, path: str) -> str | None:
        """Return the SHA-256 of the content that a file of the request had, None if not known."""
        return self.file_hashes.get(_sha256(path))

    @classmethod
    def read(cls, value: Any) -> Self | None:
        """Return the record that :meth:`model_dump` made, None for anything else."""
        try:
            return cls.model_validate(value)
        except ValidationError:
            return None


def hashes_by_path(hashes: Mapping[str, str]) -> dict[str, str]:
    """Return what a record holds of path -> SHA-256 of the content: no path can be read there."""
    return {_sha256(path): sha256 for path, sha256 in hashes.items()}


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
