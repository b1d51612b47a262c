"""ApiframeBudgetSensor: waits until there are credits for what comes after it."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import BaseSensorOperator
from pydantic import Field

from airflow_provider_apiframe.api.errors import (
    ApiframeError,
    BudgetExceededError,
    UnexpectedResponseError,
)
from airflow_provider_apiframe.api.params.base import Arguments
from airflow_provider_apiframe.exceptions import fail_without_retry
from airflow_provider_apiframe.hooks.apiframe import ApiframeHook
from airflow_provider_apiframe.literals import (
    CheckedPartial,
    errors_of_the_dag_file,
    is_templated,
)
from airflow_provider_apiframe.submission.day_budget import rest_of_day

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context


class _BudgetArguments(Arguments):
    credits: float = Field(gt=0, json_schema_extra={"noun": "a number of credits"})


class ApiframeBudgetSensor(BaseSensorOperator):
    """Wait until the team's balance, and what is left of the day's limit, cover *credits*.

    The day's limit is ``max_credits_per_day`` of the connection, where it is set; it starts anew at
    midnight UTC. Nothing is held for the tasks after it: each of them checks its own limits. A poke
    is one free request, with a limit per day a few more; an outage is ridden out.

    :param credits: how many credits there must be, > 0. Templated.
    :param apiframe_conn_id: id of the Airflow connection, default "apiframe_default". Templated.
    :param mode: "reschedule" (default), which holds no worker slot between two pokes, or "poke".
    :param poke_interval: seconds between two pokes, default 300.
    :param timeout: seconds until the sensor gives up; default: Airflow's ``[sensors]
        default_timeout``, 7 days.
    :raises AirflowFailException: *credits* is no number above 0, or more than the limit of a whole
        day; or the connection or key cannot be used.
    :raises AirflowSensorTimeout: not covered in time; with ``soft_fail=True`` the task is skipped
        instead.
    """

    template_fields: Sequence[str] = ("credits", "apiframe_conn_id")
    ui_color = "#efe4fb"

    def __init__(
        self,
        *,
        credits: float | str,
        apiframe_conn_id: str = ApiframeHook.default_conn_name,
        mode: str = "reschedule",
        poke_interval: float = 300.0,
        **kwargs: Any,
    ) -> None:
        super().__init__(mode=mode, poke_interval=poke_interval, **kwargs)
        _check_literals(task_id=self.task_id, credits=credits)
        self.credits = credits
        self.apiframe_conn_id = apiframe_conn_id

    @classmethod
    def partial(cls, **kwargs: Any) -> Any:
        """Check the literals of mapped tasks when the DAG is parsed."""
        _check_literals(**kwargs)
        partial = super().partial(**kwargs)
        return CheckedPartial(partial, kwargs, check=_check_literals)

    @cached_property
    def hook(self) -> ApiframeHook:
        """The hook for this task's connection."""
        return ApiframeHook(self.apiframe_conn_id)

    def poke(self, context: Context) -> bool:
        """Ask for the balance, and for what is left of the day's limit."""
        with fail_without_retry():
            credits = _BudgetArguments(credits=self.credits).credits
            try:
                self._check_that_a_day_covers(credits)
                return self._covers_balance(credits) and self._covers_day(credits)
            except UnexpectedResponseError:
                # A proxy's page in place of a response: worth one of the task's retries, which cost
                # nothing.
                raise
            except ApiframeError as error:
                if not error.transient:
                    raise
                self.log.warning("The budget could not be read, asking again later: %s", error)
                return False

    def _check_that_a_day_covers(self, credits: float) -> None:
        settings = self.hook.client.settings
        limit = settings.max_credits_per_day
        if limit is not None and credits > limit:
            raise BudgetExceededError(
                f"credits={credits:g} is more than max_credits_per_day={limit:g} of "
                f"{settings.name}, so no day covers it. Wait for fewer, or raise the limit."
            )

    def _covers_balance(self, credits: float) -> bool:
        account = self.hook.get_account(retry=False)
        balance = account.team.credits if account.team else 0
        self.log.info("Waiting for %g credits. %s", credits, account.describe())
        # A balance that the API does not say cannot be waited for.
        return balance is None or balance >= credits

    def _covers_day(self, credits: float) -> bool:
        rest = rest_of_day(self.hook, retry=False)
        if rest is not None:
            self.log.info("%g credits are left of today's max_credits_per_day", rest)
        return rest is None or rest >= credits


def _check_literals(**arguments: Any) -> None:
    """Check *credits* where its value is known while the DAG is read.

    :raises InvalidParameterError: naming the task and what is wrong.
    """
    if "credits" in arguments and not is_templated(arguments["credits"]):
        with errors_of_the_dag_file(arguments.get("task_id")):
            _BudgetArguments(credits=arguments["credits"])
