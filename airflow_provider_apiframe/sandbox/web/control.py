"""The routes that steer a sandbox, for tests and demos: /_sandbox/state, /_sandbox/faults and
/_sandbox/reset.

They are no part of Apiframe, need no key, and answer to this machine only.

- GET /_sandbox/state: counts, credits, jobs by status, and the settings in force
    (`Store.document`).
- POST /_sandbox/faults: a JSON object of settings to change, by the names of `Options`, and under
  "next" one scripted fault or a list of them: {"error_rate": 0.1, "next": [{"route": "generate",
  "status": 503, "times": 2}]}.
- POST /_sandbox/reset: forget everything and go back to the settings of the start.
"""

from __future__ import annotations

from typing import Any, cast

from fastapi import APIRouter, Depends, Request
from starlette.responses import Response

from airflow_provider_apiframe.sandbox.state.store import Store
from airflow_provider_apiframe.sandbox.web.hosts import is_loopback
from airflow_provider_apiframe.sandbox.web.responses import Json, refuse


async def _from_this_machine(request: Request) -> None:
    # The Host is looked at too: a page in a browser can be made to reach loopback under a foreign
    # name.
    if (
        request.client is None
        or not is_loopback(request.client.host)
        or not is_loopback(request.url.hostname or "")
    ):
        raise refuse(403, "/_sandbox answers to this machine only")


routes = APIRouter(prefix="/_sandbox", dependencies=[Depends(_from_this_machine)])


def _world(request: Request) -> Store:
    return cast(Store, request.app.state.world)


@routes.get("/state")
async def _state(request: Request) -> Response:
    return Json(_world(request).document())


@routes.post("/reset")
async def _reset(request: Request) -> Response:
    _world(request).reset()
    return Json(_world(request).document())


@routes.post("/faults")
async def _faults(request: Request) -> Response:
    world = _world(request)
    try:
        options: Any = await request.json()
        if not isinstance(options, dict):
            raise ValueError(
                "the body must be a JSON object of settings, and of faults under 'next'"
            )
        scripted = options.pop("next", [])
        world.configure(options)
        for fault in scripted if isinstance(scripted, list) else [scripted]:
            world.faults.next(**fault)
    except (ValueError, TypeError) as error:
        raise refuse(400, str(error)) from None
    return Json({"settings": world.faults.settings.document(), "queued": world.faults.queued})
