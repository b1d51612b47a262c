"""The stage of a batch: a file of requests, and what has to be there once it is done."""

from __future__ import annotations

import hashlib
import json
import os
import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from deployment import Deployment
from PIL import Image
from stage import Expected, Row, Scenario, Stage
from waiting import wait_until

SEED = int(os.environ.get("LIFECYCLE_SEED") or random.randrange(10**6))
THREADS = 8  # of a worker; so many requests may be in flight when it is killed


@dataclass(frozen=True)
class BatchScenario(Scenario):
    """One row of the table of batches. What is expected counts batches, not images.

    :ivar images: how many requests the batch has.
    """

    images: int = 40


@dataclass(frozen=True)
class BatchRow(Row):
    """What happened to a batch.

    :ivar images: how many it asked for.
    :ivar kills: how many processes of its task were killed.
    :ivar fetched: how many images were downloaded.
    :ivar reused_jobs: how many jobs an earlier try had submitted, says the last value.
    """

    images: int
    kills: int
    fetched: int
    reused_jobs: int


class BatchStage(Stage):
    """Where a batch runs.

    :ivar rng: draws where things break.
    :ivar kills: how many processes of the task were killed.
    :ivar reusable: how many jobs there were before the last try, at least; None where the scenario
        does not care.
    """

    task_id = "images"
    scenario: BatchScenario

    def __init__(self, scenario: BatchScenario, airflow: Deployment, name: str) -> None:
        super().__init__(scenario, airflow, name)
        self.sandbox.configure(credits=10**6)
        self.rng = random.Random(f"{SEED}/{scenario}")
        self.kills = 0
        self.reusable: int | None = 0
        self.requests = [
            {
                "id": f"sku-{number}",
                "prompt": f"Image {number} of {name}",
                "flux_params": {"seed": number},
            }
            for number in range(scenario.images)
        ]
        self._file = airflow.home / "requests" / f"{name}.jsonl"
        self.write_requests()

    def write_requests(self) -> None:
        """Write the file of requests."""
        self._file.parent.mkdir(exist_ok=True)
        written = self._file.with_suffix(".new")
        written.write_text("".join(f"{json.dumps(request)}\n" for request in self.requests))
        written.rename(self._file)

    def _conf(self) -> dict[str, Any]:
        return {"conn_id": self.name, "requests": str(self._file)}

    @property
    def images_asked(self) -> int:
        return self.scenario.images

    @property
    def saved(self) -> set[Path]:
        """The files in the folder of the task."""
        return set((self.airflow.home / "saved").glob(f"*/{self.name}/*/*"))

    @property
    def images_saved(self) -> int:
        return sum(file.suffix == ".jpg" and file.name[0] != "." for file in self.saved)

    def kill_at(
        self,
        point: str,
        *,
        with_worker: bool = False,
        before: Callable[[], None] = lambda: None,
    ) -> None:
        """Kill the task's process once it stands at an armed breakpoint.

        :param with_worker: the executor's process above it, too.
        :param before: done while it stands there, e.g. to arm the next breakpoint.
        """
        pid = self.stopped_at(point)
        before()
        self.kill(pid, with_worker=with_worker)

    def kill(self, pid: int, *, with_worker: bool = False) -> None:
        """Kill the task's process."""
        assert self.airflow.kill_task(pid, with_worker), "the process was not there to be killed"
        self.kills += 1
        self.reusable = self.sandbox.state.jobs_created

    def resumes(self) -> None:
        """Wait until the task is deferred: what is armed from now on meets the resumed one."""
        self.reaches("deferred")

    def accepts(self, jobs: int) -> None:
        """Wait until the sandbox has accepted so many jobs."""
        state = self.sandbox.state
        wait_until(lambda: state.jobs_created >= jobs, f"{self.name}: {jobs} jobs are accepted")

    def deliver(self, run_id: str | None = None) -> dict[str, Any]:
        """Wait until the task succeeded; check its value, its manifest and what is saved."""
        task = self.reaches("success", run_id=run_id)
        value: dict[str, Any] = self.airflow.api.xcom(task)
        manifest = Path(urlsplit(value["manifest"]).path)
        lines = [json.loads(line) for line in manifest.read_text().splitlines()]
        self._check_lines(lines)
        jobs = {job.id: job for job in self.sandbox.state.jobs}
        cost = sum(jobs[line["job_id"]].cost for line in lines)
        asked = self.images_asked
        expected = {
            "manifest": value["manifest"],
            "total": asked,
            "succeeded": asked,
            "failed": 0,
            "unfinished": 0,
            "credit_cost": cost,
            "credits_by_model": {"flux-2-flex": cost},
            "reused": value["reused"],
        }
        assert value == expected, f"the value is {value}, not {expected}"
        self.images |= {line["job_id"]: line for line in lines}
        manifests = {file for file in self.saved if file.suffix == ".jsonl"}
        images = {Path(urlsplit(line["images"][0]["uri"]).path) for line in self.images.values()}
        assert manifest in manifests
        assert self.saved == images | manifests, "more or less is saved than the manifests say"
        return value

    def _check_lines(self, lines: list[dict[str, Any]]) -> None:
        """Check that each request has the image of its own job, in the order of the file."""
        jobs = {job.id: job for job in self.sandbox.state.jobs}
        refunded = Counter(job.input["prompt"] for job in jobs.values() if job.refunded)
        assert len(lines) == self.images_asked, f"the manifest has {len(lines)} lines"
        for index, (line, request) in enumerate(zip(lines, self.requests, strict=True)):
            job, (image,) = jobs[line["job_id"]], line["images"]
            said = {name: line[name] for name in ("index", "id", "status", "error", "generation")}
            assert said == {
                "index": index,
                "id": request["id"],
                "status": "COMPLETED",
                "error": None,
                "generation": refunded[request["prompt"]],
            }, f"{said} of {request}"
            assert line["request"]["prompt"] == request["prompt"] == job.input["prompt"]
            assert line["credit_cost"] == job.cost
            file = Path(urlsplit(image["uri"]).path)
            assert job.id in file.name
            assert hashlib.sha256(file.read_bytes()).hexdigest() == image["sha256"]
            with Image.open(file) as opened:
                opened.load()
                assert (opened.format, opened.size) == ("JPEG", (256, 256))

    def _row(self, value: dict[str, Any], seconds: float) -> BatchRow:
        row = super()._row(value, seconds)
        return BatchRow(
            **{field.name: getattr(row, field.name) for field in fields(row)},
            images=self.images_asked,
            kills=self.kills,
            fetched=len(self.ledger.requests("image")),
            reused_jobs=value["reused"],
        )

    def _judge(self, row: Row) -> None:
        assert isinstance(row, BatchRow)
        expected, refunds = self.scenario.expected, self.sandbox.state.refunds
        asked = self.images_asked
        assert row.paid == expected.paid * asked, f"{row.paid} jobs were paid for"
        assert row.created == expected.created * asked + refunds, f"{row.created} jobs were created"
        assert set(self.images) == self.paid_jobs, (
            "the images delivered are not those that were paid for"
        )
        more = self.airflow.tries_ended_by_the_scheduler(self.name)
        if self.reusable is not None and row.tries == expected.tries:
            most = min(asked, self.reusable + THREADS * bool(self.kills))
            assert min(asked, self.reusable) <= row.reused_jobs <= most, (
                f"{row.reused_jobs} jobs were reused, not {self.reusable} to {most}"
            )
        # The scheduler takes the end of a killed task for that of its retry, too, where that is
        # queued by then, and says so; not all of these cost a try.
        assert expected.tries is None or 0 <= row.tries - expected.tries <= more, (
            f"{row.tries} tries, not {expected.tries} + {more}"
        )


def tries(count: int | None, batches: int = 1) -> Expected:
    """Return what is expected of *count* tries: so many batches created and paid."""
    return Expected(tries=count, created=batches, paid=batches)
