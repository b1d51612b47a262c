"""What makes an image paid once: the idempotency key of a submit is derived, not stored.

Airflow runs code more than once, and every accepted submit costs credits. The API answers a
repeated key with the first job, for 24 hours, so the key decides what is paid. Invariants, which
nothing may relax:

- All automatic retries of a task instance have the same key: ``try_number`` is not part of it.
- Another task, run, map index or request body has another key.
- A task that is cleared by hand starts a new series and makes a new image, unless it is told to
    keep the one it has.
- A job that ended without an image is refunded, and the next generation has another key. No try
  uses a generation beyond the number of tries before it, so a try that looks at all of those finds
  every job there is, and the number of jobs is bounded.
- What is noted about a job adds to the key (it lasts longer than 24 hours) and never stands in for
  it: without a note everything above holds.
- Nothing of the prompt can be read from a key or a note.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from airflow_provider_apiframe.api.params.request import GenerateRequest

KEPT = -1
"""The number of the one series that a task has with ``regenerate_on_clear=False``."""


def fingerprint(request: GenerateRequest) -> str:
    """Return the SHA-256 of the request's body: 64 hexadecimal characters."""
    return _sha256(json.dumps(request.to_payload(), sort_keys=True))


@dataclass(frozen=True)
class Series:
    """The tries of one task instance that want one and the same image.

    :param identity: dag_id, run_id, task_id and map_index.
    :param number: the same for all tries from one clear to the next.
    :param earlier_tries: how many tries of the series there may have been before this one. No try
        uses a generation beyond the number of tries before it.
    """

    identity: tuple[str, str, str, int]
    number: int
    earlier_tries: int

    @classmethod
    def of(cls, ti: Any, *, regenerate_on_clear: bool = True) -> Series:
        """Return the series that a running task instance belongs to.

        :param regenerate_on_clear: False makes one series of all tries, from before a clear and
            after it.
        """
        # Airflow sets max_tries when it makes a task instance and when it clears one (then to the
        # tries made plus retries), and never in between. Unlike max_tries - retries, it stays when
        # somebody changes retries between two tries.
        number = ti.max_tries if regenerate_on_clear else KEPT
        return cls(
            (ti.dag_id, ti.run_id, ti.task_id, ti.map_index), number, max(0, ti.try_number - 1)
        )

    def key(self, request: GenerateRequest, generation: int) -> str:
        """Return the idempotency key: 64 hexadecimal characters.

        :param generation: how many jobs of this series for this request ended FAILED or CANCELLED.
        """
        return _sha256(json.dumps([*self.identity, self.number, fingerprint(request), generation]))


@dataclass(frozen=True)
class Note:
    """What a try notes about the job it got, for the tries after it.

    :param job_id: the job.
    :param fingerprint: of the request it was made for.
    :param series: the number of the series it belongs to.
    :param generation: its generation.
    """

    job_id: str
    fingerprint: str
    series: int
    generation: int

    @classmethod
    def read(cls, value: Any) -> Note | None:
        """Return the note that :meth:`as_json` made, None for anything else."""
        try:
            return cls(**value) if isinstance(value, Mapping) else None
        except TypeError:
            return None

    def as_json(self) -> dict[str, Any]:
        """Return the note as JSON scalars."""
        return asdict(self)


def was_cleared(ti: Any, retries: int) -> bool:
    """Return whether a task instance was cleared by hand since it was made; for one that does not say, False."""
    max_tries = getattr(ti, "max_tries", None)
    return isinstance(max_tries, int) and max_tries > retries


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
