"""What other tasks may take of a task's output: the whole result, and the keys that are XComs."""

from __future__ import annotations

from typing import Any, ClassVar

from airflow.providers.common.compat.sdk import MappedOperator, XComArg

from airflow_provider_apiframe.api.errors import InvalidRequestError
from airflow_provider_apiframe.literals import errors_of_the_dag_file
from airflow_provider_apiframe.version_compat import PlainXComArg

WHOLE = "return_value"


class WholeOutput(PlainXComArg):
    """The output of a task with ``multiple_outputs=False``: its result is one XCom.

    Airflow would look for an XCom per key when the other task runs. It fails that task then, or
    gives it an empty list where this one is mapped.
    """

    def __getitem__(self, key: str) -> XComArg:
        """Return the XCom with this key.

        :raises InvalidParameterError: the task pushes none. Its traceback ends in the line that
            asked for it.
        """
        task = self.operator
        task_class: Any = task.operator_class if isinstance(task, MappedOperator) else type(task)
        with errors_of_the_dag_file(task.task_id):
            if key != WHOLE and key not in task_class.keys_of_their_own:
                raise InvalidRequestError(
                    f"output[{key!r}] is no XCom of its own with multiple_outputs=False; hand on "
                    f"the whole output, and take result[{key!r}] in the task that gets it"
                )
        return super().__getitem__(key)


class HasKeyedOutput:
    """A task that returns a mapping, each key of which is an XCom of its own as well.

    With ``multiple_outputs=False`` only the whole result is one.
    """

    __slots__ = ()
    keys_of_their_own: ClassVar[tuple[str, ...]] = ()
    """What the task pushes beside its result."""

    @property
    def output(self) -> XComArg:
        """The task's result; ``output["job_id"]`` and so on are its keys."""
        task: Any = self
        if isinstance(task, MappedOperator):
            # Airflow 2 looks into the DAG's defaults only when a mapped task runs.
            arguments = {**(task.dag.default_args if task.dag else {}), **task.partial_kwargs}
            pushes_keys = arguments.get("multiple_outputs", True)
        else:
            pushes_keys = task.multiple_outputs
        return XComArg(task) if pushes_keys else WholeOutput(task)


class _MappedOperator(HasKeyedOutput, MappedOperator):
    """Airflow's own, with another ``output``."""

    __slots__ = ()


def with_keyed_output(mapped: Any) -> Any:
    """Return a mapped operator whose ``output`` knows which keys its tasks push."""
    # Airflow makes it, and asks nobody for another class; this one differs in a property only.
    mapped.__class__ = _MappedOperator
    return mapped
