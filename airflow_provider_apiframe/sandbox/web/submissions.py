"""The routes that make jobs; all of them take a submission in the same way."""

from __future__ import annotations

from fastapi import APIRouter, Request
from starlette.responses import HTMLResponse, Response

from airflow_provider_apiframe.sandbox.faults import GATEWAY_PAGE
from airflow_provider_apiframe.sandbox.web.dependencies import (
    BaseUrl,
    Caller,
    IdempotencyKey,
    StoreDep,
    SubmissionBody,
)
from airflow_provider_apiframe.sandbox.web.responses import Json, NoResponse

routes = APIRouter()


@routes.post("/images/generate")
@routes.post("/images/upscale")
@routes.post("/images/edit")
@routes.post("/images/background-remove")
@routes.post("/images/midjourney/action")
async def _submit(
    request: Request,
    store: StoreDep,
    caller: Caller,
    body: SubmissionBody,
    idempotency_key: IdempotencyKey,
    base_url: BaseUrl,
) -> Response:
    accepted = store.submit(caller, body, idempotency_key, base_url)
    if not accepted.replay:
        request.app.state.webhooks.schedule(accepted.job)
    if store.faults.should_inject("drop_responses"):
        return NoResponse()
    if store.faults.should_inject("gateway_timeouts"):
        return HTMLResponse(GATEWAY_PAGE.format(status=504, phrase="Gateway Time-out"), 504)
    is_current = accepted.replay and store.faults.settings.replay_status == "current"
    status = accepted.job.status(store.clock()) if is_current else "QUEUED"
    return Json({"jobId": accepted.job.id, "status": status}, 202)
