"""A page of the job list and its cursor, keyed on (createdAt, id) as the OpenAPI file says of GET /v2/jobs."""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass

from airflow_provider_apiframe.sandbox.state.jobs import Job


class BadCursor(Exception):
    """A list cursor that this sandbox never gave out."""


@dataclass(frozen=True, slots=True)
class Page:
    """A page of jobs, newest first, and the cursor of the next one (None on the last)."""

    jobs: list[Job]
    next_cursor: str | None


def cursor_after(job: Job) -> str:
    """Return the cursor of the page that starts after `job`."""
    return base64.urlsafe_b64encode(f"{job.created_at!r} {job.id}".encode()).decode().rstrip("=")


def read_cursor(cursor: str) -> tuple[float, str]:
    """Return createdAt (epoch seconds) and id of the job the cursor was made from.

    Raises:
        BadCursor: it can't be read.
    """
    try:
        text = base64.b64decode(
            cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True
        ).decode()
        created_at, job_id = text.split(" ")
        return float(created_at), job_id
    except (ValueError, binascii.Error) as error:
        raise BadCursor(cursor) from error
