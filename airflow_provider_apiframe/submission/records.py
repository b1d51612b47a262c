"""What tries record for the tries after them, in Airflow's task state store (Airflow 3.3+)."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Any

from airflow_provider_apiframe.submission.idempotency import SubmissionRecord

log = logging.getLogger(__name__)

RECORD_KEY = "apiframe_job"
"""Under this key a ``SubmissionRecord`` lies in the store."""


@dataclass(frozen=True)
class Records:
    """The one record of a task instance.

    :param store: Airflow's task state store, None where there is none: then nothing is recorded.
    """

    store: Any = None

    def read(self) -> SubmissionRecord | None:
        """Return what an earlier try recorded.

        A store that cannot be read is not an empty one: its error ends the try, before anything is
        paid.
        """
        if self.store is None:
            return None
        value = self.store.get(RECORD_KEY)
        record = SubmissionRecord.read(value)
        if record is None and value is not None:
            log.warning(
                "What the task state store holds under %r is no record of this provider; ignored",
                RECORD_KEY,
            )
        return record

    def write(self, record: SubmissionRecord) -> None:
        """Record this for the tries after this one, as far as that is possible."""
        if self.store is None:
            return
        try:
            self.store.set(RECORD_KEY, record.model_dump())
        except Exception as error:  # whatever it is: the image is paid, and the key finds it
            what = f"Job {record.job_id}" if record.job_id else "What is about to be submitted"
            log.warning("%s could not be recorded in the task state store: %s", what, error)
