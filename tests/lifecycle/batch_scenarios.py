"""The table of batches: what breaks while a task makes many images, and what it may cost."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from batch_stage import BatchScenario, BatchStage, tries
from stage import LONG, Expected
from waiting import wait_until

KILLS = 20
EVERY_SO_MANY = 7  # kills, the executor's process dies with the task's

BATCHES: list[BatchScenario] = []


def batch(
    title: str, *modes: str, expected: Expected, **options: Any
) -> Callable[[Callable[[BatchStage], None]], None]:
    def add(play: Callable[[BatchStage], None]) -> None:
        options.setdefault("kind", "batch")
        options.setdefault("latency", 1.0)
        BATCHES.extend(BatchScenario(title, mode, play, expected, **options) for mode in modes)

    return add


@batch(f"worker killed {KILLS} times, submitting", "deferrable", expected=tries(21), images=200)
def _(stage: BatchStage) -> None:
    # Each try submits what those before it had submitted, and goes some requests further.
    passes = sorted(stage.rng.sample(range(1, stage.images_asked + 1), KILLS))
    steps = [(stage.rng.choice(["submitting", "responded"]), number) for number in passes]
    stage.arm(*steps[0])
    stage.start()
    for number, (point, _) in enumerate(steps):
        arm_next = partial(stage.arm, *steps[number + 1]) if number + 1 < KILLS else lambda: None
        with_worker = (number + 1) % EVERY_SO_MANY == 0
        stage.kill_at(point, with_worker=with_worker, before=arm_next)


@batch("requests moved in their file, worker killed", "sync", expected=tries(2))
def _(stage: BatchStage) -> None:
    stage.arm("responded", stage.rng.randint(1, stage.images_asked))
    stage.start()

    def move() -> None:
        stage.rng.shuffle(stage.requests)
        stage.write_requests()

    stage.kill_at("responded", before=move)


@batch("worker killed before it writes the manifest", "deferrable", expected=tries(2))
def _(stage: BatchStage) -> None:
    stage.arm("recording", 2)  # the first one comes before anything is submitted
    stage.start()
    stage.kill_at("recording")
    stage.resumes()


@batch("worker killed before it defers", "deferrable", expected=tries(2))
def _(stage: BatchStage) -> None:
    stage.arm("deferring")
    stage.start()
    stage.kill_at("deferring")
    stage.reaches("success")
    submits = len(stage.ledger.requests("generate"))
    assert submits == stage.images_asked, "the manifest knows all jobs, and one was submitted again"


@batch("worker killed 3 times, saving", "deferrable", expected=tries(4))
def _(stage: BatchStage) -> None:
    stage.start()
    for _ in range(3):
        stage.resumes()
        left = stage.images_asked - stage.images_saved
        stage.arm("saving", stage.rng.randint(1, max(1, left // 2)))
        stage.kill_at("saving")


@batch(
    "worker killed in each of 3 waves",
    "deferrable",
    expected=tries(4),
    kind="batch_in_waves",
    images=45,
)
def _(stage: BatchStage) -> None:
    stage.start()
    stage.resumes()
    stage.arm("saving", stage.rng.randint(1, 15))
    stage.kill_at("saving")
    stage.arm("submitting", stage.rng.randint(1, 15))
    stage.kill_at("submitting")
    stage.accepts(45)
    stage.resumes()
    stage.arm("recording")
    stage.kill_at("recording")


@batch(
    "worker killed in the second of 3 waves",
    "sync",
    expected=tries(2),
    kind="batch_in_waves",
    images=45,
)
def _(stage: BatchStage) -> None:
    stage.arm("submitting", 15 + stage.rng.randint(1, 15))
    stage.start()
    stage.kill_at("submitting")


@batch("worker killed after the last save", "deferrable", expected=tries(2))
def _(stage: BatchStage) -> None:
    stage.start()
    stage.resumes()
    stage.arm("recording")
    stage.kill_at("recording")
    assert stage.images_saved == stage.images_asked
    stage.reaches("success")
    assert len(stage.ledger.requests("image")) == stage.images_asked, "an image was fetched twice"


@batch("worker killed before it returns", "sync", "deferrable", expected=tries(2))
def _(stage: BatchStage) -> None:
    stage.arm("returning")
    stage.start()
    stage.kill_at("returning")
    stage.reaches("success")
    assert len(stage.ledger.requests("image")) == stage.images_asked, "an image was fetched twice"


@batch("worker killed while it waits", "sync", expected=tries(2), latency=LONG)
def _(stage: BatchStage) -> None:
    stage.arm("polled", 3)  # the first one comes before anything is submitted
    stage.start()
    stage.kill_at("polled", before=stage.finish_job)
    stage.reaches("success")
    submits = len(stage.ledger.requests("generate"))
    assert submits == stage.images_asked, "the manifest knows all jobs, and one was submitted again"


@batch("no capacity for some, worker killed", "deferrable", expected=tries(2))
def _(stage: BatchStage) -> None:
    stage.sandbox.configure(fail_rate=1.0)
    stage.arm("submitting", stage.rng.randint(5, 15))
    stage.start()
    stage.kill_at("submitting", before=lambda: stage.sandbox.configure(fail_rate=0.0))
    stage.reusable = None  # some of them failed
    stage.reaches("success")
    assert stage.sandbox.state.refunds


@batch("storm of 429, worker killed in it", "deferrable", expected=tries(2), images=60)
def _(stage: BatchStage) -> None:
    state, seen, limit = stage.sandbox.state, stage.ledger.seen, 15

    def storm(requests: int) -> None:
        """Wait until so many more requests have been refused, or all jobs are there."""
        most = seen["refused by the rate limit"] + requests
        wait_until(
            lambda: (
                seen["refused by the rate limit"] >= most
                or state.jobs_created == stage.images_asked
            ),
            f"{stage.name}: {requests} more requests meet the rate limit",
        )

    stage.sandbox.configure(rate_limit=limit, retry_after=1)
    stage.start()
    storm(10)
    assert state.jobs_created < stage.images_asked
    stage.kill(stage.task(fresh=True)["pid"])
    while state.jobs_created < stage.images_asked:
        storm(3)
        limit += 20
        stage.sandbox.configure(rate_limit=limit)
    stage.sandbox.configure(rate_limit=0)


@batch("cleared after success", "deferrable", expected=tries(2, batches=2))
def _(stage: BatchStage) -> None:
    stage.start()
    stage.deliver()
    stage.clear()


@batch("cleared, regenerate_on_clear=False", "deferrable", expected=tries(2), kind="batch_kept")
def _(stage: BatchStage) -> None:
    stage.start()
    stage.deliver()
    stage.clear()
    stage.reusable = stage.images_asked
    stage.reaches("success")
    submits = len(stage.ledger.requests("generate"))
    assert submits == stage.images_asked, "a job that is known was submitted again"


@batch(
    "triggerer killed and started anew",
    "deferrable",
    expected=tries(1),
    latency=LONG,
    alone=True,
)
def _(stage: BatchStage) -> None:
    stage.start()
    stage.wait_for_trigger()
    for job in list(stage.airflow.triggerers):
        stage.airflow.kill_triggerer(job)
    stage.airflow.start_triggerer()
    stage.finish_job()
