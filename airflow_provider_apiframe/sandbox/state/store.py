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
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import replace
from threading import RLock
from typing import Any, NamedTuple
from urllib.parse import parse_qsl, urlsplit
from uuid import uuid4

from airflow_provider_apiframe.sandbox.faults import Faults
from airflow_provider_apiframe.sandbox.state.accounts import Accounts, Key
from airflow_provider_apiframe.sandbox.state.action_plan import plan_action
from airflow_provider_apiframe.sandbox.state.idempotency import IdempotencyStore
from airflow_provider_apiframe.sandbox.state.image_plan import ImagePlan
from airflow_provider_apiframe.sandbox.state.input_images import InputImages, JobImage
from airflow_provider_apiframe.sandbox.state.job_list import JobList
from airflow_provider_apiframe.sandbox.state.jobs import STATUSES, Job, Position, Status
from airflow_provider_apiframe.sandbox.state.ledger import Ledger
from airflow_provider_apiframe.sandbox.state.links import file_name, is_good
from airflow_provider_apiframe.sandbox.state.pagination import Page
from airflow_provider_apiframe.sandbox.state.plans import plan_of
from airflow_provider_apiframe.sandbox.state.prompt_directives import PromptDirectives
from airflow_provider_apiframe.sandbox.state.rate_limit import RateLimiter
from airflow_provider_apiframe.sandbox.state.uploads import Uploads

Clock = Callable[[], float]

NO_CAPACITY = "No available capacity, please try again later"


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
        self._ledger = Ledger(self.faults.settings.credits)
        self._by_id: dict[str, Job] = {}
        self._by_age = JobList()
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
                self._ledger.balance = self.faults.settings.credits

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
        :raises InvalidInput: the API refuses it before it takes credits.
        :raises UnknownParent: there is no job that a Midjourney action names.
        :raises UnusableParent: the action is not available for that job.
        :raises InsufficientCredits: the balance is too low.
        """
        with self._lock:
            now = self._refund()
            if idempotency_key:
                earlier = self._idempotency.find(key.user_id, idempotency_key, body, now)
                if earlier is not None:
                    self.replays += 1
                    return Accepted(earlier, replay=True)

            # A repeat gets the earlier job whatever has become of its input images, so plan now.
            plan = self._plan(key, body, base_url)
            self._ledger.check(plan.cost)
            job = self._new_job(key, body, plan, now, base_url)
            self._ledger.charge(job)
            self._by_id[job.id] = job
            self._by_age.add(job)
            if idempotency_key:
                self._idempotency.remember(idempotency_key, job)
            return Accepted(job, replay=False)

    def _plan(self, key: Key, body: dict[str, Any], base_url: str) -> ImagePlan:
        if "action" in body:
            parent = self.job(body["parentJobId"], key.user_id)
            return plan_action(body, parent, is_ready=bool(parent and self._has_images(parent)))
        return plan_of(body, InputImages(self.uploads, self.linked_image, base_url))

    def _new_job(
        self, key: Key, body: dict[str, Any], plan: ImagePlan, now: float, base_url: str
    ) -> Job:
        directives = PromptDirectives.of(plan.prompt)
        seconds = self.faults.job_seconds()
        no_capacity = NO_CAPACITY if self.faults.should_inject("fail_rate") else None
        error = directives.failure or no_capacity or plan.failure
        ending: Status = "FAILED" if error else "CANCELLED" if directives.cancelled else "COMPLETED"
        if directives.takes is not None:
            seconds = directives.takes
        if directives.images is not None:
            plan = replace(plan, count=directives.images)
        created_at = math.floor(now * 1000) / 1000
        return Job(
            id=str(uuid4()),
            user_id=key.user_id,
            api_key=key.value,
            input=body,
            created_at=created_at,
            finish_at=math.inf if directives.stuck else created_at + seconds,
            ending=ending,
            error=error,
            base_url=base_url,
            plan=plan,
            webhook_status="pending" if "webhookUrl" in body else None,
        )

    def _refund(self) -> float:
        """Refund the jobs that ended without an image by now; return the time."""
        with self._lock:
            now = self.clock()
            self._ledger.refund(now)
            return now

    def job(self, job_id: str, user_id: str | None = None) -> Job | None:
        """Return a job by its id; None if it doesn't exist or isn't of the user asked for."""
        self._refund()
        job = self._by_id.get(job_id.lower())
        return job if job and user_id in (None, job.user_id) else None

    def job_image(self, name: str) -> JobImage | None:
        """Return the image of this file name; None if there is none yet, or no longer."""
        job = self._by_id.get(name[:36])
        if job is None or not self._has_images(job):
            return None
        number = job.number_of(name)
        return None if number is None else JobImage(job, number)

    def linked_image(self, url: str) -> JobImage | None:
        """Return the image that a URL links to; None if it is none of ours, or can't be fetched."""
        name, query = file_name(url), dict(parse_qsl(urlsplit(url).query))
        must_be_good = self.faults.settings.link_lifetime is not None
        if must_be_good and not is_good(name, query, self.clock()):
            return None
        return self.job_image(name)

    def _has_images(self, job: Job) -> bool:
        now = self.clock()
        expired = job.expired(now, self.faults.settings.retention)
        return job.status(now) == "COMPLETED" and not expired

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

            def matches(job: Job) -> bool:
                return (
                    user_id in (None, job.user_id)
                    and (status is None or status == job.status(now))
                    and model in (None, job.model)
                    and search in (None, job.id)
                )

            return self._by_age.page(limit, after, matches)

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
        self._refund()
        return len(self._by_age) - self._ledger.refunds

    @property
    def refunds(self) -> int:
        """How many jobs were refunded."""
        self._refund()
        return self._ledger.refunds

    @property
    def credits(self) -> int:
        """The team's balance."""
        self._refund()
        return self._ledger.balance

    @property
    def credits_spent(self) -> int:
        """Credits charged and not refunded."""
        self._refund()
        return self._ledger.spent

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
