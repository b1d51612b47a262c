"""What differs between Airflow versions and is not in ``airflow.providers.common.compat.sdk``.

Features are looked for, not version numbers; a version number stands only for a bug of that
version.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from copy import copy
from typing import TYPE_CHECKING, Any, TypeVar
from uuid import UUID

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import BaseOperator, Context

R = TypeVar("R")

try:
    from airflow.sdk.log import mask_secret
except ImportError:  # Airflow 2
    from airflow.utils.log.secrets_masker import mask_secret  # type: ignore[no-redef]

try:
    from airflow.sdk import __version__ as _sdk_version
except ImportError:  # Airflow 2
    _sdk_version = ""

__all__ = [
    "STAYS_TEXT",
    "attached_store",
    "call_with_context",
    "can_push_from_triggers",
    "default_args_around",
    "has_external_views",
    "has_file_system",
    "mask_secret",
    "push_from_trigger",
    "push_link",
    "push_multiple_outputs",
    "redacted",
    "region_of",
    "stored_link",
]

STAYS_TEXT = "{{ ' ' if dag is defined and dag.render_template_as_native_obj else '' }}"
"""Goes before a label. A DAG that renders native objects makes a number of the prompt "2026", and
before Airflow 3.4 that fails the task, whose image is paid. What begins with a space stays text."""


def has_file_system(scheme: str) -> bool:
    """Return whether Airflow knows storage by this scheme, and which connection it takes."""
    # Not above: it loads fsspec, which the parsing of DAGs does without.
    try:
        from airflow.sdk.io import has_fs
    except ImportError:  # Airflow 2
        from airflow.io import has_fs  # type: ignore[attr-defined, no-redef]
    return bool(has_fs(scheme))


def attached_store(scheme: str, conn_id: str | None) -> Any:
    """Return what Airflow keeps of a storage that was used in this process: its file system."""
    # Not above, as for has_file_system.
    try:
        from airflow.sdk.io import attach
    except ImportError:  # Airflow 2
        from airflow.io.store import attach  # type: ignore[no-redef]
    return attach(scheme, conn_id=conn_id)


def default_args_around(dag: Any = None, task_group: Any = None) -> dict[str, Any]:
    """Return the ``default_args`` for a task that is made here: its DAG's and its task group's.

    ``params`` are not among them: they are Airflow's own there.

    :param dag: that the task names, None for the one around it; and so is *task_group*.
    """
    # Not above: who imports this module need not make tasks.
    current_dag: Callable[[], Any]
    current_group: Callable[[Any], Any]
    try:
        from airflow.sdk.definitions._internal import contextmanager

        current_dag = contextmanager.DagContext.get_current
        current_group = contextmanager.TaskGroupContext.get_current
    except ImportError:  # Airflow 2
        from airflow.models.dag import DagContext
        from airflow.utils.task_group import TaskGroupContext  # type: ignore[import-not-found]

        current_dag = DagContext.get_current_dag
        current_group = TaskGroupContext.get_current_task_group
    dag = dag or current_dag()
    task_group = task_group or current_group(dag)
    if not dag:
        return {}
    found = {**dag.default_args, **(task_group.default_args if task_group else {})}
    return {name: value for name, value in found.items() if name != "params"}


def call_with_context(
    function: Callable[..., R], context: Context, args: Collection[Any], kwargs: Mapping[str, Any]
) -> R:
    """Call the function of a decorated task, with what it takes of Airflow's context as well."""
    # Not above: they are needed once, when the task runs.
    from airflow.providers.common.compat.sdk import context_merge

    try:
        from airflow.sdk.bases.decorator import determine_kwargs
    except ImportError:  # before Airflow 3.2
        from airflow.utils.operator_helpers import (  # type: ignore[attr-defined]
            determine_kwargs,
        )
    known = copy(context)
    context_merge(known, kwargs)
    return function(*args, **determine_kwargs(function, args, known))


def push_multiple_outputs(result: R, task: BaseOperator, context: Context) -> R:
    """Return *result*, with each of its keys made an XCom of its own where Airflow cannot do it.

    Airflow 3.0 (task SDK 1.0) fails a task with ``multiple_outputs`` when one of the values is
    None: its API refuses an XCom without a body. There the keys are pushed here, without those that
    are None; ``return_value`` is whole all the same.
    """
    wanted = task.multiple_outputs and task.do_xcom_push
    if _sdk_version.startswith("1.0.") and wanted and isinstance(result, dict):
        task.multiple_outputs = False
        for key, value in result.items():
            if value is not None:
                context["ti"].xcom_push(key=key, value=value)
    return result


def region_of(ti: Any) -> tuple[str, int] | None:
    """Return the region of a running task instance and its index there, None outside of any.

    Airflow 3.4: iterations of a loop share dag, run, task and map index, and map indexes repeat in
    each region. Outside of them the region is a UUID of zeros.
    """
    region_id = getattr(ti, "region_id", None)
    if region_id is None or not UUID(str(region_id)).int:
        return None
    return str(region_id), ti.region_index


def redacted(text: str) -> str:
    """Return *text* without the secrets that Airflow has met in this process."""
    # Not above: it is needed once, when a task fails.
    try:
        from airflow.sdk.log import redact  # type: ignore[attr-defined]
    except ImportError:
        try:
            # Airflow 3.0
            from airflow.sdk.execution_time.secrets_masker import redact  # type: ignore[no-redef]
        except ImportError:  # Airflow 2
            from airflow.utils.log.secrets_masker import redact  # type: ignore[no-redef]
    return str(redact(text))


def push_link(ti: Any, key: str, url: str) -> None:
    """Store an operator link as Airflow 3 does it at the end of a task: in its database.

    It shows the row as it is, and a custom XCom backend may keep but a path there.
    """
    base, configured = _xcom_classes()
    if configured is base:
        ti.xcom_push(key=key, value=url)
    else:
        of_ti = {"dag_id": ti.dag_id, "run_id": ti.run_id, "task_id": ti.task_id}
        base.set(key=key, value=url, map_index=ti.map_index, **of_ti)


def can_push_from_triggers() -> bool:
    """Return whether a trigger can push an XCom without blocking its event loop (Airflow 3.3+)."""
    return hasattr(_xcom_classes()[0], "aset")


async def push_from_trigger(ti: Any, key: str, value: Any) -> None:
    """Push a small XCom of the trigger's task instance, into Airflow's own database."""
    base, _ = _xcom_classes()
    of_ti = {"dag_id": ti.dag_id, "run_id": ti.run_id, "task_id": ti.task_id}
    await base.aset(key=key, value=value, map_index=ti.map_index, **of_ti)


def stored_link(ti_key: Any, key: str) -> Any:
    """Return what :func:`push_link` stored for a task instance, None where that is nothing."""
    base, _ = _xcom_classes()
    return base.get_value(ti_key=ti_key, key=key)


def _xcom_classes() -> tuple[Any, Any]:
    """Return Airflow's own XCom class, and the one that is configured."""
    try:
        from airflow.sdk.bases.xcom import BaseXCom
        from airflow.sdk.execution_time.xcom import XCom
    except ImportError:  # Airflow 2
        from airflow.models.xcom import BaseXCom, XCom  # type: ignore[no-redef]
    return BaseXCom, XCom


def has_external_views() -> bool:
    """Return whether the UI of this Airflow shows pages of plugins, such as the gallery (3.1+)."""
    # Not above: it is needed once, when an image is delivered.
    try:
        from airflow.sdk.plugins_manager import AirflowPlugin
    except ImportError:  # before Airflow 3.2
        from airflow.plugins_manager import AirflowPlugin  # type: ignore[assignment]
    return hasattr(AirflowPlugin, "external_views")
