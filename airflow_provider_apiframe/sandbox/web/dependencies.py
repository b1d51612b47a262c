"""What routes need of a request, and what is checked before them.

A request is checked in this order: User-Agent, API key, rate limit, outage, validation, idempotency
key, credits.
"""

from __future__ import annotations

import json
from typing import Annotated, Any, cast

from fastapi import Depends, Header, HTTPException, Request
from starlette.requests import ClientDisconnect

from airflow_provider_apiframe.sandbox.state.accounts import Key
from airflow_provider_apiframe.sandbox.state.idempotency import LONGEST_KEY
from airflow_provider_apiframe.sandbox.state.store import Store
from airflow_provider_apiframe.sandbox.web.responses import UserAgentRefused
from airflow_provider_apiframe.sandbox.web.validation import validate_submission

IMAGES = "/v2/images/"  # where the paths of all submissions begin


async def _store(request: Request) -> Store:
    return cast(Store, request.app.state.store)


StoreDep = Annotated[Store, Depends(_store)]


async def _base_url(request: Request) -> str:
    return str(request.base_url).rstrip("/")


BaseUrl = Annotated[str, Depends(_base_url)]


async def check_user_agent(user_agent: Annotated[str, Header()] = "") -> None:
    """Refuse what the proxy in front of the API takes for a bare script."""
    if not user_agent.strip() or user_agent.startswith("Python-urllib/"):
        raise UserAgentRefused


async def find_caller(store: StoreDep, x_api_key: Annotated[str, Header()] = "") -> Key:
    """Return the key of a request that is let in: known, active, within the rate limit."""
    if not x_api_key:
        raise HTTPException(401, "API key is required")
    key = store.accounts.find(x_api_key)
    if key is None:
        raise HTTPException(401, "Invalid API key")
    if not key.active:
        raise HTTPException(403, "API key is inactive")
    if wait := store.seconds_to_wait(key):
        retry_after = store.faults.settings.retry_after
        seconds = wait if retry_after is None else retry_after
        raise HTTPException(429, "Rate limit exceeded", {"Retry-After": f"{seconds:g}"})
    return key


Caller = Annotated[Key, Depends(find_caller)]


async def check_outage(store: StoreDep) -> None:
    """Refuse a share of the requests, as an outage does."""
    if store.faults.should_inject("error_rate"):
        raise HTTPException(503, "Service temporarily unavailable")


async def _submission_body(request: Request, store: StoreDep) -> dict[str, Any]:
    content_type = request.headers.get("content-type", "").partition(";")[0]
    if content_type.strip().lower() != "application/json":
        raise HTTPException(400, "The body must be JSON, sent with Content-Type: application/json")
    try:
        body = json.loads(await request.body(), parse_constant=_refuse_constant)
    except (ValueError, RecursionError):
        raise HTTPException(400, "The body is not valid JSON") from None
    except ClientDisconnect:
        raise HTTPException(400, "The body was not sent to its end") from None
    kind = request.url.path.removeprefix(IMAGES)
    return validate_submission(kind, body, store.faults.settings.dialect)


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


SubmissionBody = Annotated[dict[str, Any], Depends(_submission_body)]


async def _idempotency_key(idempotency_key: Annotated[str, Header()] = "") -> str:
    if len(idempotency_key) > LONGEST_KEY:
        raise HTTPException(400, f"Idempotency-Key must be at most {LONGEST_KEY} characters")
    return idempotency_key


IdempotencyKey = Annotated[str, Depends(_idempotency_key)]
