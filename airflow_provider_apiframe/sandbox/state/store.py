"""The sandbox's memory: jobs, credits and idempotency keys.

Invariants
- A job is charged when it is created, in one step with the check of the balance, and refunded at
  most once.
- A repeat of an idempotency key by the same user creates nothing and charges nothing.
- Everything that depends on time is worked out when it is asked, from one clock.
"""

from __future__ import annotations

import math
import time
from bisect import bisect_left, insort
from collections import Counter
from collections.abc import Callable, Mapping
from itertools import islice
from threading import RLock
from typing import Any, NamedTuple
from urllib.parse import urlsplit
from uuid import uuid4

from airflow_provider_apiframe.sandbox.faults import Faults
from airflow_provider_apiframe.sandbox.state.accounts import Accounts, Key
from airflow_provider_apiframe.sandbox.state.idempotency import IdempotencyStore
from airflow_provider_apiframe.sandbox.state.image_size import Size, image_size
from airflow_provider_apiframe.sandbox.state.jobs import STATUSES, Job, Position, Status
from airflow_provider_apiframe.sandbox.state.models import MODELS
from airflow_provider_apiframe.sandbox.state.pagination import Page
from airflow_provider_apiframe.sandbox.state.prompt_directives import PromptDirectives
from airflow_provider_apiframe.sandbox.state.rate_limit import RateLimiter
from airflow_provider_apiframe.sandbox.state.uploads import Upload, Uploads, input_urls

Clock = Callable[[], float]

NO_CAPACITY = "No available capacity, please try again later"


class InsufficientCredits(Exception):
    """The team's balance doesn't cover a job."""

    def __init__(self, required: int, available: int) -> None:
        super().__init__(f"{required} credits required, {available} available")
        self.required = required
        self.available = available


class Accepted(NamedTuple):
    """The job of a submission, and whether an earlier submission made it."""

    job: Job
    replay: bool


class Store:
    """All that a sandbox remembers. Safe to read and use from any thread.

    :param faults: the settings in force, and what goes wrong.
    :param accounts: the keys that are known.
    :param clock: gives epoch seconds.
    :ivar replays: how many submissions were answered with the job of an earlier one.
    :ivar uploads: the files that were uploaded.
    :ivar requests: how many requests came in per route, refused and faulted ones too.
    """

    def __init__(self, faults: Faults, accounts: Accounts, clock: Clock = time.time) -> None:
        self.faults = faults
        self.accounts = accounts
        self.clock = clock
        self._lock = RLock()
        self._clear()

    def _clear(self) -> None:
        self.replays = 0
        self.requests: Counter[str] = Counter()
        self._credits = self.faults.settings.credits
        self._by_id: dict[str, Job] = {}
        self._by_age: list[Job] = []
        self._to_refund: list[Job] = []
        self.uploads = Uploads(self.faults, self.clock)
        self._idempotency = IdempotencyStore()
        self._limiter = RateLimiter()

    def reset(self) -> None:
        """Forget all jobs, keys and counts, and go back to the first settings."""
        with self._lock:
            self.faults.reset()
            self._clear()

    def configure(self, options: Mapping[str, Any]) -> None:
        """Change settings while running; `credits` sets the balance from now on.

        :param options: values by the names of `Settings`.
        :raises ValueError: an option is unknown or out of its range.
        """
        with self._lock:
            self._refund()
            self.faults.configure(options)
            if "credits" in options:
                self._credits = self.faults.settings.credits

    def count_request(self, route: str) -> None:
        """Count a request to a route, whatever comes of it."""
        with self._lock:
            self.requests[route] += 1

    def seconds_to_wait(self, key: Key) -> int:
        """Admit a request under the rate limit and return 0, or return the seconds to wait."""
        with self._lock:
            return self._limiter.wait(key.value, self.faults.settings.rate_limit, self.clock())

    def submit(
        self, key: Key, body: dict[str, Any], idempotency_key: str | None, base_url: str
    ) -> Accepted:
        """Create a job, or find the one that an earlier submission with the same key made.

        :param key: who submits.
        :param body: valid request body.
        :param idempotency_key: None or "" for none.
        :param base_url: where the submitter reached the sandbox, without a slash at the end.
        :raises Conflict: the idempotency key was used with another body.
        :raises InsufficientCredits: the balance is too low.
        """
        with self._lock:
            now = self._refund()
            if idempotency_key:
                earlier = self._idempotency.find(key.user_id, idempotency_key, body, now)
                if earlier is not None:
                    self.replays += 1
                    return Accepted(earlier, replay=True)

            cost = MODELS[body["model"]].price
            if cost > self._credits:
                raise InsufficientCredits(cost, self._credits)
            job = self._new_job(key, body, cost, now, base_url)
            self._credits -= cost
            self._by_id[job.id] = job
            insort(self._by_age, job, key=Job.position)
            if job.ending != "COMPLETED":
                self._to_refund.append(job)
            if idempotency_key:
                self._idempotency.remember(idempotency_key, job)
            return Accepted(job, replay=False)

    def _new_job(self, key: Key, body: dict[str, Any], cost: int, now: float, base_url: str) -> Job:
        directives = PromptDirectives.of(body["prompt"])
        seconds = self.faults.job_seconds()
        no_capacity = NO_CAPACITY if self.faults.should_inject("fail_rate") else None
        images = input_urls(body.get("fluxParams", {}))
        error = directives.failure or no_capacity or self.uploads.failure(images, base_url)
        size: Size = (0, 0)
        try:
            size = image_size(body.get("fluxParams", {}), self._size_of_image)
        except ValueError as undrawable:
            error = error or str(undrawable)
        ending: Status = "FAILED" if error else "CANCELLED" if directives.cancelled else "COMPLETED"
        if directives.takes is not None:
            seconds = directives.takes
        created_at = math.floor(now * 1000) / 1000
        return Job(
            id=str(uuid4()),
            user_id=key.user_id,
            api_key=key.value,
            input=body,
            cost=cost,
            created_at=created_at,
            finish_at=math.inf if directives.stuck else created_at + seconds,
            ending=ending,
            error=error,
            size=size,
            base_url=base_url,
            images=directives.images,
            source=self._source(images[0]) if images else None,
            webhook_status="pending" if "webhookUrl" in body else None,
        )

    def _size_of_image(self, url: str) -> Size | None:
        source = self._source(url)
        return source.size if source else None

    def _source(self, url: str) -> Upload | Job | None:
        name = urlsplit(url).path.rpartition("/")[2]
        return self.uploads.find(name) or self.job_of_image(name)

    def _refund(self) -> float:
        """Refund the jobs that ended without an image by now; return the time."""
        with self._lock:
            now = self.clock()
            ended = [job for job in self._to_refund if job.finish_at <= now]
            for job in ended:
                self._to_refund.remove(job)
                self._credits += job.cost
                job.refunded = True
            return now

    def job(self, job_id: str, user_id: str | None = None) -> Job | None:
        """Return a job by its id; None if it doesn't exist or isn't of the user asked for."""
        self._refund()
        job = self._by_id.get(job_id.lower())
        return job if job and user_id in (None, job.user_id) else None

    def job_of_image(self, name: str) -> Job | None:
        """Return the completed, unexpired job that has an image of this file name."""
        job, now = self._by_id.get(name[:36]), self.clock()
        if job is None or name not in job.image_names or job.status(now) != "COMPLETED":
            return None
        return None if job.expired(now, self.faults.settings.retention) else job

    def page(
        self,
        user_id: str | None,
        limit: int,
        after: Position | None = None,
        status: str | None = None,
        model: str | None = None,
        search: str | None = None,
    ) -> Page:
        """Return a page of jobs, newest first.

        :param user_id: whose jobs; None for the whole team's.
        :param limit: how many jobs, 1 or more.
        :param after: where the page before ended; None for the first page.
        :param status: only jobs in this status; `model` and `search` (an id) narrow it, too.
        """
        if self.faults.settings.hide_from_list:
            return Page([], has_more=False)
        with self._lock:
            now = self._refund()
            end = None if after is None else bisect_left(self._by_age, after, key=Job.position)
            matching = (
                job
                for job in reversed(self._by_age[:end])
                if user_id in (None, job.user_id)
                and status in (None, job.status(now))
                and model in (None, job.model)
                and search in (None, job.id)
            )
            jobs = list(islice(matching, limit))
            return Page(jobs, has_more=next(matching, None) is not None)

    def models_used(self, user_id: str | None) -> list[str]:
        """Return the models of a user's jobs, or of the team's with None, in alphabetical order."""
        return sorted({job.model for job in self.jobs if user_id in (None, job.user_id)})

    @property
    def jobs(self) -> list[Job]:
        """All jobs, oldest first."""
        self._refund()
        return list(self._by_age)

    @property
    def jobs_created(self) -> int:
        """How many jobs were created."""
        return len(self._by_age)

    @property
    def jobs_paid(self) -> int:
        """How many jobs were charged and not refunded."""
        return sum(not job.refunded for job in self.jobs)

    @property
    def refunds(self) -> int:
        """How many jobs were refunded."""
        return sum(job.refunded for job in self.jobs)

    @property
    def credits(self) -> int:
        """The team's balance."""
        self._refund()
        return self._credits

    @property
    def credits_spent(self) -> int:
        """Credits charged and not refunded."""
        return sum(job.cost for job in self.jobs if not job.refunded)

    @property
    def jobs_by_status(self) -> dict[str, int]:
        """How many jobs are in each status now."""
        now = self.clock()
        counts = Counter(job.status(now) for job in self.jobs)
        return {status: counts[status] for status in STATUSES}

    def document(self) -> dict[str, Any]:
        """Return the counts above by their names, and the settings, as of one moment."""
        with self._lock:
            return {
                "jobs_created": self.jobs_created,
                "jobs_paid": self.jobs_paid,
                "replays": self.replays,
                "credits": self.credits,
                "credits_spent": self.credits_spent,
                "refunds": self.refunds,
                "uploads": self.uploads.count,
                "requests": dict(self.requests),
                "jobs": self.jobs_by_status,
                "faults_queued": self.faults.queued,
                "settings": self.faults.settings.document(),
            }
