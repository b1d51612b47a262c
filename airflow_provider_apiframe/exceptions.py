"""How errors of the API end an Airflow task: for good, or with a retry."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from airflow.providers.common.compat.sdk import AirflowFailException

from airflow_provider_apiframe.api.errors import ApiframeError, InvalidRequestError


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
        if error.transient and not include_transient:
            raise
        raise AirflowFailException(str(error)) from None
