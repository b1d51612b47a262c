"""A sandbox on loopback whose time the test turns, and clients that talk to it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import httpx
import pytest

from airflow_provider_apiframe.sandbox.server import Sandbox


class Clock:
    def __init__(self) -> None:
        self.now = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now

    def advance(self, seconds: float) -> None:
        self.now += seconds


class Client(httpx.Client):
    def __init__(self, sandbox: Sandbox, key: str | None) -> None:
        super().__init__(
            base_url=sandbox.url, headers={"X-API-Key": key} if key else {}, timeout=20
        )

    def generate(
        self, prompt: str = "a poster", *, key: str | None = None, **body: Any
    ) -> httpx.Response:
        """Submit a job; `key` is the Idempotency-Key."""
        headers = {} if key is None else {"Idempotency-Key": key}
        return self.post(
            "/v2/images/generate",
            json={"prompt": prompt, "model": "flux-2-flex", **body},
            headers=headers,
        )

    def job_id(self, prompt: str = "a poster", **body: Any) -> str:
        """Submit a job and return its id."""
        answer = self.generate(prompt, **body)
        assert answer.status_code == 202, answer.text
        return str(answer.json()["jobId"])

    def submit(self, kind: str, *, key: str | None = None, **body: Any) -> httpx.Response:
        """Submit a job of any kind, e.g. "upscale"; `key` is the Idempotency-Key."""
        headers = {} if key is None else {"Idempotency-Key": key}
        return self.post(f"/v2/images/{kind}", json=body, headers=headers)

    def accepted(self, kind: str, **body: Any) -> str:
        """Submit a job of any kind and return its id."""
        answer = self.submit(kind, **body)
        assert answer.status_code == 202, answer.text
        return str(answer.json()["jobId"])

    def job(self, job_id: str) -> dict[str, Any]:
        """Read a job."""
        answer = self.get(f"/v2/jobs/{job_id}")
        assert answer.status_code == 200, answer.text
        return dict(answer.json())

    def download(self, url: str, method: str = "GET", **headers: str) -> httpx.Response:
        """Fetch an image, without the key."""
        return httpx.request(method, self.base_url.join(url), headers=headers, timeout=20)

    def jobs(self, **query: Any) -> dict[str, Any]:
        """Read a page of jobs."""
        answer = self.get("/v2/jobs", params=query)
        assert answer.status_code == 200, answer.text
        return dict(answer.json())


@pytest.fixture(scope="session")
def clock() -> Clock:
    return Clock()


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


@pytest.fixture
def serve(clock: Clock, stack: ExitStack) -> Callable[..., Sandbox]:
    """Start a sandbox with the options given; a job takes 10 s of the test's clock."""

    def start(**options: Any) -> Sandbox:
        return stack.enter_context(Sandbox(**{"clock": clock, "latency": 10, **options}))

    return start


@pytest.fixture
def connect(stack: ExitStack) -> Callable[..., Client]:
    """Return a client of a sandbox, with its key unless another (None for none) is given."""

    def open_client(sandbox: Sandbox, key: str | None = "afk_sandbox") -> Client:
        return stack.enter_context(Client(sandbox, key))

    return open_client


@pytest.fixture(scope="session")
def standing_sandbox(clock: Clock) -> Iterator[Sandbox]:
    with Sandbox(clock=clock, latency=10) as sandbox:
        yield sandbox


@pytest.fixture
def sandbox(standing_sandbox: Sandbox) -> Sandbox:
    """A sandbox as if just started; a job takes 10 s of the test's clock."""
    standing_sandbox.reset()
    return standing_sandbox


@pytest.fixture
def api(sandbox: Sandbox, connect: Callable[..., Client]) -> Client:
    return connect(sandbox)
