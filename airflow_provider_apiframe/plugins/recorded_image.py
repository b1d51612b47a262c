"""What a task instance has recorded of an image: read for a viewer, with the viewer's own session.

It asks Airflow's public REST API, in this process. So Airflow decides who may read what, and
nothing here knows the database.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlencode

import httpx
from pydantic import BaseModel, Field, ValidationError

from airflow_provider_apiframe.api.errors import ApiframeError
from airflow_provider_apiframe.hooks.object_store import split_connection

MAX_SECONDS = 30.0
"""Time cap of one request to Airflow's own API."""

MAX_VALUE_BYTES = 1024 * 1024
"""Size cap of its answer. The value of a job with 10 images has about 8 kB."""

_SESSION_HEADERS = ("authorization", "cookie", "host")
_API = "/api/v2"


class ImageUnavailableError(ApiframeError):
    """The image cannot be handed out.

    :param status: HTTP status that says so, e.g. 404.
    """

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status


@dataclass(frozen=True)
class TaskInstanceAddress:
    """Which task instance; ``scope`` is what Airflow 3.4 also needs to name one in a loop."""

    dag_id: str
    run_id: str
    task_id: str
    map_index: int = -1
    scope: tuple[tuple[str, str], ...] = ()

    @property
    def path(self) -> str:
        """Its path in Airflow's API, without the map index."""
        dag_id, run_id, task_id = (
            quote(part, safe="") for part in (self.dag_id, self.run_id, self.task_id)
        )
        return f"{_API}/dags/{dag_id}/dagRuns/{run_id}/taskInstances/{task_id}"


class RecordedImage(BaseModel, frozen=True):
    """What the XCom value says of a saved image, as far as it is needed to hand it out."""

    uri: str = Field(min_length=1, max_length=4096)
    sha256: str = Field(pattern="^[0-9a-f]{64}$")
    bytes: int = Field(ge=1)

    @property
    def scheme(self) -> str:
        """The scheme of its URI, in lower case."""
        return self.uri.partition("://")[0].lower()


class ViewerSession:
    """Airflow's REST API as one viewer sees it.

    :param airflow: Airflow's ASGI application.
    :param headers: of the viewer's request; those that say who it is are handed on.
    """

    def __init__(self, airflow: Any, headers: Mapping[str, str]) -> None:
        self._airflow = airflow
        self._headers = {name: headers[name] for name in _SESSION_HEADERS if name in headers}

    async def recorded_image(self, task: TaskInstanceAddress, n: int) -> RecordedImage:
        """Return image *n*, from 1, of the task instance's result.

        :raises ImageUnavailableError: the viewer may not read it (401, 403), there is no such image
            or it was not saved (404), the value cannot be used (413, 502).
        """
        query = [("map_index", str(task.map_index)), *task.scope]
        entry = await self._get(f"{task.path}/xcomEntries/return_value", query)
        value = _decoded(entry.get("value"))
        images = value.get("images") if isinstance(value, dict) else None
        if not isinstance(images, list) or len(images) < n or not isinstance(images[n - 1], dict):
            raise ImageUnavailableError(404, f"The task's result has no image {n}")
        try:
            return RecordedImage.model_validate(images[n - 1])
        except ValidationError:
            raise ImageUnavailableError(404, f"Image {n} was not saved to a storage") from None

    async def storage_connection(self, task: TaskInstanceAddress, scheme: str) -> str | None:
        """Return the id of the connection by which the task saved; None where it named none.

        Airflow keeps rendered arguments of the latest runs only.
        """
        instance = await self._get(f"{task.path}/{task.map_index}", list(task.scope))
        arguments = instance.get("rendered_fields")
        arguments = arguments if isinstance(arguments, dict) else {}
        save_to, conn_id = arguments.get("save_to"), arguments.get("save_conn_id")
        if isinstance(save_to, str) and save_to.lower().startswith(f"{scheme}://"):
            conn_id = split_connection(save_to)[0] or conn_id
        return conn_id if isinstance(conn_id, str) and conn_id not in ("", "None") else None

    async def _get(self, path: str, query: list[tuple[str, str]]) -> dict[str, Any]:
        # With the base path: one such as "/api" would be taken from the path as if it were there.
        url = f"{getattr(self._airflow, 'root_path', '')}{path}?{urlencode(query)}"
        transport = httpx.ASGITransport(app=self._airflow, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://airflow") as client:
            try:
                async with asyncio.timeout(MAX_SECONDS):
                    response = await client.get(url, headers=self._headers)
            except TimeoutError:
                raise ImageUnavailableError(502, "Airflow's API did not answer in time") from None
        if response.status_code in (401, 403):
            reason = "Not signed in" if response.status_code == 401 else "No permission"
            raise ImageUnavailableError(
                response.status_code, f"{reason} to read this task's result in Airflow"
            )
        if response.status_code != 200:
            missing = response.status_code < 500
            raise ImageUnavailableError(
                404 if missing else 502,
                "This task has no result"
                if missing
                else f"Airflow's API answered {response.status_code}",
            )
        if len(response.content) > MAX_VALUE_BYTES:
            raise ImageUnavailableError(
                413, "The task's result is larger than any of this provider"
            )
        answer = _decoded(response.text)
        if not isinstance(answer, dict):
            raise ImageUnavailableError(502, "Airflow's API answered something else than an object")
        return answer


def _decoded(value: Any) -> Any:
    """Return *value*, or what it is the JSON of: Airflow stores XComs as JSON text.

    Airflow 3.1 stores what was edited by hand as the JSON of its JSON.
    """
    for _ in range(2):
        if not isinstance(value, str):
            return value
        try:
            value = json.loads(value)
        except (ValueError, RecursionError):
            return None
    return value
