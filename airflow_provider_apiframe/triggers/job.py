"""ApiframeJobTrigger: waits for one job on the triggerer. It only reads; nothing it does costs credits."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from typing import Any

from airflow.triggers.base import BaseTrigger, TriggerEvent

from airflow_provider_apiframe.api.errors import ApiframeError, JobTimeoutError
from airflow_provider_apiframe.api.models import Job
from airflow_provider_apiframe.api.waiting import Wait
from airflow_provider_apiframe.hooks.apiframe import ApiframeHook


class ApiframeJobTrigger(BaseTrigger):
    """Fires once, when the job is finished, the deadline has passed, or asking again cannot help.

    The event holds all that a resuming task needs; :func:`job_in` reads it. The trigger's row in the database holds JSON scalars
    and no secret.

    :param job_id: the job.
    :param apiframe_conn_id: id of the Airflow connection.
    :param deadline: seconds since the epoch; absolute, so that a restarted triggerer neither extends nor loses it.
    :param poll_interval: seconds between two requests.
    """

    def __init__(self, job_id: str, apiframe_conn_id: str, deadline: float, poll_interval: float) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.job_id = job_id
        self.apiframe_conn_id = apiframe_conn_id
        self.deadline = deadline
        self.poll_interval = poll_interval

    @classmethod
    def of(cls, wait: Wait, apiframe_conn_id: str) -> ApiframeJobTrigger:
        """Return the trigger that does *wait* on the triggerer."""
        return cls(wait.job_id, apiframe_conn_id, wait.deadline, wait.poll_interval)

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return the class path and the arguments for the trigger's row."""
        return (
            f"{type(self).__module__}.{type(self).__qualname__}",
            {
                "job_id": self.job_id,
                "apiframe_conn_id": self.apiframe_conn_id,
                "deadline": self.deadline,
                "poll_interval": self.poll_interval,
            },
        )

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Wait for the job and yield the one event."""
        try:
            async with await ApiframeHook(self.apiframe_conn_id).async_client() as client:
                job = await client.wait_for_job(Wait(self.job_id, self.deadline, self.poll_interval))
        except ApiframeError as error:
            timed_out = isinstance(error, JobTimeoutError)
            yield TriggerEvent({"status": "timeout" if timed_out else "error", "message": str(error)})
        else:
            yield TriggerEvent({"status": "finished", "job": job.model_dump(mode="json")})


class JobWaitError(ApiframeError):
    """The trigger gave up on a job that may still be running: asking again could not help.

    :ivar timed_out: whether it was the deadline.
    """

    def __init__(self, message: str, *, timed_out: bool) -> None:
        super().__init__(message)
        self.timed_out = timed_out


def job_in(event: Mapping[str, Any] | None) -> Job:
    """Return the finished job that an event of the trigger carries.

    :raises JobWaitError: the trigger could not see the job finish.
    """
    if event and event.get("status") == "finished":
        return Job.model_validate(event["job"])
    message = (event or {}).get("message") or f"the trigger sent an event that cannot be read: {event!r}"
    raise JobWaitError(str(message), timed_out=(event or {}).get("status") == "timeout")
