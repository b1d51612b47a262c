from __future__ import annotations

from datetime import timedelta

import pytest

from airflow_provider_apiframe.api.errors import (
    ConnectionFailedError,
    JobFailedError,
    JobTimeoutError,
    RateLimitedError,
    ServiceUnavailableError,
)

try:
    from airflow.sdk import RetryAction
except ImportError:
    RetryAction = None

MINUTE = timedelta(minutes=1)
RESCHEDULE = getattr(RetryAction, "RESCHEDULE", None)  # Airflow 3.4+


def test_before_airflow_3_3_the_import_says_so():
    if RetryAction is not None:
        pytest.skip("this Airflow has retry policies")
    with pytest.raises(ImportError, match=r"needs Airflow 3\.3"):
        import airflow_provider_apiframe.policies.retry  # noqa: F401


@pytest.fixture
def policy():
    if RetryAction is None:
        pytest.skip("retry policies came with Airflow 3.3")
    from airflow_provider_apiframe.policies.retry import ApiframeRetryPolicy

    return ApiframeRetryPolicy()


def unavailable(asked: float | None) -> ServiceUnavailableError:
    return ServiceUnavailableError("down", status_code=503, retry_after=asked)


@pytest.mark.parametrize(
    ("error", "try_number", "least"),
    [
        (RateLimitedError("slow down", retry_after=600), 1, timedelta(minutes=10)),
        (RateLimitedError("slow down", retry_after=1), 1, MINUTE),
        (RateLimitedError("slow down"), 3, 4 * MINUTE),
        (unavailable(120), 1, 2 * MINUTE),
        (unavailable(None), 2, 2 * MINUTE),
        (JobFailedError("busy", job_id="j", kind="no_capacity", transient=True), 1, MINUTE),
    ],
)
def test_what_passes_is_waited_out(policy, error, try_number, least):
    decision = policy.evaluate(error, try_number, max_tries=5)
    assert decision.action in (RetryAction.RETRY, RESCHEDULE)
    assert least <= decision.retry_delay <= least * 1.25


@pytest.mark.parametrize(
    "error", [RateLimitedError("slow down", retry_after=10**9), unavailable(None)]
)
def test_no_pause_is_longer_than_the_longest(policy, error):
    assert policy.evaluate(error, 1000, max_tries=1000).retry_delay == timedelta(hours=1)


@pytest.mark.parametrize(
    "error",
    [
        ValueError("x"),
        ConnectionFailedError("no answer"),
        JobTimeoutError("late", job_id="j"),
        JobFailedError("odd", job_id="j", kind="unknown", transient=True),
    ],
)
def test_everything_else_is_left_to_the_tasks_own_settings(policy, error):
    assert policy.evaluate(error, 1, max_tries=5).action is RetryAction.DEFAULT


def test_pauses_start_anew_after_a_clear(policy, ti):
    from airflow_provider_apiframe.operators.flux import FluxGenerateOperator

    task = FluxGenerateOperator(task_id="poster", prompt="a poster", retries=2)
    ti.try_number, ti.max_tries = 8, 9  # cleared after try 7
    decision = policy.evaluate(unavailable(None), 8, max_tries=9, context={"ti": ti, "task": task})
    assert MINUTE <= decision.retry_delay <= 1.25 * MINUTE


WITHOUT_A_RETRY = [
    RateLimitedError("slow down"),
    JobFailedError("busy", job_id="j", kind="no_capacity", transient=True),
]


@pytest.mark.parametrize("error", WITHOUT_A_RETRY)
def test_where_nothing_is_wrong_no_retry_is_used_up(policy, error):
    decision = policy.evaluate(error, 1, max_tries=5)
    assert decision.action is (RESCHEDULE or RetryAction.RETRY)
    if RESCHEDULE:
        assert decision.reschedule_timeout == timedelta(hours=6)


def test_an_outage_uses_up_a_retry(policy):
    assert policy.evaluate(unavailable(None), 1, max_tries=5).action is RetryAction.RETRY


def test_pauses_grow_with_the_repeats_of_a_try(policy, ti):
    from airflow_provider_apiframe.operators.flux import FluxGenerateOperator

    task = FluxGenerateOperator(task_id="poster", prompt="a poster", retries=2)
    context = {"ti": ti, "task": task, "task_reschedule_count": 2}
    decision = policy.evaluate(RateLimitedError("slow down"), 1, max_tries=2, context=context)
    assert 4 * MINUTE <= decision.retry_delay <= 5 * MINUTE
