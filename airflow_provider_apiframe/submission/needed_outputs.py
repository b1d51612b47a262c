"""Arguments that are outputs of other tasks, without which nothing may be submitted."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from airflow.providers.common.compat.sdk import XComArg

from airflow_provider_apiframe.api.errors import ApiframeError
from airflow_provider_apiframe.api.params.families import IMAGE_FIELDS

# An image without its reference, or one that is not saved, is paid as well.
_NEEDED_OUTPUTS = IMAGE_FIELDS | {
    "save_to",
    "flux_params",
    "model_params",
    "image",
    "mask",
    "parent_job_id",
}


def needed_outputs(**arguments: Any) -> list[tuple[str, ...]]:
    """Return which of the *arguments* are outputs of other tasks that must be there at run time.

    :returns: names, e.g. ("save_to",) or ("flux_params", "input_images").
    """
    found: list[tuple[str, ...]] = []
    for name, value in arguments.items():
        if name in _NEEDED_OUTPUTS and isinstance(value, XComArg):
            found.append((name,))
        elif isinstance(value, Mapping):
            found += [(name, *names) for names in needed_outputs(**_texts(value))]
    return found


def _texts(values: Mapping[Any, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if isinstance(name, str)}


class MissingOutputError(ApiframeError):
    """The output of another task is not there. Nothing was submitted.

    It may be there on a later try: the other task may just run again.
    """


def check_needed_outputs(task: Any, needed: list[tuple[str, ...]]) -> None:
    """Refuse to run without an output that the task was to get: None would count as not set.

    :raises MissingOutputError: naming the argument.
    """
    for names in needed:
        value = task
        for name in names:
            value = value.get(name) if isinstance(value, Mapping) else getattr(value, name, None)
        if value is None:
            raise MissingOutputError(
                f"{'.'.join(names)} is the output of another task, and that is None: the task was "
                "skipped, or pushed nothing under this key."
            )
