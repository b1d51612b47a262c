"""Why a try ended without its image, kept for the gallery."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypedDict

from airflow.providers.common.compat.sdk import (
    AirflowFailException,
    AirflowSensorTimeout,
    AirflowSkipException,
)

from airflow_provider_apiframe.api.errors import ApiframeError
from airflow_provider_apiframe.api.settings import without_keys
from airflow_provider_apiframe.version_compat import redacted

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

log = logging.getLogger(__name__)

FAILURE_KEY = "failure"
"""The XCom that holds the :class:`Failure` of a task's last try."""

MAX_REASON_CHARACTERS = 1000

OUR_ERRORS = (ApiframeError, AirflowFailException, AirflowSensorTimeout)


class Failure(TypedDict):
    """Why a try failed: the error's text, 1000 characters at most and without secrets.

    ``job_id`` is None where the try ended before a job was accepted.
    """

    job_id: str | None
    reason: str


@contextmanager
def keeping_failure(task: Any, context: Context) -> Iterator[None]:
    """Push the XCom ``failure`` when a try of *task* ends with an error that this provider raises,
    also where Airflow skips the task for it. The error goes on as it is.

    Nothing is pushed with ``do_xcom_push=False``. Airflow removes it when the next try begins.

    :param task: an operator or sensor that says by ``current_job_id`` which job it is about.
    """
    try:
        yield
    except OUR_ERRORS as error:
        _push(error, task, context)
        raise
    except AirflowSkipException as skip:  # soft_fail and never_fail of a sensor
        _push(skip.__cause__ or skip, task, context)
        raise


def _push(error: BaseException, task: Any, context: Context) -> None:
    if not task.do_xcom_push:
        return
    job_id = getattr(error, "job_id", None) or task.current_job_id
    try:
        failure = Failure(job_id=job_id, reason=_reason(error))
        context["ti"].xcom_push(key=FAILURE_KEY, value=failure)
    except Exception as unheard:  # of Airflow's API server, or of an XCom backend
        log.warning("Why the task failed could not be kept for the gallery: %s", unheard)


def _reason(error: BaseException) -> str:
    text = redacted(without_keys(str(error)))
    if len(text) <= MAX_REASON_CHARACTERS:
        return text
    return f"{text[: MAX_REASON_CHARACTERS - 1]}…"
