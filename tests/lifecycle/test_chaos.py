"""A storm of faults drawn by chance: one paid job per image, and every paid image delivered.

LIFECYCLE_FAULTS sets how many faults have to take effect (40), LIFECYCLE_SEED what is drawn.
"""

from __future__ import annotations

import os
import random
import time
from collections import Counter
from concurrent.futures import Future, wait

from chaos import Chaos
from one_machine import OneMachine
from stage import Row, Scenario

FAULTS = int(os.environ.get("LIFECYCLE_FAULTS", "40"))
SEED = int(os.environ.get("LIFECYCLE_SEED") or random.randrange(10**6))


def test_a_storm_of_faults_costs_nothing_twice(
    rows: dict[Scenario, Future[Row]], airflow: OneMachine, tables: dict[str, list[str]]
) -> None:
    wait(rows.values())  # killing triggerers would spoil the scenarios
    begun = time.monotonic()
    with Chaos(airflow, SEED) as chaos:
        lines = tables[f"Chaos, LIFECYCLE_SEED={SEED}"] = []
        try:
            chaos.rage(FAULTS)
        finally:
            lines += [f"{kind:<36} {count:>5}" for kind, count in sorted(chaos.injected.items())]

        tasks, state = chaos.tasks, chaos.sandbox.state
        ended_badly = [task for task in tasks if task["state"] != "success"]
        delivered = Counter(
            airflow.api.xcom(task)["job_id"] for task in tasks if task["state"] == "success"
        )
        paid = {job.id: job.input["prompt"] for job in state.jobs if not job.refunded}
        duplicates = len(paid) - len(set(paid.values()))
        lost = [job for job in paid if delivered[job] != 1]
        counts = {
            "faults": chaos.injected.total(),
            "tasks": len(tasks),
            "jobs": state.jobs_created,
            "paid": state.jobs_paid,
            "refunded": state.refunds,
            "replays": state.replays,
            "delivered": delivered.total(),
            "duplicates": duplicates,
            "lost": len(lost),
            "seconds": round(time.monotonic() - begun),
        }
        lines.append(", ".join(f"{name} {count}" for name, count in counts.items()))

    logs = "\n".join(airflow.task_logs(task["dag_run_id"], lines=15) for task in ended_badly[:1])
    assert not ended_badly, f"{len(ended_badly)} tasks did not succeed\n{logs}"
    assert (duplicates, lost) == (0, []), f"paid twice: {duplicates}, lost: {lost}"
    assert set(delivered) == set(paid)
    assert len(tasks) == len(delivered)
