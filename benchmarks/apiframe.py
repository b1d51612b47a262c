"""Apiframe for the benchmarks: the sandbox in its own process, and a client that orders images."""

from __future__ import annotations

import http.client
import json
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psutil

from airflow_provider_apiframe.sandbox.state.accounts import API_KEY
from benchmarks.processes import ROOT, environment

MODEL = "flux-2-flex"
CREDITS = 10**9
SUBMITTERS = 4  # connections that order images at the same time; more make the sandbox no faster
STOP_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class SandboxProcess:
    """A running sandbox.

    :ivar url: its base URL, on loopback.
    :ivar pid: its process.
    """

    url: str
    pid: int
    api_key: str = API_KEY

    def requests(self) -> dict[str, int]:
        """Return how many requests came in per route, by the sandbox's own count."""
        counts: dict[str, int] = self._state()["requests"]
        return counts

    def paid(self) -> int:
        """Return how many jobs were paid for, and not refunded."""
        return int(self._state()["jobs_paid"])

    def cpu_seconds(self) -> float:
        """Return the CPU time of its process until now."""
        times = psutil.Process(self.pid).cpu_times()
        return float(times.user + times.system)

    def _state(self) -> dict[str, Any]:
        with closing(self._connection()) as connection:
            connection.request("GET", "/_sandbox/state")
            state: dict[str, Any] = json.load(connection.getresponse())
            return state

    def submit(self, prompt: str, model: str) -> str:
        """Order one image and return the job's id."""
        with closing(self._connection()) as connection:
            return self._submit(connection, prompt, model)

    def submit_many(self, prompts: Sequence[str], accepted: Callable[[str], None]) -> list[str]:
        """Order an image for each prompt, over a few connections, and return the ids.

        :param accepted: called with each id at once, by one thread at a time.
        """
        one_at_a_time = threading.Lock()

        def submit_share(share: int) -> list[str]:
            ids = []
            with closing(self._connection()) as connection:
                for prompt in prompts[share::SUBMITTERS]:
                    ids.append(self._submit(connection, prompt, MODEL))
                    with one_at_a_time:
                        accepted(ids[-1])
            return ids

        with ThreadPoolExecutor(SUBMITTERS) as submitters:
            return [
                job_id for ids in submitters.map(submit_share, range(SUBMITTERS)) for job_id in ids
            ]

    def _connection(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection(urlsplit(self.url).netloc, timeout=60)

    def _submit(self, connection: http.client.HTTPConnection, prompt: str, model: str) -> str:
        headers = {
            "X-API-Key": self.api_key,
            "Content-Type": "application/json",
            "User-Agent": "benchmarks",
        }
        connection.request(
            "POST", "/v2/images/generate", json.dumps({"model": model, "prompt": prompt}), headers
        )
        response = connection.getresponse()
        payload: dict[str, Any] = json.load(response)
        if response.status != 202:
            raise RuntimeError(f"the sandbox refused a job: {response.status} {payload}")
        return str(payload["jobId"])


@contextmanager
def sandbox(scratch: Path, latency: float, *, progress: bool = True) -> Iterator[SandboxProcess]:
    """Run a sandbox without a rate limit in a process of its own.

    :param latency: seconds that every job takes.
    :param progress: whether jobs say how far they are.
    """
    options = ["--port", "0", "--quiet", "--latency", f"{latency}", "--credits", f"{CREDITS}"]
    if not progress:
        options.append("--progress-null")
    with (scratch / "sandbox.log").open("a") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "airflow_provider_apiframe.sandbox", *options],
            cwd=ROOT,
            env=environment(scratch),
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
        )
    try:
        assert process.stdout is not None
        url = process.stdout.readline().strip()
        if not url:
            raise RuntimeError(
                f"the sandbox did not start: {(scratch / 'sandbox.log').read_text()}"
            )
        yield SandboxProcess(url, process.pid)
    finally:
        end(process)


def end(process: subprocess.Popen[str]) -> None:
    """End a process, by force if it does not go."""
    process.terminate()
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            pipe.close()
