"""Webhooks: what is sent, how it is signed, and who sends it at the right moment."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import logging
import math
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from heapq import heappop, heappush
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from airflow_provider_apiframe.sandbox.settings import WebhookDigest
from airflow_provider_apiframe.sandbox.state.jobs import Job
from airflow_provider_apiframe.sandbox.state.store import Store
from airflow_provider_apiframe.sandbox.web.hosts import is_loopback

if TYPE_CHECKING:
    import httpx

DEFAULT_EVENTS = ("completed", "failed")  # OpenAPI GenerateImageRequest and webhook docs
PROGRESS_STEPS = (25, 50, 75)  # percent; the vendor doesn't say how often it tells progress
TIMEOUT = 10.0  # seconds for a receiver to respond
# Seconds until the clock is read again while something is due, as the clock may be a test's.
TICK = 0.02

_log = logging.getLogger(__name__)


def signature(api_key: str, body: bytes, form: WebhookDigest = "raw") -> str:
    """Return the X-Webhook-Signature of a body.

    It is the HMAC-SHA256 with the SHA-256 of the API key as its secret, either as 32 bytes ("raw",
    as the vendor's SDK verifies it) or as 64 hexadecimal characters ("hex", as receivers in
    production found it).
    """
    digest = hashlib.sha256(api_key.encode())
    secret = digest.digest() if form == "raw" else digest.hexdigest().encode()
    return "sha256=" + hmac.new(secret, body, hashlib.sha256).hexdigest()


def payload(event: str, document: dict[str, Any], progress: int) -> dict[str, Any]:
    """Return the JSON body of an event about a job, given as the API shows it."""
    body = {"event": event, "jobId": document["id"], "model": document["model"]}
    if event == "progress":
        return {**body, "status": "PROCESSING", "progress": progress}
    if event == "failed":
        return {**body, "status": "FAILED", "error": document["error"]}
    kept = ("status", "progress", "result", "creditCost", "completedAt")
    return {**body, **{name: document[name] for name in kept}}


def due_events(job: Job) -> list[tuple[float, str, int]]:
    """Return when (epoch seconds) which event of a job is due, and with which progress (0-100)."""
    if "webhookUrl" not in job.input:
        return []
    wanted = job.input.get("webhookEvents", DEFAULT_EVENTS)
    steps = PROGRESS_STEPS if "progress" in wanted else ()
    events = [(job.reaches(step), "progress", step) for step in steps]
    final = job.ending.lower()
    if final in wanted:
        events.append((job.finish_at, final, 100))
    return [event for event in events if event[0] < math.inf]


class WebhookSender:
    """Sends webhooks from a background task. Each event is tried once.

    :param store: gives the time, the settings, and the state of a job when its event is due.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        # A heap, as it is looked through many times a second. The number keeps the order of events
        # that are due at once.
        self._scheduled: list[tuple[float, int, Job, str, int]] = []
        self._count = 0
        self._woken = asyncio.Event()
        self._client: httpx.AsyncClient | None = None
        self._deliveries: set[asyncio.Task[None]] = set()

    def schedule(self, job: Job) -> None:
        """Schedule the events of a new job."""
        for due, event, progress in due_events(job):
            self._count += 1
            heappush(self._scheduled, (due, self._count, job, event, progress))
            self._woken.set()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Send what is due while the context lasts."""
        loop = asyncio.create_task(self._send_due())
        try:
            yield
        finally:
            for task in (loop, *self._deliveries):
                task.cancel()
                with suppress(asyncio.CancelledError):
                    await task
            if self._client is not None:
                await self._client.aclose()

    async def _send_due(self) -> None:
        while True:
            if not self._scheduled:
                self._woken.clear()
                await self._woken.wait()
            now = self._store.clock()
            while self._scheduled and self._scheduled[0][0] <= now:
                _, _, job, event, progress = heappop(self._scheduled)
                if self._store.job(job.id) is not job:
                    continue  # forgotten by a reset
                delivery = asyncio.create_task(self._deliver(job, event, progress))
                self._deliveries.add(delivery)
                delivery.add_done_callback(self._deliveries.discard)
            await asyncio.sleep(TICK)

    async def _deliver(self, job: Job, event: str, progress: int) -> None:
        settings = self._store.faults.settings
        url = job.input["webhookUrl"]
        host = urlsplit(url).hostname or ""
        if not settings.allow_external_webhooks and not is_loopback(host):
            _log.warning(
                "Webhook of job %s not sent: %s is not this machine (--allow-external-webhooks)",
                job.id,
                host,
            )
            job.webhook_status = "failed"
            return
        document = job.document(self._store.clock(), settings, job.base_url)
        body = json.dumps(payload(event, document, progress)).encode()
        headers = {
            "Content-Type": "application/json",
            "X-Webhook-Signature": signature(job.api_key, body, settings.webhook_digest),
            "X-Webhook-Event": event,
        }
        job.webhook_status = "delivered" if await self._post(url, body, headers) else "failed"

    async def _post(self, url: str, body: bytes, headers: dict[str, str]) -> bool:
        # httpx takes a while to import, and most sandboxes never send a webhook.
        import httpx

        if self._client is None:
            self._client = httpx.AsyncClient(timeout=TIMEOUT, trust_env=False)
        try:
            response = await self._client.post(url, content=body, headers=headers)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            _log.warning("Webhook to %s failed: %r", url, error)
            return False
        return response.is_success
