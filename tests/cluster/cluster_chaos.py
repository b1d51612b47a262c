"""Events drawn by chance: parts of the cluster that end, and faults of the API."""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from typing import Self

from campaign import Campaign
from cluster import SCHEDULERS, TRIGGERERS, WORKERS, Cluster

DEFERRABLE, SYNC = 50, 10  # images of a campaign
IMAGES_PER_EVENT = 3
SECONDS_PER_EVENT = 20  # it gives up when it takes longer than this
SECONDS_TO_END = 420  # for the campaigns, once it is over


class ClusterChaos:
    """Throws events; a context manager that ends the campaigns' sandboxes.

    :param seed: decides what is drawn. What it meets is up to the processes' timing.
    :ivar campaigns: the runs it met; there is always one with images under way.
    """

    def __init__(self, cluster: Cluster, seed: int) -> None:
        self._cluster = cluster
        self._seed = seed
        self._random = random.Random(seed)
        self._done: Counter[str] = Counter()
        self._sandboxes = ExitStack()
        self.campaigns: list[Campaign] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._sandboxes.close()

    @property
    def events(self) -> Counter[str]:
        """What took effect so far, by kind; a fault of the API when a request met it."""
        met = sum(len(campaign.ledger.faults) for campaign in self.campaigns)
        return self._done + Counter({"API fault": met})

    def rage(self, events: int) -> None:
        """Throw events at campaigns until so many took effect, and thrice as many images began."""
        deadline = time.monotonic() + events * SECONDS_PER_EVENT
        while self.events.total() < events or self._images < IMAGES_PER_EVENT * events:
            assert time.monotonic() < deadline, f"only {self.events} took effect in time"
            if not self.campaigns or self._nearly_done(self.campaigns[-1]):
                self._start_campaign()
            self._random.choice(self._kinds)()
            time.sleep(self._random.uniform(1, 5))

    def wait(self) -> None:
        """Wait until all images are made."""
        for campaign in self.campaigns:
            campaign.wait(SECONDS_TO_END)

    def _start_campaign(self) -> None:
        name = f"chaos-{len(self.campaigns)}"
        campaign = Campaign(
            self._cluster, name, deferrable=DEFERRABLE, sync=SYNC, latency=(1.0, 10.0),
            seed=self._seed,
        )  # fmt: skip
        self.campaigns.append(self._sandboxes.enter_context(campaign))
        campaign.start()

    def _nearly_done(self, campaign: Campaign) -> bool:
        return campaign.in_states("success") > (DEFERRABLE + SYNC) * 0.8

    @property
    def _images(self) -> int:
        return len(self.campaigns) * (DEFERRABLE + SYNC)

    @property
    def _kinds(self) -> list[Callable[[], None]]:
        return (
            4 * [self._kill_task]
            + 2 * [self._kill_worker, self._kill_triggerer]
            + [self._kill_triggerers, self._kill_scheduler, self._kill_api_server]
            + [self._restart_redis, self._empty_redis, self._restart_postgres]
            + 4 * [self._fault]
        )

    def _kill_task(self) -> None:
        running = [
            task
            for campaign in self.campaigns
            for task in campaign.images
            if task["state"] == "running" and task["pid"]
        ]
        if running and self._cluster.kill_task(self._random.choice(running)["pid"]):
            self._done["worker's process killed"] += 1

    def _kill(self, kind: str, *names: str) -> None:
        if all(self._cluster.processes(name) for name in names):
            self._cluster.kill(*names)
            self._done[f"{kind} killed"] += 1

    def _kill_worker(self) -> None:
        self._kill("worker", self._random.choice(WORKERS))

    def _kill_triggerer(self) -> None:
        self._kill("triggerer", self._random.choice(TRIGGERERS))

    def _kill_triggerers(self) -> None:
        self._kill("both triggerers", *TRIGGERERS)

    def _kill_scheduler(self) -> None:
        self._kill("scheduler", self._random.choice(SCHEDULERS))

    def _kill_api_server(self) -> None:
        self._kill("API server", "api-server")

    def _restart_redis(self) -> None:
        self._cluster.redis.kill()
        self._cluster.redis.start()
        self._done["Redis restarted"] += 1

    def _empty_redis(self) -> None:
        self._cluster.redis.kill()
        self._cluster.redis.wipe()
        self._cluster.redis.start()
        self._done["Redis restarted, empty"] += 1

    def _restart_postgres(self) -> None:
        self._cluster.postgres.kill()
        self._cluster.postgres.start()
        self._done["PostgreSQL restarted"] += 1

    def _fault(self) -> None:
        route = self._random.choice(["generate", "job", "jobs", "image"])
        faults = self.campaigns[-1].sandbox.faults
        kind = self._random.choice(["drop", "504", "503", "429"])
        if kind == "drop":
            faults.next(route, drop=True)
        elif kind == "504":
            faults.next(route, status=504, applied=True)
        elif kind == "503":
            faults.next(route, status=503)
        else:
            faults.next(route, retry_after=self._random.choice([1, 2]))
