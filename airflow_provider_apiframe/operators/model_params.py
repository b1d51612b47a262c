"""``params`` of an operator: here they are the model's, and not Airflow's.

Airflow takes the argument ``params`` away from each operator before its ``__init__`` sees it, and
mixes it with the DAG's params. So it gets another name before that.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from airflow.providers.common.compat.sdk import BaseOperator, XComArg

from airflow_provider_apiframe.api.errors import InvalidRequestError
from airflow_provider_apiframe.api.params.catalog import models_taking
from airflow_provider_apiframe.literals import CheckedPartial, errors_of_the_dag_file
from airflow_provider_apiframe.operators.request import RequestOperator

if TYPE_CHECKING:
    from airflow.sdk.bases.operator import BaseOperatorMeta as _OperatorMeta
else:
    _OperatorMeta = type(BaseOperator)

FIELD = "model_params"


class TakesParams(_OperatorMeta):
    """Makes an operator's argument ``params`` its ``model_params``."""

    def __call__(cls, *args: Any, **kwargs: Any) -> Any:
        """Make a task."""
        if not kwargs.get("_airflow_from_mapped"):
            if "params" in kwargs and "python_callable" in kwargs:
                kwargs.pop(FIELD, None)  # the decorator's; override(params=...) takes its place
            kwargs = renamed(kwargs)
        task = super().__call__(*args, **kwargs)
        # Airflow 2 gives a mapped task a mere dict, which also has what its run was triggered with.
        _check_that_none_are_airflows(task, with_conf=isinstance(kwargs.get("params"), dict))
        return task


class ModelParamsOperator(RequestOperator, metaclass=TakesParams):
    """An operator whose argument ``params`` holds the model's parameters.

    The field is ``model_params``: ``task.params`` stay what they are in all tasks, the params of
    the DAG run, and templates read them.
    """

    template_fields_renderers: ClassVar[dict[str, str]] = {FIELD: "json"}

    @classmethod
    def partial(cls, **kwargs: Any) -> Any:
        """Check the literals of mapped tasks when the DAG is parsed; label each of them."""
        return RenamedPartial(super().partial(**renamed(kwargs)))


class RenamedPartial:
    """A partial operator that takes ``params`` for the model's.

    :param partial: Airflow's own, or one that checks literals.
    """

    def __init__(self, partial: CheckedPartial | Any) -> None:
        self._partial = partial

    def expand(self, **mapped: Any) -> Any:
        """Map over *mapped*, as Airflow does, after a check of each literal."""
        return self._partial.expand(**renamed(mapped))

    def expand_kwargs(self, kwargs: Any, **options: Any) -> Any:
        """Map over the mappings in *kwargs*, as Airflow does, after a check of each literal."""
        if isinstance(kwargs, XComArg):
            kwargs = kwargs.map(renamed)
        elif isinstance(kwargs, (list, tuple)):
            kwargs = [renamed(item) if isinstance(item, Mapping) else item for item in kwargs]
        return self._partial.expand_kwargs(kwargs, **options)


def renamed(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Return *arguments* with ``model_params`` in place of ``params``.

    :raises InvalidParameterError: both are there.
    """
    if "params" not in arguments:
        return dict(arguments)
    if FIELD in arguments:
        with errors_of_the_dag_file(arguments.get("task_id")):
            raise InvalidRequestError(f"{FIELD}: is another name of params, which is set, too")
    return {FIELD if name == "params" else name: value for name, value in arguments.items()}


def _check_that_none_are_airflows(task: BaseOperator, *, with_conf: bool) -> None:
    """Refuse a task whose ``params`` came to it past :func:`renamed`.

    An image without them would be paid, too. That is so in ``super().__init__(params=...)`` of a
    subclass, in ``default_args``, and with ``override(params=...)`` of a mapped function.

    :param with_conf: the run's ``conf`` is among them: only names that some model takes count.
    """
    dag = task.get_dag()
    of_the_task = [
        name
        for name, param in task.params.items()
        # Airflow 3.2+ tells whose they are, before that names that the DAG has go unnoticed.
        if not (dag and name in dag.params) or getattr(param, "source", None) == "task"
        if not with_conf or models_taking(name)
    ]
    if of_the_task:
        with errors_of_the_dag_file(task.task_id):
            raise InvalidRequestError(
                f"params={sorted(of_the_task)} came to the task as Airflow's own and not as the "
                "model's: write model_params=... there"
            )
