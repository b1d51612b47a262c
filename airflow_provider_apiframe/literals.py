"""Which values of a DAG file are known only when the task runs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def is_templated(value: Any, *, deep: bool = False) -> bool:
    """Return whether *value* is known only when the task runs: a template, another task's output, a DAG param, a callable."""
    if isinstance(value, str):
        return any(mark in value for mark in ("{{", "{%", "{#"))
    if deep and isinstance(value, Mapping):
        return any(is_templated(item, deep=True) for item in value.values())
    if deep and isinstance(value, (list, tuple)):
        return any(is_templated(item, deep=True) for item in value)
    return callable(value) or callable(getattr(value, "resolve", None))
