"""What tries record for the tries after them, in Airflow's task state store (Airflow 3.3+)."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Any

from airflow_provider_apiframe.api.errors import ApiframeError
from airflow_provider_apiframe.submission.idempotency import SubmissionRecord

log = logging.getLogger(__name__)

RECORD_KEY = "apiframe_job"
"""Under this key a ``SubmissionRecord`` lies in the store."""


class NotRecordedError(ApiframeError):
    """The task state store did not take a record without which a retry could lose a paid image."""

    transient = True


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

    def write_before_submit(self, record: SubmissionRecord) -> None:
        """Record what is about to be submitted, for a submit that a retry must know of.

        :raises NotRecordedError: the store did not take it.
        """
        if self.store is None:
            return
        try:
            self.store.set(RECORD_KEY, record.model_dump())
        except Exception as error:  # whatever the store raises: nothing is paid yet
            raise NotRecordedError(
                "The task state store did not take what is about to be submitted, and with "
                "max_credits_per_day a retry could be kept from an image that is paid. Nothing "
                f"was submitted. {type(error).__name__}: {error}"
            ) from error
