"""The routes that steer a sandbox, for tests and demos; they are no part of Apiframe.

They need no key, and answer to this machine only, not to web pages in its browser.

- GET /_sandbox/state: counts, credits, jobs by status, and the settings in force
  (`Store.document`).
- POST /_sandbox/faults: a JSON object of settings to change, by the names of `Settings`, and under
  "next" one scripted fault or a list of them: {"error_rate": 0.1, "next": [{"route": "generate",
  "status": 503, "times": 2}]}.
- POST /_sandbox/reset: forget everything and go back to the settings of the start.
"""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Depends, HTTPException, Request
from starlette.responses import Response

from airflow_provider_apiframe.sandbox.web.dependencies import StoreDep
from airflow_provider_apiframe.sandbox.web.hosts import check_sender
from airflow_provider_apiframe.sandbox.web.responses import Json

routes = APIRouter(prefix="/_sandbox", dependencies=[Depends(check_sender)])


@routes.get("/state")
async def _state(store: StoreDep) -> Response:
    return Json(store.document())


@routes.post("/reset")
async def _reset(store: StoreDep) -> Response:
    store.reset()
    return Json(store.document())


@routes.post("/faults")
async def _faults(request: Request, store: StoreDep) -> Response:
    try:
        options: Any = await request.json()
        if not isinstance(options, dict):
            raise ValueError(
                "the body must be a JSON object of settings, and of faults under 'next'"
            )
        scripted = options.pop("next", [])
        store.configure(options)
        for fault in scripted if isinstance(scripted, list) else [scripted]:
            store.faults.next(**fault)
    except (ValueError, TypeError) as error:
        raise HTTPException(400, str(error)) from None
    return Json({"settings": store.faults.settings.document(), "queued": store.faults.queued})
