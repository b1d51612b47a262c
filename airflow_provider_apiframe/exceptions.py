"""Which errors Airflow must not retry, and the advice that only Airflow's side can give.

The API layer's errors carry facts; what a task, a sensor or a retry can do about them is added
here.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from airflow.providers.common.compat.sdk import AirflowFailException

from airflow_provider_apiframe.api.errors import (
    ApiframeError,
    InvalidRequestError,
    JobCancelledError,
    JobFailedError,
    JobTimeoutError,
)


class InvalidParameterError(AirflowFailException, ValueError):
    """A parameter of an operator is wrong.

    In a DAG file it is an import error; in a running task it fails without retry.
    """


@contextmanager
def fail_without_retry(*, include_transient: bool = False) -> Iterator[None]:
    """Turn permanent errors into failures that Airflow does not retry, and add Airflow's advice.

    A retry of a bad key, an empty balance or a wrong parameter only burns time. Transient errors
    pass, and Airflow retries the task.

    :param include_transient: let no error be retried; for a task that only reads what another one
        submitted.
    :raises InvalidParameterError: for an InvalidRequestError.
    :raises AirflowFailException: for any other permanent ApiframeError.
    """
    try:
        yield
    except InvalidRequestError as error:
        raise InvalidParameterError(str(error)) from None
    except ApiframeError as error:
        if advice := _advice(error):
            error.adding(advice)
        if error.transient and not include_transient:
            raise
        raise AirflowFailException(str(error)) from None


def _advice(error: ApiframeError) -> str | None:
    if isinstance(error, JobTimeoutError):
        return collect_hint(error.job_id)
    if isinstance(error, (JobFailedError, JobCancelledError)) and error.transient:
        return "A retry of the task that submitted the job submits a new one."
    return None


def still_running_hint(job_id: str) -> str:
    """Say what becomes of a job that could not be waited for."""
    return f"It was accepted and goes on; collect it with ApiframeJobSensor(job_id={job_id!r})."


def cannot_cancel_hint(job_id: str) -> str:
    """Say what becomes of a job whose task is told to stop: Apiframe has no way to cancel one.

    A worker that shuts down may let the try go on and deliver, so no more is said than is known.
    """
    return (
        "Told to stop while the job runs. Apiframe cannot cancel a job: it goes on, and is paid "
        f"for. If this try ends without its image, {collect_hint(job_id)}"
    )


def cannot_cancel_batch_hint(jobs: int) -> str:
    """Say what becomes of the jobs of a batch whose task is told to stop."""
    return (
        f"Told to stop while {jobs:,} jobs run. Apiframe cannot cancel a job: they go on, and are "
        "paid for. If this try ends without their images, an automatic retry collects them and "
        "pays nothing; clearing the task pays for new images, unless it has "
        "regenerate_on_clear=False."
    )


def collect_hint(job_id: str) -> str:
    """Say how to get at a job that goes on."""
    return (
        f"ApiframeJobSensor(job_id={job_id!r}) collects it and pays nothing, and so does an "
        "automatic retry of the task that submitted it; clearing that task pays for a new image, "
        "unless it has regenerate_on_clear=False."
    )
