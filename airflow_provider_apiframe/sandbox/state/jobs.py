"""A job: what was asked, what it cost, and how far it is at a given moment."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal, get_args

from airflow_provider_apiframe.sandbox.settings import Settings
from airflow_provider_apiframe.sandbox.state.image_plan import ImagePlan
from airflow_provider_apiframe.sandbox.state.links import image_link

Position = tuple[float, str]
Status = Literal["QUEUED", "PROCESSING", "COMPLETED", "FAILED", "CANCELLED"]
STATUSES: tuple[Status, ...] = get_args(Status)

QUEUED_SHARE = 0.15  # of a job's time; short enough that PROCESSING is seen even by slow pollers
LONGEST_KNOWN = 60.0  # seconds taken as the job's time when it has no end


def iso_time(epoch_seconds: float) -> str:
    """Return the moment as ISO 8601 in UTC with milliseconds and Z."""
    moment = datetime.fromtimestamp(epoch_seconds, UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


@dataclass(slots=True)
class Job:
    """One generation.

    Its status follows from the clock, so nothing has to run for it to make progress.

    :param id: UUID.
    :param user_id: whose job it is.
    :param api_key: the key it was submitted with, which signs its webhooks.
    :param input: the request body.
    :param created_at: epoch seconds, whole milliseconds.
    :param finish_at: epoch seconds; infinite for a job that never ends.
    :param ending: the status it ends with.
    :param error: the text of a FAILED job.
    :param base_url: where the submitter reached the sandbox, without a slash at the end.
    :param plan: what its images are.
    :param refunded: whether the credits were given back.
    :param webhook_status: pending, delivered or failed; None without a webhook.
    """

    id: str
    user_id: str
    api_key: str = field(repr=False)
    input: dict[str, Any]
    created_at: float
    finish_at: float
    ending: Status
    error: str | None
    base_url: str
    plan: ImagePlan
    refunded: bool = False
    webhook_status: str | None = None

    def position(self) -> Position:
        """Return the job's place in the list, oldest first."""
        return self.created_at, self.id

    @property
    def model(self) -> str:
        """The model id."""
        return self.plan.model

    @property
    def cost(self) -> int:
        """Credits charged."""
        return self.plan.cost

    @property
    def params(self) -> Mapping[str, Any]:
        """The parameters that came with the request, empty for none."""
        return self.plan.params

    @property
    def image_names(self) -> list[str]:
        """File names of the images on the CDN route."""
        return [self.image_name(number) for number in range(1, self.plan.count + 1)]

    def image_name(self, number: int) -> str:
        """Return the file name of an image, by its number from 1; 0 is the grid of all."""
        return f"{self.id}-{number or 'grid'}.{self.plan.format}"

    def number_of(self, name: str) -> int | None:
        """Return the number of the image of this file name; None if there is none."""
        numbers = range(0 if self.plan.grid else 1, self.plan.count + 1)
        return next((number for number in numbers if self.image_name(number) == name), None)

    @property
    def started_at(self) -> float:
        """When (epoch seconds) the job leaves the queue."""
        return self.created_at + QUEUED_SHARE * min(self.finish_at - self.created_at, LONGEST_KNOWN)

    def reaches(self, progress: int) -> float:
        """Return when (epoch seconds) `progress` (0-100) is reached; infinite if never."""
        if math.isinf(self.finish_at):
            return math.inf
        return self.started_at + progress / 100 * (self.finish_at - self.started_at)

    def status(self, now: float) -> Status:
        """Return the status at `now` (epoch seconds)."""
        if now >= self.finish_at:
            return self.ending
        return "QUEUED" if now < self.started_at else "PROCESSING"

    def progress(self, now: float) -> int | None:
        """Return 0-100 at `now`; None once the job ended without an image."""
        if now >= self.finish_at:
            return 100 if self.ending == "COMPLETED" else None
        done = (now - self.started_at) / (self.finish_at - self.started_at)
        return max(0, min(99, int(100 * done)))

    def expired(self, now: float, retention: float) -> bool:
        """Whether the image is gone at `now`, `retention` seconds after completion."""
        return self.status(now) == "COMPLETED" and now >= self.finish_at + retention

    def links(self, now: float, settings: Settings, base_url: str) -> list[str]:
        """Return the links to the images at `now`; none before they are there."""
        if self.status(now) != "COMPLETED" or now < self.finish_at + settings.result_delay:
            return []
        lifetime = settings.link_lifetime
        return [image_link(base_url, name, now, lifetime) for name in self.image_names]

    def result(self, now: float, settings: Settings, base_url: str) -> Any:
        """Return `result` at `now`, in the form the settings ask for; None if there is none."""
        links = self.links(now, settings, base_url)
        if not links:
            return None
        images: dict[str, Any] = {"images": links}
        if self.plan.grid:
            name = self.image_name(0)
            images["gridUrl"] = image_link(base_url, name, now, settings.link_lifetime)
        forms: dict[str, Any] = {
            "images": images,
            "url": links[0],
            "list": links,
            "single": {"imageUrl": links[0]},
            "none": {},
        }
        return forms[settings.result_form]

    def document(self, now: float, settings: Settings, base_url: str) -> dict[str, Any]:
        """Return the job as the OpenAPI Job schema has it, without `input`."""
        status = self.status(now)
        return {
            "id": self.id,
            "status": status,
            "model": self.model,
            "progress": None if settings.progress_null else self.progress(now),
            "result": self.result(now, settings, base_url),
            "error": self.error if status == "FAILED" else None,
            "creditCost": None if settings.cost_null else 0 if self.refunded else self.cost,
            "webhookStatus": self.webhook_status,
            "createdAt": iso_time(self.created_at),
            "completedAt": iso_time(self.finish_at) if now >= self.finish_at else None,
            "expired": self.expired(now, settings.retention),
        }
