"""A walk through the list of jobs in search of those that are waited for, and what is known about them."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field

from airflow_provider_apiframe.api.models import Job, JobPage
from airflow_provider_apiframe.polling.wait import Wait

LEAST_INTERVAL = 0.05  # seconds; keeps a poll_interval near 0 from becoming a busy loop
WORTH_A_REQUEST = 10  # jobs; a request that may be in vain must promise as many


@dataclass(eq=False, slots=True)
class Watched:
    """A job that is waited for, as far as it is known."""

    job_id: str
    added: float
    waits: list[Wait] = field(default_factory=list)
    interval: float = math.inf  # of the most impatient wait
    deadline: float = math.inf  # the first of the waits
    last_seen: str = "not looked at yet"
    looked: float | None = None  # when
    created: float | None = None  # by the API's clock
    model: str | None = None
    eta: float | None = None  # when it should be finished, by its progress
    eta_was_wrong: bool = False
    page: int = 1  # of the list where it was seen
    left_out: int = 0  # by so many walks in a row
    missed: bool = False  # by the walks, so that it is asked for by its id
    asked: bool = False  # for by its id, and not answered yet
    failures: int = 0
    unusable: int = 0
    resume_at: float = 0.0

    def changed(self) -> None:
        """Note that the waits changed."""
        self.interval = max(min(wait.poll_interval for wait in self.waits), LEAST_INTERVAL)
        self.deadline = min(wait.deadline for wait in self.waits)


class Walk:
    """A walk through the list of jobs, newest first, in search of those that are waited for.

    :ivar query: the arguments of the next page's request.
    :ivar over: whether no other page is worth its request.
    """

    def __init__(self, watched: Iterable[Watched], *, completed_only: bool) -> None:
        self.completed_only = completed_only
        self.query: dict[str, object] = {
            "limit": 100,
            "status": "COMPLETED" if completed_only else None,
        }
        self.over = False
        self.pages = 0
        self.finished = 0
        self.unseen = {key_of(job.job_id): job for job in watched}
        self._in_vain = 0  # so many pages in a row

    def took(self, page: JobPage) -> list[tuple[Watched, Job]]:
        """Return which jobs of *page* are waited for, and decide whether to go on."""
        self.pages += 1
        shown = [job for job in page.jobs if job.is_terminal or not self.completed_only]
        seen = [
            (watched, job) for job in shown if (watched := self.unseen.pop(key_of(job.id), None))
        ]
        self.finished += sum(job.is_terminal for _, job in seen)
        self._in_vain = 0 if seen else self._in_vain + 1
        self.query["cursor"] = page.next_cursor
        self.over = not self.unseen or not self._goes_on(page)
        return seen

    def _goes_on(self, page: JobPage) -> bool:
        if page.next_cursor is None:
            return False
        if self.completed_only:
            return not self._in_vain
        if len(self.unseen) == 1:  # one request as well, and a sure one
            return False
        reached = min(
            (job.created.timestamp() for job in page.jobs if job.created), default=math.inf
        )
        if all(job.created is not None and job.created > reached for job in self.unseen.values()):
            return False
        return self._in_vain * WORTH_A_REQUEST < len(self.unseen)


def key_of(job_id: str) -> str:
    """Return what ids of the same job have in common."""
    return job_id.strip().lower()  # the API writes UUIDs in lower case and takes both
