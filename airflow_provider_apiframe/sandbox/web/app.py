"""The routes of Apiframe v2 that the sandbox serves.

A request is looked at in this order: User-Agent, API key, rate limit, outage, validation,
idempotency key, credits.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, Any, cast

from fastapi import APIRouter, Depends, FastAPI, Request
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import HTMLResponse, PlainTextResponse, Response

from airflow_provider_apiframe.sandbox.faults import GATEWAY_PAGE
from airflow_provider_apiframe.sandbox.images.cache import Gallery
from airflow_provider_apiframe.sandbox.state.accounts import Key
from airflow_provider_apiframe.sandbox.state.idempotency import LONGEST_KEY, Conflict
from airflow_provider_apiframe.sandbox.state.models import MODELS
from airflow_provider_apiframe.sandbox.state.pagination import BadCursor
from airflow_provider_apiframe.sandbox.state.store import InsufficientCredits, Store
from airflow_provider_apiframe.sandbox.web import control
from airflow_provider_apiframe.sandbox.web.fault_middleware import FaultMiddleware
from airflow_provider_apiframe.sandbox.web.responses import (
    Json,
    NoAnswer,
    Refusal,
    answer_refusal,
    refuse,
    refuse_agent,
    refuse_invalid,
)
from airflow_provider_apiframe.sandbox.web.validation import (
    is_uuid,
    validate_generate,
    validate_job_query,
    validate_modality,
)
from airflow_provider_apiframe.sandbox.web.webhooks import WebhookSender


def create_app(world: Store) -> FastAPI:
    """Return the ASGI app of a sandbox with this memory."""
    courier = WebhookSender(world)

    @asynccontextmanager
    async def deliver_webhooks(_: FastAPI) -> AsyncIterator[None]:
        async with courier.at_work():
            yield

    app = FastAPI(
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        lifespan=deliver_webhooks,
    )
    app.state.world = world
    app.state.courier = courier
    app.state.gallery = Gallery()
    app.include_router(_open_routes)
    app.include_router(_keyed_routes)
    app.include_router(control.routes)
    app.add_exception_handler(Refusal, answer_refusal)
    app.add_exception_handler(HTTPException, _not_found)
    app.add_middleware(FaultMiddleware, world=world)
    return app


async def _not_found(request: Request, _: Exception) -> Response:
    return Json({"error": f"Cannot {request.method} {request.url.path}"}, 404)


def _world(request: Request) -> Store:
    return cast(Store, request.app.state.world)


def _base_url(request: Request) -> str:
    return str(request.base_url).rstrip("/")


async def _known_agent(request: Request) -> None:
    agent = request.headers.get("user-agent", "")
    if not agent.strip() or agent.startswith("Python-urllib/"):
        raise refuse_agent()


async def _caller(request: Request) -> Key:
    world = _world(request)
    value = request.headers.get("x-api-key", "")
    if not value:
        raise refuse(401, "API key is required")
    key = world.accounts.find(value)
    if key is None:
        raise refuse(401, "Invalid API key")
    if not key.active:
        raise refuse(403, "API key is inactive")

    wait = world.seconds_to_wait(key)
    if wait:
        retry_after = world.faults.settings.retry_after
        seconds = wait if retry_after is None else retry_after
        raise refuse(429, "Rate limit exceeded", {"Retry-After": f"{seconds:g}"})
    return key


async def _available(request: Request) -> None:
    if _world(request).faults.should_inject("error_rate"):
        raise refuse(503, "Service temporarily unavailable")


Caller = Annotated[Key, Depends(_caller)]

_open_routes = APIRouter(dependencies=[Depends(_known_agent)])
_keyed_routes = APIRouter(
    prefix="/v2", dependencies=[Depends(_known_agent), Depends(_caller), Depends(_available)]
)


@_keyed_routes.post("/images/generate")
async def _generate(request: Request, caller: Caller) -> Response:
    world = _world(request)
    body = await _json_body(request)
    details = validate_generate(body, world.faults.settings.dialect)
    if details:
        raise refuse_invalid(details)
    idempotency_key = request.headers.get("idempotency-key")
    if idempotency_key and len(idempotency_key) > LONGEST_KEY:
        raise refuse(400, f"Idempotency-Key must be at most {LONGEST_KEY} characters")

    try:
        accepted = world.submit(caller, body, idempotency_key, _base_url(request))
    except Conflict:
        raise refuse(
            409, "Idempotency-Key was already used with a different request body"
        ) from None
    except InsufficientCredits as broke:
        raise refuse(
            402,
            "Insufficient credits",
            creditsRequired=broke.required,
            creditsAvailable=broke.available,
        ) from None
    if not accepted.replay:
        cast(WebhookSender, request.app.state.courier).take(accepted.job)

    if world.faults.should_inject("drop_responses"):
        return NoAnswer()
    if world.faults.should_inject("gateway_timeouts"):
        return HTMLResponse(GATEWAY_PAGE.format(status=504, phrase="Gateway Time-out"), 504)
    status = accepted.job.status(world.clock()) if accepted.replay else "QUEUED"
    return Json({"jobId": accepted.job.id, "status": status}, 202)


async def _json_body(request: Request) -> Any:
    if (
        request.headers.get("content-type", "").partition(";")[0].strip().lower()
        != "application/json"
    ):
        raise refuse(400, "The body must be JSON, sent with Content-Type: application/json")
    try:
        return json.loads(await request.body(), parse_constant=_no_constant)
    except (ValueError, RecursionError):
        raise refuse(400, "The body is not valid JSON") from None
    except ClientDisconnect:
        raise refuse(400, "The body was not sent to its end") from None


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


@_keyed_routes.get("/jobs/{job_id}")
async def _job(request: Request, job_id: str, caller: Caller) -> Response:
    world = _world(request)
    if not is_uuid(job_id):
        raise refuse(400, "Invalid job id")
    job = world.job(job_id, caller.user.id)
    if job is None:
        raise refuse(404, "Job not found")
    document = job.document(world.clock(), world.faults.settings, _base_url(request))
    return Json({**document, "input": job.input})


@_keyed_routes.get("/jobs")
async def _jobs(request: Request, caller: Caller) -> Response:
    world = _world(request)
    query = request.query_params
    details = validate_job_query(query)
    if details:
        raise refuse_invalid(details)
    whole_team = query.get("scope") == "team"
    if whole_team and not caller.user.sees_team:
        raise refuse(403, "Only team admins can list the whole team's jobs")
    user_id = None if whole_team else caller.user.id
    try:
        page = world.page(query, user_id)
    except BadCursor:
        raise refuse_invalid({"cursor": ["Invalid cursor"]}) from None
    now, settings, base_url = world.clock(), world.faults.settings, _base_url(request)
    answer: dict[str, Any] = {
        "jobs": [job.document(now, settings, base_url) for job in page.jobs],
        "nextCursor": page.next_cursor,
        "hasMore": page.next_cursor is not None,
    }
    if query.get("include_models") == "true":
        answer["models"] = world.models_used(user_id)
    return Json(answer)


@_keyed_routes.get("/me")
async def _me(request: Request, caller: Caller) -> Response:
    return Json(caller.me(_world(request).credits))


@_open_routes.get("/v2/models", dependencies=[Depends(_available)])
async def _models(request: Request) -> Response:
    details = validate_modality(request.query_params)
    if details:
        raise refuse_invalid(details)
    served = request.query_params.get("modality", "image") == "image"
    return Json({"models": [model.document() for model in MODELS.values()] if served else []})


@_open_routes.api_route("/images/{name}", methods=["GET", "HEAD"])
def _image(request: Request, name: str) -> Response:
    # Not async: an image takes a while to draw, and the other requests must not wait for it.
    job = _world(request).job_of_image(name)
    if job is None:
        return PlainTextResponse("Not found", 404)
    gallery: Gallery = request.app.state.gallery
    image = gallery.image(job)
    return Response(
        image.data, media_type=image.content_type, headers={"Cache-Control": "public, max-age=3600"}
    )
