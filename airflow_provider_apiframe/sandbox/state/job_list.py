"""All jobs by age: the list that pages are cut from. Not safe across threads by itself."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Callable, Iterator
from itertools import islice

from airflow_provider_apiframe.sandbox.state.jobs import Job, Position
from airflow_provider_apiframe.sandbox.state.pagination import Page


class JobList:
    """The jobs, oldest first."""

    def __init__(self) -> None:
        self._jobs: list[Job] = []

    def __len__(self) -> int:
        return len(self._jobs)

    def __iter__(self) -> Iterator[Job]:
        return iter(self._jobs)

    def add(self, job: Job) -> None:
        """Put a new job in its place, which is nearly always the last."""
        insort(self._jobs, job, key=Job.position)

    def page(self, limit: int, after: Position | None, matches: Callable[[Job], bool]) -> Page:
        """Return a page of the jobs that match, newest first.

        :param limit: how many jobs, 1 or more.
        :param after: where the page before ended; None for the first page.
        """
        jobs = self._jobs
        end = len(jobs) if after is None else bisect_left(jobs, after, key=Job.position)
        # By index: a copy of the older jobs for each page would make a walk over all quadratic.
        matching = filter(matches, (jobs[index] for index in range(end - 1, -1, -1)))
        found = list(islice(matching, limit))
        return Page(found, has_more=next(matching, None) is not None)
