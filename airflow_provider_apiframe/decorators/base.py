"""What the decorators share: a function decides what an image task submits."""

from __future__ import annotations

import difflib
import inspect
import json
from collections.abc import Callable, Collection, Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from airflow.providers.common.compat.sdk import DecoratedOperator, task_decorator_factory

from airflow_provider_apiframe.api.errors import InvalidRequestError
from airflow_provider_apiframe.api.params.catalog import MODELS
from airflow_provider_apiframe.api.params.given import params_mapping
from airflow_provider_apiframe.api.params.request import ImageRequest
from airflow_provider_apiframe.api.validation import truncated_repr
from airflow_provider_apiframe.delivery.failure import keeping_failure
from airflow_provider_apiframe.exceptions import fail_without_retry
from airflow_provider_apiframe.literals import (
    TaskArguments,
    errors_of_the_dag_file,
    names_one_file,
    one_file_error,
)
from airflow_provider_apiframe.operators.request import RequestOperator
from airflow_provider_apiframe.triggers.job import MAX_ARGUMENTS_BYTES, arguments_of
from airflow_provider_apiframe.version_compat import call_with_context, default_args_around

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context


class _FromTheFunction:
    """Stands for the prompt until the function has returned it. Rendering leaves it alone."""

    def resolve(self, context: Any, *args: Any, **kwargs: Any) -> _FromTheFunction:
        return self

    def serialize(self) -> str:
        return str(self)

    def __str__(self) -> str:
        return "(what the function returns)"


class DecoratedImageOperator(DecoratedOperator, RequestOperator):
    """Run a function and submit what it returns. Goes before the operator in a class's bases.

    The function returns the prompt as text, or a mapping of arguments: ``prompt``, and whatever
    else the operator renders templates in, such as ``model``, ``flux_params`` or ``save_to``. That
    wins over what is given to the decorator; of the model's parameters name by name. Text that it
    returns is taken as it is: templates in it are not rendered, so a text of somebody else's can
    do no harm.

    It runs on each try before anything is submitted, and not again when a deferred task resumes.
    On a retry it must return the same again: another request is another image, and paid for. What
    changes from call to call (a random choice, the time, the answer of a language model) belongs
    into a task before this one: its result stays the same for all tries.

    :param python_callable: the function.
    :param op_args: its positional arguments. Templated.
    :param op_kwargs: its arguments by name. Templated.
    :raises InvalidParameterError: what it returned is wrong. Nothing was submitted; no retry.
    """

    custom_operator_name: ClassVar[str]
    overwrite_rtif_after_execution = True  # so that Airflow 3 shows what was decided

    def __init__(
        self,
        *,
        python_callable: Callable[..., Any],
        op_args: Collection[Any] | None = None,
        op_kwargs: Mapping[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            python_callable=python_callable,
            op_args=op_args,
            op_kwargs=op_kwargs,
            prompt=_FromTheFunction(),
            **kwargs,
        )
        self._save_to_is_one_file = names_one_file(self.save_to)

    def execute(self, context: Context) -> Any:
        """Run the function, then submit, and wait or defer, as the operator does."""
        with keeping_failure(self, context), fail_without_retry():
            returned = call_with_context(
                self.python_callable, context, self.op_args, self.op_kwargs
            )
            decided = self._read(returned)
            is_mapped = (context["ti"].map_index or 0) >= 0
            if is_mapped and self._save_to_is_one_file and "save_to" not in decided:
                raise one_file_error(self.save_to)
            self._decide(decided)
        # Past DecoratedOperator.execute: on Airflow 3.0 that raises once the image is paid, for it
        # wants a method xcom_push that only Airflow 2 has.
        return super(DecoratedOperator, self).execute(context)

    def execute_complete(self, context: Context, event: dict[str, Any] | None = None) -> Any:
        """Resume after the trigger fired, with what the function had returned."""
        self._decide(arguments_of(event))
        return super().execute_complete(context, event)

    def _decide(self, arguments: dict[str, Any]) -> None:
        for name, value in arguments.items():
            setattr(self, name, value)
        self.decided_arguments = arguments

    def _request(self) -> ImageRequest:
        request = super()._request()
        # Checked, and JSON: a path object or an earlier result has become its text.
        params = request.params.as_dict() if request.params else {}
        if request.params and params and self._is_unknown(request.model):
            params = {request.params.body_key: params}
        self.decided_arguments = (self.decided_arguments or {}) | {self.params_field: params}
        self._check_that_it_can_be_deferred()
        return request

    def _check_that_it_can_be_deferred(self) -> None:
        if not (self.deferrable and self.wait_for_completion):
            return
        size = len(json.dumps(self.decided_arguments))
        if size > MAX_ARGUMENTS_BYTES:
            raise self._wrong(
                f"returned arguments that have {size} bytes as JSON: a deferred task takes at most "
                f"{MAX_ARGUMENTS_BYTES} bytes along. Return less, or set deferrable=False"
            )

    def _is_unknown(self, model: str) -> bool:
        return self.params_name == "params" and model not in MODELS

    def _read(self, returned: Any) -> dict[str, Any]:
        """Return what the function decided: template field -> value.

        :raises InvalidRequestError: it returned something else.
        """
        if isinstance(returned, str):
            returned = {"prompt": returned}
        if not isinstance(returned, Mapping):
            if inspect.iscoroutine(returned):
                returned.close()
            raise self._wrong(
                f"returned {truncated_repr(returned)}: must return the prompt as text, or a "
                "mapping with the prompt and other arguments"
            )
        if "prompt" not in returned:
            raise self._wrong(f"returned {truncated_repr(returned)}: 'prompt' is missing")
        fields = self._fields()
        decided: dict[str, Any] = {}
        for name, value in returned.items():
            if name not in fields:
                raise self._wrong(f"returned {name}={truncated_repr(value)}: {self._advice(name)}")
            if value is None:
                raise self._wrong(f"returned {name}=None: leave out what is not to be set")
            decided[fields[name]] = value
        if self.params_field in decided:
            given = params_mapping(getattr(self, self.params_field), self.params_name)
            returned_params = params_mapping(decided[self.params_field], self.params_name)
            decided[self.params_field] = {**given, **returned_params}
        for name in decided.keys() & {"save_to", "save_conn_id", "apiframe_conn_id"}:
            if not isinstance(decided[name], str) or not decided[name].strip():
                raise self._wrong(f"returned {name}={truncated_repr(decided[name])}: must be text")
        return decided

    def _fields(self) -> dict[str, str]:
        """Return what the function may decide: name -> template field."""
        of_the_function = DecoratedOperator.template_fields
        fields = [name for name in self.template_fields if name not in of_the_function]
        return {self._name_of(field): field for field in fields}

    def _advice(self, name: Any) -> str:
        if name in TaskArguments.model_fields:
            return f"set it in {self.custom_operator_name}({name}=...), no function decides it"
        names = list(self._fields())
        near = difflib.get_close_matches(str(name).lower(), names, n=1)
        known = f"did you mean {near[0]!r}?" if near else f"known are {', '.join(names)}"
        return f"unknown argument, {known}"

    def _wrong(self, reason: str) -> InvalidRequestError:
        name = getattr(self.python_callable, "__name__", "the function")
        return InvalidRequestError(f"{self.custom_operator_name}: {name}() {reason}")


def image_decorator(
    operator: type[Any],
    python_callable: Callable[..., Any] | None,
    *,
    multiple_outputs: bool,
    **kwargs: Any,
) -> Any:
    """Return the decorator that makes tasks of *operator* from functions.

    :param operator: a subclass of :class:`DecoratedImageOperator`.
    :param python_callable: the function, where it is decorated without arguments.
    :param kwargs: what is given to the decorator.
    :raises InvalidParameterError: an argument is wrong. Its traceback ends in the decorator's line.
    """
    # Here, for mapped tasks as well: Airflow makes their operators only when they run.
    known = {**operator.defaults, **default_args_around(), **kwargs}
    with errors_of_the_dag_file(kwargs.get("task_id")):
        for name in ("prompt", "op_args", "op_kwargs", "python_callable"):
            if name in kwargs:
                raise InvalidRequestError(
                    f"{operator.custom_operator_name}({name}=...): the function decides it"
                )
        if "model" not in known:
            raise InvalidRequestError(
                f'{operator.custom_operator_name} needs a model: (model="nano-banana-pro")'
            )
    operator.check_arguments(**known)
    return task_decorator_factory(
        python_callable=python_callable,
        multiple_outputs=multiple_outputs,
        decorated_operator_class=operator,
        **{"map_index_template": operator.map_index_label, **kwargs},
    )
