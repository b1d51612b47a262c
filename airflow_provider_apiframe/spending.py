"""What makes a picture paid once: the idempotency key of a submit is derived, not stored.

Airflow runs code more than once, and every accepted submit costs credits. The API answers a repeated key with the first job, for
24 hours, so the key decides what is paid. Its invariants:

- All automatic retries of a task instance have the same key: ``try_number`` is not part of it.
- Another task, run, map index or request body has another key.
- A task that is cleared by hand starts a new series and makes a new picture.
- A job that ended without a picture is refunded, and the next generation has another key.
- Nothing of the prompt can be read from it.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import Any

from airflow_provider_apiframe.api.models import GenerateRequest


@dataclass(frozen=True)
class Series:
    """The tries of one task instance since it was last cleared.

    :param identity: dag_id, run_id, task_id and map_index.
    :param number: 0, or the try number at the last clear. It is Airflow's own arithmetic: clearing sets ``max_tries`` to the
        tries made plus ``retries``.
    :param earlier_tries: tries of the series before this one. Each of them made one job at most.
    """

    identity: tuple[str, str, str, int]
    number: int
    earlier_tries: int

    @classmethod
    def of(cls, ti: Any, retries: int) -> Series:
        """Return the series that a running task instance belongs to; *retries* is its task's argument."""
        number = ti.max_tries - retries
        return cls((ti.dag_id, ti.run_id, ti.task_id, ti.map_index), number, max(0, ti.try_number - number - 1))

    def key(self, request: GenerateRequest, generation: int) -> str:
        """Return the idempotency key: 64 hexadecimal characters.

        :param generation: how many jobs of this series for this request ended FAILED or CANCELLED.
        """
        body = json.dumps(request.to_wire(), sort_keys=True)
        return _sha256(json.dumps([*self.identity, self.number, _sha256(body), generation]))


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
