"""Many images at once on a cluster, and the count of what was paid, delivered and saved."""

from __future__ import annotations

import hashlib
import json
import time
from collections import Counter
from dataclasses import dataclass
from typing import Any, Self

from cluster import Cluster
from ledger import Ledger
from ports import free_port
from stage import FINISHED
from waiting import wait_until

from airflow_provider_apiframe.sandbox.server import Sandbox

# The minute of `requests_per_minute`, in seconds. It is kept where requests are sent; one that was
# late on its way arrives closer to the next ones.
WINDOW = 60.0 - 1.0


@dataclass(frozen=True)
class Counts:
    """What came of a campaign's images.

    :ivar lost: images that were paid for and not delivered.
    :ivar duplicates: images that were paid for twice.
    """

    wanted: int
    paid: int
    delivered: int
    saved: int
    duplicates: int
    lost: int
    needless_files: int
    failed_tasks: int

    @property
    def as_they_should_be(self) -> bool:
        return self == Counts(*4 * [self.wanted], *4 * [0])

    def __str__(self) -> str:
        return ", ".join(f"{name.replace('_', ' ')} {count}" for name, count in vars(self).items())


class Campaign:
    """One run of ``dags/campaign.py``, with a sandbox and a connection of its own.

    A context manager that starts and ends the sandbox.

    :param name: of run and connection.
    :param deferrable: images of deferrable tasks.
    :param sync: images of tasks that wait on their worker.
    :param extra: of the connection.
    :param options: of the sandbox.
    """

    def __init__(
        self,
        cluster: Cluster,
        name: str,
        *,
        deferrable: int,
        sync: int,
        extra: dict[str, Any] | None = None,
        **options: Any,
    ) -> None:
        self.cluster = cluster
        self.name = name
        self.numbers = {"deferrable": deferrable, "sync": sync}
        self.sandbox = Sandbox(port=free_port(), credits=10**6, **options)
        self.ledger = Ledger(self.sandbox)
        self._extra = extra or {}
        self.started_at = 0.0

    def __enter__(self) -> Self:
        self.sandbox.start()
        self.cluster.api.add_connection(
            self.name, self.sandbox.url, self.sandbox.api_key, json.dumps(self._extra)
        )
        return self

    def __exit__(self, *_: object) -> None:
        self.sandbox.stop()

    def start(self) -> None:
        """Start the run."""
        self.started_at = time.monotonic()
        conf = {"conn_id": self.name, **self.numbers}
        self.cluster.api.start_run("campaign", self.name, conf)

    @property
    def images(self) -> list[dict[str, Any]]:
        """The task instances of the images, as far as there are any yet."""
        return [
            task
            for task in self.cluster.api.tasks(self.name)
            if task["task_id"].endswith("_image") and task["map_index"] >= 0
        ]

    def in_states(self, *states: str) -> int:
        """Return how many of the images are in one of these states."""
        return sum(task["state"] in states for task in self.images)

    def wait(self, seconds: float) -> None:
        """Wait until all images are made.

        :raises AssertionError: it took longer; the text says what was the matter.
        """
        try:
            wait_until(self.has_ended, f"{self.name} ends", seconds, every=0.5)
        except AssertionError as error:
            states = Counter(task["state"] for task in self.images)
            raise AssertionError(f"{error}: {dict(states)}") from None

    def has_ended(self) -> bool:
        """Return whether all images are made, or given up."""
        return self.in_states(*FINISHED) >= sum(self.numbers.values())

    def counts(self) -> Counts:
        """Count, now that the run is over."""
        self.cluster.api.tasks("", fresh=True)
        images = self.images
        results = [self.cluster.api.xcom(task) for task in images if task["state"] == "success"]
        paid = {job.id: job.input["prompt"] for job in self.sandbox.state.jobs if not job.refunded}
        delivered = Counter(result["job_id"] for result in results)
        files = {
            f"file://{path}": path
            for path in (self.cluster.home / "saved").glob(f"*/{self.name}/**/*")
            if path.is_file()
        }
        saved = [
            image["uri"]
            for result in results
            for image in result["images"]
            if image["uri"] in files
            and hashlib.sha256(files[image["uri"]].read_bytes()).hexdigest() == image["sha256"]
        ]
        return Counts(
            wanted=sum(self.numbers.values()),
            paid=len(paid),
            delivered=len(delivered),
            saved=len(set(saved)),
            duplicates=len(paid) - len(set(paid.values())),
            lost=len(paid.keys() - delivered.keys()),
            needless_files=len(files.keys() - set(saved)),
            failed_tasks=len(images) - len(results),
        )

    def check(self) -> Counts:
        """Count, and return that.

        :raises AssertionError: an image is missing, or there twice; the text has the counts and the
            log of a task that failed.
        """
        counts = self.counts()
        logs = "" if counts.as_they_should_be else self.cluster.task_logs(self.name, 15)[-6000:]
        assert counts.as_they_should_be, f"{counts}\n{self.sandbox.state.document()}\n{logs}"
        return counts

    def requests(self, *routes: str) -> int:
        """Return how many requests the API got, on these routes or on all."""
        return sum(not routes or entry.route in routes for entry in self.ledger.entries)

    def busiest_minute(self, *routes: str) -> int:
        """Return the most requests on these routes in any minute."""
        times = [entry.at for entry in self.ledger.entries if entry.route in routes]
        return max((sum(at <= other < at + WINDOW for other in times) for at in times), default=0)
