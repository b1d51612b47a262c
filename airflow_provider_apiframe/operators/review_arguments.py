"""What a review takes, checked when the DAG is read, and which of its tasks takes what."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Literal

from pydantic import Field, field_validator

from airflow_provider_apiframe.api.errors import InvalidRequestError
from airflow_provider_apiframe.api.params.base import Arguments, invalid
from airflow_provider_apiframe.api.params.request import GenerateRequest
from airflow_provider_apiframe.api.validation import RuleError
from airflow_provider_apiframe.literals import (
    TaskArguments,
    check_literals,
    errors_of_the_dag_file,
)

Default = Literal["first"]
WithoutChoice = Literal["skip", "fail"]

_FLAG: dict[str, Any] = {"noun": "True or False"}
_OF_THE_PLAN = {"prompt", "model", "flux_params"}
# What the tasks of a review decide between themselves.
_NOT_TAKEN = (
    "map_index_template",
    "multiple_outputs",
    "params",
    "task_id",
    "trigger_rule",
    "wait_for_completion",
)


class ReviewSettings(Arguments):
    """The arguments that only a review has. What they mean is said at ``review_images``."""

    candidates: int = Field(4, ge=1, le=10, strict=True)
    rounds: int = Field(3, ge=1, le=10, strict=True)
    default: Default | None = Field(None, json_schema_extra={"noun": '"first" or None'})
    without_choice: WithoutChoice = "skip"
    lettering: bool = Field(False, strict=True, json_schema_extra=_FLAG)
    response_timeout: timedelta | None = Field(
        None, strict=True, json_schema_extra={"noun": "a timedelta above 0"}
    )

    @field_validator("response_timeout")
    @classmethod
    def _takes_time(cls, timeout: timedelta | None) -> timedelta | None:
        if timeout is not None and timeout <= timedelta(0):
            raise RuleError("must be a timedelta above 0")
        return timeout


@dataclass(frozen=True)
class SplitArguments:
    """The arguments of a review, by who takes them.

    :param candidates: each candidate.
    :param form: the form.
    :param chosen: the task that returns the chosen image.
    :param all: all of them: what any task of Airflow takes.
    """

    candidates: dict[str, Any]
    form: dict[str, Any] = field(default_factory=dict)
    chosen: dict[str, Any] = field(default_factory=dict)
    all: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, arguments: dict[str, Any]) -> SplitArguments:
        """Sort *arguments*: those of ``FluxGenerateOperator`` and those of any task."""
        ours = TaskArguments.model_fields.keys() | GenerateRequest.model_fields | _OF_THE_PLAN
        candidates = {
            name: value
            for name, value in arguments.items()
            if name in ours and name not in _OF_THE_PLAN
        }
        of_all = {name: value for name, value in arguments.items() if name not in ours}
        chosen: dict[str, Any] = {
            name: candidates[name] for name in ("save_to", "save_conn_id") if name in candidates
        }
        if "outlets" in of_all:
            chosen["outlets"] = of_all.pop("outlets")
        # Airflow's form would take it for the time that a person has.
        form = {name: value for name, value in of_all.items() if name != "execution_timeout"}
        return cls(candidates, form, chosen, of_all)


def check_review(group_id: str, settings: dict[str, Any], arguments: dict[str, Any]) -> None:
    """Check all literals of a review.

    :raises InvalidParameterError: naming the group, what is wrong and what is allowed. Its
        traceback ends in the line that made the review.
    """
    with errors_of_the_dag_file(group_id):
        for name in _NOT_TAKEN:
            if name in arguments:
                raise invalid(name, arguments[name], "a review decides this itself")
        ReviewSettings(**settings)
        _check_that_no_file_is_shared(arguments.get("save_to"))
    check_literals(task_id=group_id, params_name="flux_params", **arguments)


def _check_that_no_file_is_shared(save_to: Any) -> None:
    if not isinstance(save_to, str):
        return
    name = save_to.rpartition("/")[2]
    if name and "{job_id}" not in save_to and not name.endswith("}}"):
        raise InvalidRequestError(
            f"save_to={save_to!r}: the candidates of all rounds would write one file; name a "
            "folder, or put {job_id} into it"
        )
