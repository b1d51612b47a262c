"""The sandbox's memory: jobs, credits and idempotency keys.

Invariants
- A job is charged when it is created, in one step with the check of the balance, and given back at
    most once.
- A repeat of an idempotency key by the same user creates nothing and charges nothing.
- Everything that depends on time is worked out when it is asked, from one clock.
"""

from __future__ import annotations

import heapq
import math
import time
from bisect import bisect_left, insort
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from threading import RLock
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

from airflow_provider_apiframe.sandbox.faults import Faults
from airflow_provider_apiframe.sandbox.state.accounts import Accounts, Key
from airflow_provider_apiframe.sandbox.state.idempotency import IdempotencyStore
from airflow_provider_apiframe.sandbox.state.image_size import Size, image_size
from airflow_provider_apiframe.sandbox.state.jobs import STATUSES, Job, Status
from airflow_provider_apiframe.sandbox.state.models import MODELS
from airflow_provider_apiframe.sandbox.state.pagination import Page, cursor_after, read_cursor
from airflow_provider_apiframe.sandbox.state.prompt_directives import PromptDirectives
from airflow_provider_apiframe.sandbox.state.rate_limit import RateLimiter

Clock = Callable[[], float]

NO_CAPACITY = "No available capacity, please try again later"


class InsufficientCredits(Exception):
    """The team's balance doesn't cover a job."""

    def __init__(self, required: int, available: int) -> None:
        super().__init__(f"{required} credits required, {available} available")
        self.required = required
        self.available = available


@dataclass(frozen=True, slots=True)
class Accepted:
    """A job that answers a submission, and whether an earlier submission made it."""

    job: Job
    replay: bool


class Store:
    """All that a sandbox remembers. Safe to read and use from any thread.

    Args:
        faults: the settings in force, and the rng.
        accounts: the keys that are known.
        clock: gives epoch seconds.
    """

    def __init__(self, faults: Faults, accounts: Accounts, clock: Clock = time.time) -> None:
        self.faults = faults
        self.accounts = accounts
        self.clock = clock
        self._lock = RLock()
        self._forget()

    def _forget(self) -> None:
        self._credits = self.faults.settings.credits
        self._spent = 0
        self._replays = 0
        self._refunds = 0
        self._requests: Counter[str] = Counter()
        self._jobs: dict[str, Job] = {}
        self._order: list[tuple[float, str]] = []
        self._refundable: list[tuple[float, str]] = []
        self._repeats = IdempotencyStore()
        self._limiter = RateLimiter()

    def reset(self) -> None:
        """Forget all jobs, keys and counts, and go back to the first settings."""
        with self._lock:
            self.faults.reset()
            self._forget()

    def configure(self, options: Mapping[str, Any]) -> None:
        """Change settings while running; `credits` sets the balance from now on.

        Raises:
            ValueError: an option is unknown or out of its range.
        """
        with self._lock:
            self._settle()
            self.faults.configure(options)
            if "credits" in options:
                self._credits = self.faults.settings.credits

    def count_request(self, route: str) -> None:
        """Note a request to a route, whatever comes of it."""
        with self._lock:
            self._requests[route] += 1

    def seconds_to_wait(self, key: Key) -> int:
        """Admit a request under the rate limit and return 0, or return the seconds until one would be admitted."""
        with self._lock:
            return self._limiter.wait(key.value, self.faults.settings.rate_limit, self.clock())

    def submit(
        self, key: Key, body: dict[str, Any], idempotency_key: str | None, base_url: str
    ) -> Accepted:
        """Create a job for a valid body, or find the one an earlier submission with the same key
        made.

        Args:
            key: who submits.
            body: valid request body.
            idempotency_key: None or "" for none.
            base_url: where the submitter reached the sandbox, without a slash at the end.

        Raises:
            Conflict: the idempotency key was used with another body.
            InsufficientCredits: the balance is too low.
        """
        with self._lock:
            now = self._settle()
            if idempotency_key:
                made = self._repeats.find(key.user.id, idempotency_key, body, now)
                if made is not None:
                    self._replays += 1
                    return Accepted(self._jobs[made], replay=True)

            cost = MODELS[body["model"]].price
            if cost > self._credits:
                raise InsufficientCredits(cost, self._credits)
            job = self._new_job(key, body, cost, now, base_url)
            self._credits -= cost
            self._spent += cost
            self._jobs[job.id] = job
            insort(self._order, (job.created_at, job.id))
            if job.ending != "COMPLETED":
                heapq.heappush(self._refundable, (job.finish_at, job.id))
            if idempotency_key:
                self._repeats.remember(key.user.id, idempotency_key, body, job.id, now)
            return Accepted(job, replay=False)

    def _new_job(self, key: Key, body: dict[str, Any], cost: int, now: float, base_url: str) -> Job:
        wishes = PromptDirectives.of(body["prompt"])
        seconds = self.faults.job_seconds()
        error = wishes.failure or (NO_CAPACITY if self.faults.should_inject("fail_rate") else None)
        size: Size = (0, 0)
        try:
            size = image_size(body.get("fluxParams", {}), self._size_of_image)
        except ValueError as failure:
            error = error or str(failure)
        ending: Status = "FAILED" if error else "CANCELLED" if wishes.cancelled else "COMPLETED"
        created_at = math.floor(now * 1000) / 1000
        return Job(
            id=str(uuid4()),
            user_id=key.user.id,
            api_key=key.value,
            input=body,
            cost=cost,
            created_at=created_at,
            finish_at=math.inf
            if wishes.stuck
            else created_at + (seconds if wishes.takes is None else wishes.takes),
            ending=ending,
            error=error,
            size=size,
            base_url=base_url,
            webhook_status="pending" if "webhookUrl" in body else None,
        )

    def _size_of_image(self, url: str) -> Size | None:
        job = self.job_of_image(urlsplit(url).path.rpartition("/")[2])
        return job.size if job else None

    def _settle(self) -> float:
        now = self.clock()
        while self._refundable and self._refundable[0][0] <= now:
            job = self._jobs[heapq.heappop(self._refundable)[1]]
            job.refunded = True
            self._credits += job.cost
            self._spent -= job.cost
            self._refunds += 1
        return now

    def job(self, job_id: str, user_id: str | None = None) -> Job | None:
        """Return a job by its id; None when it doesn't exist or isn't of the user asked for."""
        with self._lock:
            self._settle()
            job = self._jobs.get(job_id.lower())
            return job if job and user_id in (None, job.user_id) else None

    def job_of_image(self, name: str) -> Job | None:
        """Return the completed, unexpired job whose image has this file name."""
        with self._lock:
            now = self._settle()
            job = self._jobs.get(name[:36])
            if job is None or job.image_name != name or job.status(now) != "COMPLETED":
                return None
            return None if job.expired(now, self.faults.settings.retention) else job

    def page(self, query: Mapping[str, str], user_id: str | None) -> Page:
        """Return the newest jobs that fit a valid query of GET /v2/jobs.

        Args:
            query: status, model, limit, cursor and search as they came in.
            user_id: whose jobs; None for the whole team's.

        Raises:
            BadCursor: the cursor can't be read.
        """
        limit = int(float(query.get("limit", "20")))
        search = query.get("search", "").lower()
        with self._lock:
            now = self._settle()
            end = (
                bisect_left(self._order, read_cursor(query["cursor"]))
                if "cursor" in query
                else len(self._order)
            )
            found: list[Job] = []
            for index in range(end - 1, -1, -1):
                job = self._jobs[self._order[index][1]]
                if (
                    user_id in (None, job.user_id)
                    and query.get("model", job.model) == job.model
                    and (not search or search == job.id)
                    and ("status" not in query or query["status"] == job.status(now))
                ):
                    if len(found) == limit:
                        return Page(found, cursor_after(found[-1]))
                    found.append(job)
            return Page(found, None)

    def models_used(self, user_id: str | None) -> list[str]:
        """Return the ids of the models of a user's jobs, or of the team's with None, in alphabetical order."""
        with self._lock:
            return sorted(
                {job.model for job in self._jobs.values() if user_id in (None, job.user_id)}
            )

    @property
    def jobs(self) -> list[Job]:
        """All jobs, oldest first."""
        with self._lock:
            self._settle()
            return [self._jobs[job_id] for _, job_id in self._order]

    @property
    def credits(self) -> int:
        """The team's balance."""
        with self._lock:
            self._settle()
            return self._credits

    @property
    def credits_spent(self) -> int:
        """Credits charged and not given back."""
        with self._lock:
            self._settle()
            return self._spent

    @property
    def jobs_created(self) -> int:
        """How many jobs were created."""
        return len(self._jobs)

    @property
    def jobs_paid(self) -> int:
        """How many jobs were charged and not refunded."""
        with self._lock:
            self._settle()
            return len(self._jobs) - self._refunds

    @property
    def refunds(self) -> int:
        """How many jobs were refunded."""
        with self._lock:
            self._settle()
            return self._refunds

    @property
    def replays(self) -> int:
        """How many submissions were answered with the job of an earlier one."""
        return self._replays

    @property
    def requests(self) -> dict[str, int]:
        """How many requests came in per route, refused and faulted ones too."""
        with self._lock:
            return dict(self._requests)

    @property
    def jobs_by_status(self) -> dict[str, int]:
        """How many jobs are in each status now."""
        now = self.clock()
        counts = Counter(job.status(now) for job in self.jobs)
        return {status: counts[status] for status in STATUSES}

    def document(self) -> dict[str, Any]:
        """Return the answer of GET /_sandbox/state: the properties above by their names, at one moment."""
        with self._lock:
            return {
                "jobs_created": self.jobs_created,
                "jobs_paid": self.jobs_paid,
                "replays": self.replays,
                "credits": self.credits,
                "credits_spent": self.credits_spent,
                "refunds": self.refunds,
                "requests": self.requests,
                "jobs": self.jobs_by_status,
                "faults_queued": self.faults.queued,
                "settings": self.faults.settings.document(),
            }
