"""Images made on a cluster where nothing ends: the figures that others are compared with."""

from __future__ import annotations

import time

import psutil
from campaign import Campaign
from cluster import PARTS, TRIGGERERS, Cluster
from waiting import wait_until

MB = 1 << 20
POLLS = ("job", "jobs")


def test_each_image_is_paid_delivered_and_saved_once(
    cluster: Cluster, tables: dict[str, list[str]]
) -> None:
    with Campaign(cluster, "calm", deferrable=100, sync=20, latency=(4.0, 12.0)) as campaign:
        connections = []

        def has_ended() -> bool:
            connections.append(cluster.postgres.connections)
            return campaign.has_ended()

        campaign.start()
        wait_until(has_ended, "all images are made", 600, every=1)
        seconds = time.monotonic() - campaign.started_at
        counts = campaign.check()
        memory = {name: _memory(cluster, name) for name in PARTS}
        tables["120 images"] = [
            str(counts),
            f"{seconds:.0f} s, {campaign.requests() / counts.wanted:.2f} requests per image, "
            f"of these {campaign.requests(*POLLS) / counts.wanted:.2f} polls; "
            f"at most {max(connections)} connections to PostgreSQL",
            *(f"{name:<16} {size / MB:>5.0f} MB" for name, size in memory.items()),
        ]
        hosts = {task["hostname"] for task in campaign.images}
    assert len(hosts) == 2 or not cluster.on_hosts, f"ran on {hosts}"


def _memory(cluster: Cluster, name: str) -> int:
    """Return the bytes of a part's processes; what they share is counted once."""
    total = 0
    for process in cluster.processes(name):
        try:
            total += process.memory_full_info().pss
        except psutil.NoSuchProcess:
            continue
    return total


def test_all_triggerers_together_stay_within_requests_per_minute(
    cluster: Cluster, tables: dict[str, list[str]]
) -> None:
    limit = 40
    with Campaign(
        cluster,
        "limited",
        deferrable=40,
        sync=0,
        latency=(20.0, 75.0),
        extra={"requests_per_minute": limit},
    ) as campaign:
        campaign.start()
        campaign.wait(400)
        campaign.check()
        most = campaign.busiest_minute(*POLLS)
    tables["requests_per_minute"] = [
        f"{len(TRIGGERERS)} triggerers, a limit of {limit}: at most {most} in any minute"
    ]
    assert most <= limit
