"""Checks of arguments while a DAG is parsed, and which values are known only when the task runs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from airflow_provider_apiframe.api.params.catalog import DEFAULT_MODEL
from airflow_provider_apiframe.api.params.flux import FluxParams
from airflow_provider_apiframe.api.params.request import (
    check_conn_id,
    check_flag,
    check_max_credits,
    check_model,
    check_prompt,
    check_webhook_events,
    check_webhook_pair,
    check_webhook_url,
    checked_seconds,
    flux_params_mapping,
)
from airflow_provider_apiframe.exceptions import fail_without_retry


def is_templated(value: Any, *, deep: bool = False) -> bool:
    """Return whether *value* is known only when the task runs: a template, another task's output, a DAG param, a callable."""
    if isinstance(value, str):
        return any(mark in value for mark in ("{{", "{%", "{#"))
    if deep and isinstance(value, Mapping):
        return any(is_templated(item, deep=True) for item in value.values())
    if deep and isinstance(value, (list, tuple)):
        return any(is_templated(item, deep=True) for item in value)
    return callable(value) or callable(getattr(value, "resolve", None))


def check_literals(**arguments: Any) -> None:
    """Check all *arguments* whose values are known while the DAG is read.

    :raises InvalidParameterError: naming the argument, its value and what is allowed.
    """
    # No template fields: nothing would render them.
    flags = ("wait_for_completion", "deferrable", "regenerate_on_clear")
    never_late = {*flags, "poll_interval", "timeout", "max_credits", "webhook_events"}
    known = {
        name: value
        for name, value in arguments.items()
        if name in never_late or not is_templated(value)
    }
    with fail_without_retry(task_id=arguments.get("task_id")):
        if "prompt" in known:
            check_prompt(known["prompt"])
        if "model" in known:
            check_model(known["model"])
        if "flux_params" in known:
            values = flux_params_mapping(known["flux_params"])
            late = [name for name, value in values.items() if is_templated(value, deep=True)]
            FluxParams.parse(values, model=known.get("model"), late=late)
        if known.get("webhook_url") is not None:
            check_webhook_url(known["webhook_url"])
        if known.get("webhook_events") is not None:
            check_webhook_events(known["webhook_events"])
        if "webhook_url" in known:
            check_webhook_pair(known["webhook_url"], known.get("webhook_events"))
        if "apiframe_conn_id" in known:
            check_conn_id(known["apiframe_conn_id"])
        for name in ("poll_interval", "timeout"):
            if name in known:
                checked_seconds(name, known[name])
        for name in flags:
            if name in known:
                check_flag(name, known[name])
        if known.get("max_credits") is not None:
            check_max_credits(known["max_credits"])


def checking_literals(base: type, shared: dict[str, Any]) -> type:
    """Return *base*, the class of what ``partial()`` returns, with a look at the literals that are expanded."""

    class CheckingPartial(base):  # type: ignore[misc]
        __slots__ = ()

        def expand(self, **mapped: Any) -> Any:
            others = {
                name: value
                for name, value in {"model": DEFAULT_MODEL, **shared}.items()
                if name not in mapped
            }
            check_literals(**others)
            for name, values in mapped.items():
                for value in values if isinstance(values, (list, tuple)) else ():
                    check_literals(**others, **{name: value})
            return super().expand(**mapped)

        def expand_kwargs(self, kwargs: Any, **options: Any) -> Any:
            for item in kwargs if isinstance(kwargs, (list, tuple)) else ():
                if isinstance(item, Mapping):
                    check_literals(**{"model": DEFAULT_MODEL, **shared, **item})
            return super().expand_kwargs(kwargs, **options)

    return CheckingPartial
