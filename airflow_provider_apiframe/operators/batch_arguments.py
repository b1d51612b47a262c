"""Checks of a batch operator's own arguments while a DAG is parsed."""

from __future__ import annotations

import math
from typing import Any

from airflow_provider_apiframe.api.params.base import invalid
from airflow_provider_apiframe.delivery.naming import SaveTo
from airflow_provider_apiframe.literals import (
    check_literals,
    errors_of_the_dag_file,
    is_templated,
)
from airflow_provider_apiframe.submission.batch_requests import ParamsName, check_literal_requests


def check_batch_arguments(
    *,
    task_id: str,
    requests: Any,
    model: Any,
    params: Any,
    params_name: ParamsName,
    save_to: Any,
    max_active: Any,
    min_success: Any,
    **shared: Any,
) -> None:
    """Check all arguments whose values are known while the DAG is read.

    :param shared: what all operators have.
    :raises InvalidParameterError: naming the task, the argument, its value and what is allowed.
    """
    check_literals(task_id=task_id, save_to=save_to, **shared)
    with errors_of_the_dag_file(task_id):
        if not is_templated(save_to):
            check_batch_save_to(save_to)
        _check_max_active(max_active)
        _check_min_success(min_success)
        if isinstance(requests, (list, tuple)) and requests:
            check_enough_requests(min_success, len(requests))
        check_literal_requests(
            requests,
            model=model,
            params=params,
            params_name=params_name,
            is_templated=lambda value: is_templated(value, depth=9),
        )


def check_batch_save_to(save_to: Any) -> None:
    """See that each image of a batch gets a name of its own.

    :raises InvalidRequestError: two images would have the same name.
    """
    parsed = SaveTo.parse(save_to)
    if parsed.name is not None and "job_id" not in parsed.placeholders:
        raise invalid(
            "save_to",
            save_to,
            'all images of the batch would have this one name; end it with "/" for a folder, or '
            "put {job_id} into it",
        )


def check_enough_requests(min_success: float, count: int) -> None:
    """See that the batch can make as many images as the task needs.

    :param count: how many requests there are.
    :raises InvalidRequestError: it would be paid, and fail all the same.
    """
    if min_success > count:
        raise invalid(
            "min_success",
            min_success,
            f"must be at most the number of requests, {count:,} here; a share of them is a float "
            "from 0.0 to 1.0",
        )


def _check_max_active(max_active: Any) -> None:
    is_number = isinstance(max_active, int) and not isinstance(max_active, bool)
    if max_active is not None and not (is_number and max_active >= 1):
        raise invalid("max_active", max_active, "must be a whole number of jobs, at least 1")


def _check_min_success(min_success: Any) -> None:
    allowed = (
        "must be a whole number of requests, at least 0, or a share of them, a float from 0.0 to "
        "1.0 (1 is one request, 1.0 is all)"
    )
    if isinstance(min_success, bool) or not isinstance(min_success, (int, float)):
        raise invalid("min_success", min_success, allowed)
    too_much = isinstance(min_success, float) and not min_success <= 1
    if too_much or math.isnan(min_success) or min_success < 0:
        raise invalid("min_success", min_success, allowed)
