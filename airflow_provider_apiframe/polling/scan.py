"""A scan of the job list, newest first, in search of the jobs that are waited for."""

from __future__ import annotations

from collections.abc import Iterable

from airflow_provider_apiframe.api.models import Job, JobPage
from airflow_provider_apiframe.polling.pending import key_of
from airflow_provider_apiframe.polling.poll import PollKind

MIN_JOBS_PER_REQUEST = 10  # a request that may be in vain must promise as many
PAGE_SIZE = 100  # the most that the API gives


class ListScan:
    """A scan under way; it decides whether another page is worth its request.

    :param kind: of the whole list, or of the COMPLETED jobs.
    :param job_ids: the jobs to search for.
    :param started: when, by the caller's clock.
    :ivar query: the arguments of the next page's request.
    :ivar unseen: keys of the jobs that no page has shown yet.
    :ivar last_useful_page: number of the last page that showed one of them; 0 before that.
    """

    def __init__(self, kind: PollKind, job_ids: Iterable[str], *, started: float) -> None:
        self.kind = kind
        self.started = started
        self.query: dict[str, object] = {"limit": PAGE_SIZE}
        if kind is PollKind.COMPLETED_JOBS:
            self.query["status"] = "COMPLETED"
        self.unseen = {key_of(job_id) for job_id in job_ids}
        self.pages = 0
        self.last_useful_page = 0
        self.ended_jobs = 0
        self.done = False

    def record_page(self, page: JobPage) -> list[Job]:
        """Return the jobs of a page that count, and move on to the next page, or be done."""
        # An API that ignores the filter shows unfinished jobs as well.
        whole = self.kind is PollKind.WHOLE_LIST
        jobs = [job for job in page.jobs if job.is_terminal or whole]
        found = [job for job in jobs if key_of(job.id) in self.unseen]
        self.unseen -= {key_of(job.id) for job in found}
        self.pages += 1
        self.ended_jobs += sum(job.is_terminal for job in found)
        if found:
            self.last_useful_page = self.pages
        self.query["cursor"] = page.next_cursor
        self.done = not self._should_continue(page)
        return jobs

    def _should_continue(self, page: JobPage) -> bool:
        if page.next_cursor is None or not self.unseen:
            return False
        empty_pages = self.pages - self.last_useful_page
        if self.kind is PollKind.COMPLETED_JOBS:
            return empty_pages == 0
        # A single one is surely found by its id, which is one request as well.
        return len(self.unseen) > 1 and empty_pages * MIN_JOBS_PER_REQUEST < len(self.unseen)
