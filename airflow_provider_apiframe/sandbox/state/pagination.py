"""A page of the job list and its cursor, keyed on (createdAt, id) as the OpenAPI file says."""

from __future__ import annotations

import base64
from dataclasses import dataclass

from airflow_provider_apiframe.sandbox.state.jobs import Job, Position


@dataclass(frozen=True, slots=True)
class Page:
    """A page of jobs, newest first, and whether older ones follow."""

    jobs: list[Job]
    has_more: bool

    @property
    def next_cursor(self) -> str | None:
        """The cursor of the next page; None on the last."""
        if not self.has_more:
            return None
        created_at, job_id = self.jobs[-1].position()
        return base64.urlsafe_b64encode(f"{created_at!r} {job_id}".encode()).decode().rstrip("=")


def read_cursor(cursor: str) -> Position:
    """Return where the page before ended.

    :raises ValueError: this sandbox never gave out such a cursor.
    """
    padding = "=" * (-len(cursor) % 4)
    try:
        text = base64.b64decode(cursor + padding, altchars=b"-_", validate=True).decode()
        created_at, job_id = text.split(" ")
        return float(created_at), job_id
    except ValueError:
        raise ValueError("Invalid cursor") from None
