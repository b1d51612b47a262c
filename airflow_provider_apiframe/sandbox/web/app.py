"""The routes of Apiframe v2 that the sandbox serves."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, Any

from fastapi import APIRouter, Depends, FastAPI, HTTPException, Query
from starlette.responses import Response

from airflow_provider_apiframe.sandbox.images.cache import ImageCache
from airflow_provider_apiframe.sandbox.state.models import MODELS
from airflow_provider_apiframe.sandbox.state.store import Store
from airflow_provider_apiframe.sandbox.web import cdn, control, job_page, submissions, uploads
from airflow_provider_apiframe.sandbox.web.dependencies import (
    BaseUrl,
    Caller,
    StoreDep,
    check_outage,
    check_user_agent,
    find_caller,
)
from airflow_provider_apiframe.sandbox.web.fault_middleware import FaultMiddleware
from airflow_provider_apiframe.sandbox.web.hosts import HostMiddleware
from airflow_provider_apiframe.sandbox.web.responses import Json, add_error_handlers
from airflow_provider_apiframe.sandbox.web.schemas.fields import is_uuid
from airflow_provider_apiframe.sandbox.web.validation import JobQuery, Modality
from airflow_provider_apiframe.sandbox.web.webhooks import WebhookSender

_open_routes = APIRouter(dependencies=[Depends(check_user_agent)])
_keyed_routes = APIRouter(
    prefix="/v2",
    dependencies=[Depends(check_user_agent), Depends(find_caller), Depends(check_outage)],
)

_keyed_routes.include_router(submissions.routes)
_keyed_routes.include_router(uploads.keyed_routes)


def create_app(store: Store, listening_on: str = "127.0.0.1") -> FastAPI:
    """Return the ASGI app of a sandbox.

    :param store: its memory.
    :param listening_on: the host that it listens on, by which clients may call it beside loopback.
    """
    webhooks = WebhookSender(store)

    @asynccontextmanager
    async def send_webhooks(_: FastAPI) -> AsyncIterator[None]:
        async with webhooks.running():
            yield

    app = FastAPI(
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        lifespan=send_webhooks,
    )
    app.state.store = store
    app.state.webhooks = webhooks
    app.state.images = ImageCache(lambda: store.faults.settings.plain_images)
    app.include_router(_open_routes)
    app.include_router(_keyed_routes)
    app.include_router(cdn.routes)
    app.include_router(uploads.open_routes)
    app.include_router(control.routes)
    app.include_router(job_page.routes)
    add_error_handlers(app)
    app.add_middleware(FaultMiddleware, store=store)
    app.add_middleware(HostMiddleware, listening_on=listening_on)  # comes before the others
    return app


@_keyed_routes.get("/jobs/{job_id}")
async def _job(store: StoreDep, caller: Caller, job_id: str, base_url: BaseUrl) -> Response:
    if not is_uuid(job_id):
        raise HTTPException(400, "Invalid job id")
    job = store.job(job_id, caller.user_id)
    if job is None:
        raise HTTPException(404, "Job not found")
    document = job.document(store.clock(), store.faults.settings, base_url)
    return Json({**document, "input": job.input})


@_keyed_routes.get("/jobs")
async def _jobs(
    store: StoreDep, caller: Caller, query: Annotated[JobQuery, Query()], base_url: BaseUrl
) -> Response:
    if query.scope == "team" and not caller.owns_team:
        raise HTTPException(403, "Only team admins can list the whole team's jobs")
    user_id = None if query.scope == "team" else caller.user_id
    page = store.page(user_id, query.limit, query.cursor, query.status, query.model, query.search)
    now, settings = store.clock(), store.faults.settings
    content: dict[str, Any] = {
        "jobs": [job.document(now, settings, base_url) for job in page.jobs],
        "nextCursor": page.next_cursor,
        "hasMore": page.has_more,
    }
    if query.include_models == "true":
        content["models"] = store.models_used(user_id)
    return Json(content)


@_keyed_routes.get("/me")
async def _me(store: StoreDep, caller: Caller) -> Response:
    return Json(caller.me(store.credits))


@_open_routes.get("/v2/models", dependencies=[Depends(check_outage)])
async def _models(modality: Modality = "image") -> Response:
    models = [model.document() for model in MODELS.values()] if modality == "image" else []
    return Json({"models": models})
