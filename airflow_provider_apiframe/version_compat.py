"""What differs between Airflow versions and is not in ``airflow.providers.common.compat.sdk``.

Features are looked for, not version numbers; a version number stands only for a bug of that
version.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

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

__all__ = ["attached_store", "has_file_system", "mask_secret", "push_multiple_outputs"]


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
