"""Parts that end while images are made, one kind after the other, and how long that costs."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest
from campaign import Campaign
from cluster import SCHEDULERS, TRIGGERERS, WORKERS, Cluster
from waiting import wait_until

DEFERRABLE, SYNC = 10, 2
SECONDS = 240  # for a campaign with an outage in it; without one it takes 30
HEADING = "Outages: seconds from it until all of 12 images were there"


def _restart_redis(cluster: Cluster) -> None:
    cluster.redis.kill()
    cluster.redis.start()


def _empty_redis(cluster: Cluster) -> None:
    cluster.redis.kill()
    cluster.redis.wipe()
    cluster.redis.start()


def _restart_postgres(cluster: Cluster) -> None:
    cluster.postgres.kill()
    cluster.postgres.start()


OUTAGES: dict[str, Callable[[Cluster], None]] = {
    "nothing ends": lambda cluster: None,
    "one of two triggerers killed": lambda cluster: cluster.kill(TRIGGERERS[0]),
    "both triggerers killed": lambda cluster: cluster.kill(*TRIGGERERS),
    "one of two schedulers killed": lambda cluster: cluster.kill(SCHEDULERS[0]),
    "both schedulers killed": lambda cluster: cluster.kill(*SCHEDULERS),
    "one of two workers killed": lambda cluster: cluster.kill(WORKERS[0]),
    "API server killed": lambda cluster: cluster.kill("api-server"),
    "Redis restarted": _restart_redis,
    "Redis restarted, its data gone": _empty_redis,
    "PostgreSQL restarted": _restart_postgres,
}


@pytest.mark.parametrize("outage", OUTAGES)
def test_every_image_is_paid_delivered_and_saved_once(
    outage: str, cluster: Cluster, tables: dict[str, list[str]]
) -> None:
    wait_until(lambda: not cluster.missing(), "all parts are at work", SECONDS, every=0.5)
    name = f"outage-{list(OUTAGES).index(outage)}"
    with Campaign(cluster, name, deferrable=DEFERRABLE, sync=SYNC, latency=(8.0, 12.0)) as campaign:
        campaign.start()
        wait_until(lambda: campaign.in_states("deferred") > DEFERRABLE / 2, "images are made")
        began = time.monotonic()
        OUTAGES[outage](cluster)
        campaign.wait(SECONDS)
        seconds = time.monotonic() - began
        campaign.check()
    tables.setdefault(HEADING, []).append(f"{outage:<35} {seconds:>5.0f}")
