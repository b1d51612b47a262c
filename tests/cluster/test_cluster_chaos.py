"""Events drawn by chance, thrown at one campaign after the other: nothing lost, nothing paid twice.

CLUSTER_EVENTS sets how many events have to take effect (40), CLUSTER_SEED what is drawn.
"""

from __future__ import annotations

import os
import random
import time

from cluster import Cluster
from cluster_chaos import ClusterChaos

EVENTS = int(os.environ.get("CLUSTER_EVENTS") or 40)
SEED = int(os.environ.get("CLUSTER_SEED") or random.randrange(10**6))


def test_chaos_costs_nothing_twice(cluster: Cluster, tables: dict[str, list[str]]) -> None:
    begun = time.monotonic()
    chaos = ClusterChaos(cluster, SEED)
    lines = tables[f"Chaos, CLUSTER_SEED={SEED}"] = []
    with chaos:
        try:
            chaos.rage(EVENTS)
            chaos.wait()
        finally:
            lines += [f"{kind:<36} {count:>5}" for kind, count in sorted(chaos.events.items())]
            lines += [
                f"{name} started again {count:>8}" for name, count in cluster.restarts.items()
            ]
        counts = [(campaign.name, campaign.counts()) for campaign in chaos.campaigns]
        lines += [f"{name}: {count}" for name, count in counts]
        lines.append(f"{chaos.events.total()} events, {time.monotonic() - begun:.0f} s")
        for campaign in chaos.campaigns:
            campaign.check()
