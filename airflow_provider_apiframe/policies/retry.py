"""ApiframeRetryPolicy: when Airflow's next try comes, by what went wrong. Airflow 3.3+."""

from __future__ import annotations

import random
from datetime import timedelta
from typing import TYPE_CHECKING

try:
    from airflow.sdk import RetryDecision, RetryPolicy
except ImportError:
    raise ImportError(
        "ApiframeRetryPolicy needs Airflow 3.3 or newer; before that, use retry_delay"
    ) from None

from airflow_provider_apiframe.api.errors import (
    JobFailedError,
    RateLimitedError,
    ServiceUnavailableError,
)

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context


class ApiframeRetryPolicy(RetryPolicy):
    """Wait out a rate limit (429), an outage (5xx) and a lack of capacity; let the task's own
    settings decide about the rest.

    ``FluxGenerateOperator(..., retries=5, retry_policy=ApiframeRetryPolicy())``. The next try comes
    after what the API asked for in ``Retry-After``, and no earlier than after *pause*, doubled for
    each failed try before this one; up to a quarter is added by chance, so that mapped tasks do not
    come back all at once. No policy gives more tries than ``retries``, and what a retry cannot mend
    fails at once with any policy.

    :param pause: the first pause, default 1 minute.
    :param longest: no pause is longer, whatever the API asked for; default 1 hour.
    """

    def __init__(
        self, pause: timedelta = timedelta(minutes=1), longest: timedelta = timedelta(hours=1)
    ) -> None:
        self.pause = pause
        self.longest = longest

    def evaluate(
        self,
        exception: BaseException,
        try_number: int,
        max_tries: int,
        context: Context | None = None,
    ) -> RetryDecision:
        """Return the decision for *exception*; see Airflow's ``RetryPolicy``."""
        if isinstance(exception, (RateLimitedError, ServiceUnavailableError)):
            asked = exception.retry_after or 0.0
        elif isinstance(exception, JobFailedError) and exception.kind == "no_capacity":
            asked = 0.0
        else:
            return RetryDecision.default()
        retries = (context["task"].retries or 0) if context else max_tries
        failed = try_number - max(0, max_tries - retries) - 1  # since the last clear, before this
        least = max(asked, self.pause.total_seconds() * 2 ** min(failed, 16))
        seconds = min(least * random.uniform(1, 1.25), self.longest.total_seconds())
        wait = timedelta(seconds=round(seconds))
        reason = f"{type(exception).__name__}: the next try comes in {wait}"
        return RetryDecision.retry(wait, reason)
