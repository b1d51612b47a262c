"""How errors of the API end an Airflow task: for good, or with a retry."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from airflow.providers.common.compat.sdk import AirflowFailException

from airflow_provider_apiframe.api.errors import ApiframeError, InvalidRequestError, JobTimeoutError


class InvalidParameterError(AirflowFailException, ValueError):
    """A parameter of an operator is wrong.

    In a DAG file it is an import error; in a running task it fails without retry.
    """


@contextmanager
def fail_without_retry(
    *, include_transient: bool = False, task_id: str | None = None
) -> Iterator[None]:
    """Turn permanent errors into failures that Airflow does not retry; transient ones pass, and
    Airflow retries the task.

    A retry of a bad key, an empty balance or a wrong parameter only burns time.

    :param include_transient: let no error be retried; for a task that only looks at what another
        one did.
    :param task_id: named in front of a wrong parameter, for import errors: they do not say which
        task it was.
    :raises InvalidParameterError: for an InvalidRequestError.
    :raises AirflowFailException: for any other permanent ApiframeError.
    """
    try:
        yield
    except InvalidRequestError as error:
        raise InvalidParameterError(
            f"task {task_id!r}: {error}" if task_id else str(error)
        ) from None
    except ApiframeError as error:
        if isinstance(error, JobTimeoutError):
            error.adding(collect_hint(error.job_id))
        if error.transient and not include_transient:
            raise
        raise AirflowFailException(str(error)) from None


def still_running_hint(job_id: str) -> str:
    """Say what becomes of a job that cannot be waited for."""
    return f"Job {job_id} was accepted and goes on; collect it with ApiframeJobSensor(job_id={job_id!r})."


def cannot_cancel_hint(job_id: str) -> str:
    """Say what becomes of a job whose task was stopped: Apiframe has no way to cancel one."""
    return f"Apiframe cannot cancel a job: job {job_id} keeps running and is paid for. {collect_hint(job_id)}"


def collect_hint(job_id: str) -> str:
    """Say how to get at a job that goes on."""
    return (
        f"ApiframeJobSensor(job_id={job_id!r}) collects it and pays nothing, and so does an automatic retry of the task that "
        "submitted it; clearing that task pays for a new image, unless it has regenerate_on_clear=False."
    )
