"""Checks of arguments while a DAG is parsed, and which values are known only when the task runs."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from types import TracebackType
from typing import Any, Literal

from pydantic import Field, ValidationInfo, field_validator

from airflow_provider_apiframe.api.errors import InvalidRequestError
from airflow_provider_apiframe.api.params.base import (
    Arguments,
    ModelParams,
    ParseContext,
    Seconds,
)
from airflow_provider_apiframe.api.params.given import params_mapping
from airflow_provider_apiframe.api.params.references import is_path_object, path_text
from airflow_provider_apiframe.api.params.request import GenerateRequest, ImageRequest
from airflow_provider_apiframe.api.validation import RuleError
from airflow_provider_apiframe.delivery.naming import SaveTo
from airflow_provider_apiframe.exceptions import InvalidParameterError
from airflow_provider_apiframe.version_compat import default_args_around

_FLAG: dict[str, Any] = {"noun": "True or False"}


class TaskArguments(Arguments):
    """What a task takes besides its request. The one table of checks for ``__init__``, ``partial``
    and ``expand``.

    What the arguments mean is said at the operator.
    """

    apiframe_conn_id: str = Field(
        "apiframe_default",
        pattern=r"\S",
        json_schema_extra={"noun": "the id of an Airflow connection"},
    )
    timeout: Seconds = 600.0
    poll_interval: Seconds = 2.0
    max_credits: float | None = Field(None, gt=0, json_schema_extra={"noun": "a number of credits"})
    # Text is refused: "False" would count as true.
    wait_for_completion: bool = Field(True, strict=True, json_schema_extra=_FLAG)
    deferrable: bool = Field(True, strict=True, json_schema_extra=_FLAG)
    regenerate_on_clear: bool = Field(True, strict=True, json_schema_extra=_FLAG)
    save_to: str | None = None
    save_conn_id: str | None = Field(
        None, pattern=r"\S", json_schema_extra={"noun": "the id of an Airflow connection"}
    )
    provenance: Literal["iptc", "c2pa"] | None = Field(
        None, json_schema_extra={"noun": '"iptc", "c2pa" or None'}
    )

    @field_validator("provenance")
    @classmethod
    def _check_provenance(cls, provenance: Any, info: ValidationInfo) -> Any:
        templated = info.context.templated if info.context else ()
        is_saved = info.data.get("save_to") is not None or "save_to" in templated
        if provenance == "c2pa" and not is_saved:
            raise RuleError("goes with save_to, which is not set: only saved images are signed")
        return provenance

    @field_validator("save_to", mode="before")
    @classmethod
    def _check_save_to(cls, save_to: Any, info: ValidationInfo) -> Any:
        if save_to is not None:
            SaveTo.parse(save_to)
            if info.data.get("wait_for_completion") is False:
                raise RuleError(
                    "nothing is there to save with wait_for_completion=False; give save_to to the "
                    "ApiframeJobSensor that collects the job"
                )
        return save_to


# No template fields: nothing would render them.
_NEVER_TEMPLATED = {
    "max_credits",
    "poll_interval",
    "timeout",
    "webhook_events",
    "wait_for_completion",
    "deferrable",
    "regenerate_on_clear",
    "provenance",
}

# What renders to the same text in all mapped tasks of a run.
_OF_THE_RUN = re.compile(
    r"\{\{\s*(ds|ds_nodash|ts|ts_nodash|run_id|dag_run\.run_id|dag\.dag_id"
    r"|(logical_date|data_interval_start|data_interval_end)(\.\w+)*)\s*\}\}"
)


_DEPTH = 9  # a list of the results of mapped tasks has 4 levels


def is_templated(value: Any, *, depth: int = 0) -> bool:
    """Return whether *value* is known only when the task runs: a template, another task's output, a
    DAG param, a callable.

    :param depth: how many levels of mappings and lists are looked into.
    """
    if is_path_object(value):  # has a resolve() as well, which means something else
        value = path_text(value)
    if isinstance(value, str):
        return any(mark in value for mark in ("{{", "{%", "{#"))
    if depth and isinstance(value, Mapping):
        return any(is_templated(item, depth=depth - 1) for item in value.values())
    if depth and isinstance(value, (list, tuple)):
        return any(is_templated(item, depth=depth - 1) for item in value)
    return callable(value) or callable(getattr(value, "resolve", None))


def check_literals(
    *,
    request_type: type[ImageRequest] = GenerateRequest,
    params_name: Literal["flux_params", "params"] = "params",
    **arguments: Any,
) -> None:
    """Check all *arguments* whose values are known while the DAG is read; what is not given is not
    known either.

    :param request_type: what is submitted; its fields are checked, and those that all tasks share.
    :param params_name: what the task calls the model's parameters. With "flux_params", ``params``
        are those that Airflow gives every task, and not looked at.
    :raises InvalidParameterError: naming the task, every wrong argument, its value and what is
        allowed. Its traceback ends in the line that made the task.
    """
    given = {name: value for name, value in arguments.items() if name != "params"}
    if params_name in arguments:
        given["params"] = arguments[params_name]
    wrong: list[InvalidRequestError] = []
    for checked in (request_type, TaskArguments):
        try:
            _check_known(checked, given, params_name)
        except InvalidRequestError as error:
            wrong.append(error)
    if wrong:
        fields = {name: reasons for error in wrong for name, reasons in error.fields.items()}
        with errors_of_the_dag_file(arguments.get("task_id")):
            raise InvalidRequestError("; ".join(map(str, wrong)), fields=fields)


def _check_known(checked: type[Arguments], given: Mapping[str, Any], params_name: str) -> None:
    known = {
        name: value
        for name, value in given.items()
        if name in checked.model_fields
        and (
            name in _NEVER_TEMPLATED
            or not is_templated(value, depth=0 if name == "params" else _DEPTH)
        )
    }
    context = ParseContext(
        templated=frozenset(checked.model_fields.keys() - known.keys()),
        templated_params=frozenset(_templated_in(known.get("params"), params_name)),
        params_name=params_name,
    )
    checked.checked({**dict.fromkeys(context.templated), **known}, context)


def _templated_in(params: Any, params_name: str) -> set[str]:
    """Return the names in *params* whose values are known only when the task runs, and those in
    the one object that the parameters of an unknown model are."""
    try:
        values = params_mapping(params, params_name)
    except InvalidRequestError:
        return set()  # told by the check, with what else is wrong
    inner = [value for value in values.values() if isinstance(value, Mapping)]
    return {
        name
        for mapping in (values, *inner)
        for name, value in mapping.items()
        if is_templated(value, depth=_DEPTH)
    }


@contextmanager
def errors_of_the_dag_file(task_id: str | None) -> Iterator[None]:
    """Turn a wrong argument into an import error that ends in the user's line.

    :param task_id: named in the error; import errors do not say which task it was.
    :raises InvalidParameterError: for an InvalidRequestError.
    """
    try:
        yield
    except InvalidRequestError as error:
        wrong = InvalidParameterError(f"task {task_id!r}: {error}" if task_id else str(error))
        raise wrong.with_traceback(_line_that_made_the_task()) from None


def _line_that_made_the_task() -> TracebackType | None:
    """Return a traceback of one line: the caller's, outside this package.

    Airflow shows the last two lines of a DAG's import error. They would be ours, where the user
    looks for theirs.
    """
    frame = inspect.currentframe()
    while frame and (
        str(frame.f_globals.get("__name__")).partition(".")[0] == __package__
        or frame.f_globals.get("__name__") == "contextlib"
        or str(frame.f_globals.get("__name__")).startswith("airflow.")  # it calls every __init__
    ):
        frame = frame.f_back
    return TracebackType(None, frame, frame.f_lasti, frame.f_lineno) if frame else None


def as_stored(value: Any, *, depth: int = 0) -> Any:
    """Return the parameters of a model as their values, anything else as it is.

    Airflow stores the mere text of an object with the DAG, and shows it so.

    :param depth: how many levels of mappings and lists are looked into.
    """
    if isinstance(value, ModelParams):
        return value.as_dict()
    if depth and isinstance(value, dict):
        return {name: as_stored(item, depth=depth - 1) for name, item in value.items()}
    if depth and isinstance(value, (list, tuple)):
        items = [as_stored(item, depth=depth - 1) for item in value]
        return items if isinstance(value, list) else tuple(items)
    return value


class CheckedPartial:
    """What ``partial()`` of an operator returns: Airflow's own, with a check of the literals that
    are mapped over.

    :param partial: Airflow's ``OperatorPartial``.
    :param shared: the arguments that all mapped tasks share.
    :param check: checks what is given of a task's arguments.
    :param defaults: the operator's, for what neither *shared* nor ``default_args`` say.
    """

    def __init__(
        self,
        partial: Any,
        shared: dict[str, Any],
        *,
        check: Callable[..., None],
        defaults: Mapping[str, Any] | None = None,
    ) -> None:
        around = default_args_around(shared.get("dag"), shared.get("task_group"))
        self._partial = partial
        self._shared = shared
        self._defaults = {**(defaults or {}), **around}
        self._check = check

    def expand(self, **mapped: Any) -> Any:
        """Map over *mapped*, as Airflow does, after a check of each literal."""
        known = {**self._defaults, **self._shared}
        shared = {name: value for name, value in known.items() if name not in mapped}
        _check_that_no_file_is_shared(shared)
        for name, values in mapped.items():
            for value in values if isinstance(values, (list, tuple)) else ():
                self._check(**shared, **{name: value})
        return self._partial.expand(**as_stored(mapped, depth=2))

    def expand_kwargs(self, kwargs: Any, **options: Any) -> Any:
        """Map over the mappings in *kwargs*, as Airflow does, after a check of each literal."""
        _check_that_no_file_is_shared(self._shared)
        for item in kwargs if isinstance(kwargs, (list, tuple)) else ():
            if isinstance(item, Mapping):
                self._check(**{**self._defaults, **self._shared, **item})
        return self._partial.expand_kwargs(as_stored(kwargs, depth=2), **options)


def _check_that_no_file_is_shared(shared: Mapping[str, Any]) -> None:
    if names_one_file(shared.get("save_to")):
        with errors_of_the_dag_file(shared.get("task_id")):
            raise one_file_error(shared["save_to"])


def names_one_file(save_to: Any) -> bool:
    """Return whether *save_to*, not rendered yet, is the same file for all mapped tasks of a run.

    :raises InvalidRequestError: it is no place to save to.
    """
    if save_to is None:
        return False
    rendered = _OF_THE_RUN.sub("x", save_to) if isinstance(save_to, str) else save_to
    return not is_templated(rendered) and not SaveTo.parse(rendered).tells_mapped_tasks_apart


def one_file_error(save_to: Any) -> InvalidRequestError:
    """Return the error for mapped tasks of which :func:`names_one_file` is true."""
    return InvalidRequestError(
        f"save_to={save_to!r}: all mapped tasks would write this one file; name a folder, or put "
        "{map_index} or {job_id} into it"
    )
