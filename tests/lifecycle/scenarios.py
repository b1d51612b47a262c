"""The table: what breaks, and what it may cost."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from stage import LONG, Expected, Scenario, Stage
from waiting import wait_until

BOTH = ("sync", "deferrable")
OUTAGE_SECONDS = 20.0
RETRY_AFTER = 4

SCENARIOS: list[Scenario] = []


def scenario(
    title: str, *modes: str, expected: Expected, **options: Any
) -> Callable[[Callable[[Stage], None]], None]:
    def add(play: Callable[[Stage], None]) -> None:
        SCENARIOS.extend(Scenario(title, mode, play, expected, **options) for mode in modes)

    return add


def _kill(
    title: str,
    point: str,
    *modes: str,
    reused: bool = True,
    latency: float = 2.0,
    kind: str = "image",
) -> None:
    expected = Expected(tries=2, reused=reused)

    @scenario(f"worker killed {title}", *modes, expected=expected, latency=latency, kind=kind)
    def play(stage: Stage) -> None:
        stage.kill_worker_at(point)


_kill("before the submit", "submitting", *BOTH, reused=False)
_kill("before the response is read", "responded", *BOTH)
_kill("before the first poll", "polling", "sync")
_kill("before it defers", "deferring", "deferrable")
_kill("between two polls", "polled", "sync", latency=4)
_kill("before it returns", "returning", "sync")
_kill("when it resumes", "resumed", "deferrable")
_kill("while it saves", "saving", *BOTH, kind="saved")
_kill("after it saved", "returning", "sync", kind="saved")


@scenario("response dropped once", *BOTH, expected=Expected())
def _(stage: Stage) -> None:
    stage.sandbox.faults.next("generate", drop=True)
    stage.start()


@scenario(
    "responses dropped, retries used up",
    *BOTH,
    expected=Expected(tries=2, reused=True),
    max_retries=1,
)
def _(stage: Stage) -> None:
    stage.sandbox.faults.next("generate", drop=True, times=2)
    stage.start()


@scenario("504 after acceptance", *BOTH, expected=Expected())
def _(stage: Stage) -> None:
    stage.sandbox.faults.next("generate", status=504, applied=True)
    stage.start()


@scenario("storm of 503", *BOTH, expected=Expected(tries=3), max_retries=1)
def _(stage: Stage) -> None:
    stage.sandbox.faults.next("generate", status=503, times=4)
    stage.sandbox.faults.next("job", status=503)
    stage.start()


@scenario("429 with Retry-After", *BOTH, expected=Expected())
def _(stage: Stage) -> None:
    stage.sandbox.faults.next("generate", retry_after=RETRY_AFTER)
    stage.start()
    refused, accepted = wait_until(
        lambda: stage.ledger.requests("generate")[1:] and stage.ledger.requests("generate"),
        "a retry",
    )
    assert accepted.at - refused.at >= RETRY_AFTER, (
        f"retried after {accepted.at - refused.at:.1f} s"
    )


@scenario("API down during submit", *BOTH, expected=Expected(tries=None))
def _(stage: Stage) -> None:
    stage.start()
    stage.outage(OUTAGE_SECONDS, over=lambda: stage.task().get("try_number", 0) > 1)


@scenario("API down while waiting", *BOTH, expected=Expected(), latency=LONG)
def _(stage: Stage) -> None:
    stage.start()
    wait_until(lambda: stage.ledger.requests("job"), "the job is polled")
    stage.outage(OUTAGE_SECONDS, over=lambda: True)
    stage.finish_job()


@scenario("no capacity, refunded", *BOTH, expected=Expected(tries=2, created=2))
def _(stage: Stage) -> None:
    stage.sandbox.configure(fail_rate=1.0)
    stage.start()
    wait_until(lambda: stage.sandbox.state.jobs_created, "the job that fails is accepted")
    stage.sandbox.configure(fail_rate=0.0)
    stage.reaches("success")
    assert stage.sandbox.state.refunds == 1


@scenario("cleared after success", *BOTH, expected=Expected(tries=2, created=2, paid=2))
def _(stage: Stage) -> None:
    stage.start()
    stage.deliver()
    stage.clear()


@scenario(
    "cleared, regenerate_on_clear=False",
    *BOTH,
    expected=Expected(tries=2, reused=True),
    kind="kept",
)
def _(stage: Stage) -> None:
    stage.start()
    stage.deliver()
    stage.clear()


@scenario(
    "cleared while it runs", "sync", expected=Expected(tries=2, created=2, paid=2), latency=LONG
)
def _(stage: Stage) -> None:
    stage.start()
    wait_until(lambda: stage.ledger.requests("job"), "the job is polled")
    stage.airflow.api.clear(stage.scenario.dag_id, stage.name, "image")
    (job,) = stage.sandbox.state.jobs
    stage.finish_job()
    stage.collect(job.id)


@scenario(
    "marked failed while it polls",
    "sync",
    expected=Expected(tries=2, reused=True),
    kind="kept",
    latency=LONG,
)
def _(stage: Stage) -> None:
    stage.start()
    wait_until(lambda: stage.ledger.requests("job"), "the job is polled")
    stage.airflow.api.mark_failed(stage.scenario.dag_id, stage.name, "image")
    stage.says_what_keeps_running()


@scenario(
    "marked failed while deferred",
    "deferrable",
    expected=Expected(tries=2, reused=True),
    kind="kept",
    latency=LONG,
)
def _(stage: Stage) -> None:
    stage.start()
    stage.reaches("deferred")
    wait_until(lambda: stage.ledger.requests("job"), "the trigger polls the job")
    stage.airflow.api.mark_failed(stage.scenario.dag_id, stage.name, "image")
    stage.says_what_keeps_running()


@scenario(
    "triggerer killed, another there", "deferrable", expected=Expected(), latency=LONG, alone=True
)
def _(stage: Stage) -> None:
    stage.airflow.start_triggerer()
    stage.start()
    holder = wait_until(lambda: _holder(stage), "a triggerer has the trigger")
    stage.airflow.kill_triggerer(holder)
    stage.finish_job()


@scenario(
    "triggerer killed and started anew", "deferrable", expected=Expected(), latency=LONG, alone=True
)
def _(stage: Stage) -> None:
    stage.start()
    wait_until(lambda: _holder(stage), "a triggerer has the trigger")
    for job in list(stage.airflow.triggerers):
        stage.airflow.kill_triggerer(job)
    stage.airflow.start_triggerer()
    stage.finish_job()


def _holder(stage: Stage) -> int | None:
    """Return the id of the triggerer's job once it has polled the Apiframe job."""
    job = stage.task().get("triggerer_job")
    return int(job["id"]) if job and stage.ledger.requests("job") else None
