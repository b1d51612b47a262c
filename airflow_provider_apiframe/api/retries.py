"""What a retry may repeat, and when: the same rules for both clients.

Transient errors of an idempotent call are retried: a GET, an upload, or a submit with an
idempotency key. Without a key a submit is retried only after 429, which says that nothing was
accepted.
"""

from __future__ import annotations

import logging
import random
from typing import Any

import tenacity

from airflow_provider_apiframe.api.endpoints import Call
from airflow_provider_apiframe.api.errors import (
    ApiframeError,
    RateLimitedError,
    UnexpectedResponseError,
)
from airflow_provider_apiframe.api.settings import ClientSettings

log = logging.getLogger(__name__)

# Seconds. Full jitter below a bound that doubles, as the vendor's own SDK does it.
BACKOFF_START = 0.5
BACKOFF_CAP = 30.0
RETRY_AFTER_CAP = 300.0  # an API that asks for more is asked again all the same
# Seconds for a call with all its retries: two pauses as long as they may be do not fit. Whoever
# calls can wait better than a client that holds on to a worker.
MAX_RETRY_SECONDS = 600.0


def may_retry(call: Call[Any], error: BaseException) -> bool:
    """Return whether *call* may be sent again after *error*."""
    if isinstance(error, RateLimitedError):
        return True  # nothing was accepted, so even a POST without an idempotency key may be
    if isinstance(error, UnexpectedResponseError):
        return False  # the API responded: what is wrong with that does not pass in seconds
    return call.idempotent and isinstance(error, ApiframeError) and error.transient


def retry_backoff(attempt: int, retry_after: float | None) -> float:
    """Return how many seconds to wait after failed attempt number *attempt* (1, 2, ...).

    Full jitter below a doubling bound, but at least what the API asks for (5 minutes at most).
    """
    backoff = random.uniform(0, min(BACKOFF_CAP, BACKOFF_START * 2 ** (attempt - 1)))
    return max(backoff, min(retry_after or 0.0, RETRY_AFTER_CAP))


def retry_options(call: Call[Any], settings: ClientSettings) -> dict[str, Any]:
    """Return the arguments for tenacity's ``Retrying`` and ``AsyncRetrying``.

    *call* is retried ``max_retries`` times, within ``MAX_RETRY_SECONDS``; the last error says so.
    """

    def stop(state: tenacity.RetryCallState) -> bool:
        too_long = _elapsed(state) + state.upcoming_sleep > MAX_RETRY_SECONDS
        return state.attempt_number > settings.max_retries or too_long

    def report(state: tenacity.RetryCallState) -> None:
        error = str(_error_of(state)).rstrip(".")
        attempts = f"attempt {state.attempt_number} of {settings.max_retries + 1}"
        log.warning("%s; retrying in %.1f s (%s)", error, state.upcoming_sleep, attempts)

    def give_up(state: tenacity.RetryCallState) -> None:
        raise _error_of(state).adding(_attempts(call, state, settings))

    return {
        "before_sleep": report,
        "retry": tenacity.retry_if_exception(lambda error: may_retry(call, error)),
        "wait": lambda state: retry_backoff(
            state.attempt_number, getattr(_error_of(state), "retry_after", None)
        ),
        "stop": stop,
        "retry_error_callback": give_up,
    }


def _attempts(call: Call[Any], state: tenacity.RetryCallState, settings: ClientSettings) -> str:
    error, attempts = _error_of(state), state.attempt_number
    text = "Tried once" if attempts == 1 else f"Tried {attempts} times in {_elapsed(state):.0f} s"
    if attempts <= settings.max_retries:
        text += (
            f"; a pause of {state.upcoming_sleep:.0f} s more would exceed the limit of "
            f"{MAX_RETRY_SECONDS:g} s"
        )
    if call.costs_credits and not isinstance(error, RateLimitedError):
        return (
            f"{text}. It may have been accepted and paid for all the same: the same idempotency "
            "key finds it, within 24 hours."
        )
    return f"{text}."


def _error_of(state: tenacity.RetryCallState) -> ApiframeError:
    error = state.outcome.exception() if state.outcome else None
    assert isinstance(error, ApiframeError), "only those are retried"
    return error


def _elapsed(state: tenacity.RetryCallState) -> float:
    # Pauses count in full even where a test lets none of them happen.
    return max(state.seconds_since_start or 0.0, state.idle_for)
