"""Tasks that save their images to a place, and what comes of their tries."""

from __future__ import annotations

from typing import Any

import pytest
from places import Place
from task_lives import Task

from airflow_provider_apiframe.delivery.storage import ImageNotSavedError
from airflow_provider_apiframe.sandbox.server import Sandbox

SMALL = {"width": 256, "height": 320, "output_format": "png"}


def task(place: Place, save_to: str = "", **arguments: Any) -> Task:
    """Return a task that saves to *place*, or to *save_to* below it."""
    arguments = {"save_conn_id": place.conn_id, "flux_params": SMALL, **arguments}
    return Task(None, save_to=f"{place.url}/{save_to}", **arguments)


def not_saved(life: Task) -> ImageNotSavedError:
    """Make a try that cannot save, and return its error."""
    with pytest.raises(ImageNotSavedError, match="It is paid: a retry only saves it") as error:
        life.run()
    assert error.value.transient
    assert error.value.job_id
    return error.value


def saves_without_paying(life: Task, job_id: str, sandbox: Sandbox) -> None:
    """Make a try that saves the image of the job that is paid already."""
    assert life.run()["job_id"] == job_id
    assert (sandbox.state.jobs_created, sandbox.state.jobs_paid) == (1, 1)
