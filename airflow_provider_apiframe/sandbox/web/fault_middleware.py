"""The middleware around all routes: counts requests and lets scripted faults happen."""

from __future__ import annotations

import asyncio
from collections import deque
from uuid import uuid4

from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from airflow_provider_apiframe.sandbox.state.store import Store
from airflow_provider_apiframe.sandbox.web.responses import NoResponse, close_connection

CONTROL = "/_sandbox"


def route_of(method: str, path: str) -> str:
    """Return the name of a route in faults and counts; "other" if the sandbox doesn't serve it."""
    if path.startswith("/images/"):
        return "image"
    if path.startswith("/uploads/"):
        return "uploaded_file"
    if path.startswith("/v2/jobs/"):
        return "job" if method == "GET" else "other"
    names = {
        ("POST", "/v2/images/generate"): "generate",
        ("POST", "/v2/images/upscale"): "upscale",
        ("POST", "/v2/images/edit"): "edit",
        ("POST", "/v2/images/background-remove"): "background_remove",
        ("POST", "/v2/images/midjourney/action"): "midjourney_action",
        ("POST", "/v2/uploads"): "upload",
        ("GET", "/v2/jobs"): "jobs",
        ("GET", "/v2/me"): "me",
        ("GET", "/v2/models"): "models",
    }
    return names.get((method, path), "other")


class FaultMiddleware:
    """ASGI middleware around the app."""

    def __init__(self, app: ASGIApp, store: Store) -> None:
        self._app = app
        self._store = store

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, changed by the first fault queued for it."""
        if scope["type"] != "http" or scope["path"].startswith(CONTROL):
            await self._app(scope, receive, send)
            return
        route = route_of(scope["method"], scope["path"])
        self._store.count_request(route)
        fault = self._store.faults.take(route)
        send = _add_request_id(send)
        if fault is None:
            await self._app(scope, receive, send)
            return
        # A client that gives up during the delay has sent its request all the same.
        receive = await _read_to_end(receive)
        await asyncio.sleep(fault.delay)
        if fault.cut_after is not None:
            send = _cut(scope, receive, send, fault.cut_after)
        if not fault.replaces_response:
            await self._app(scope, receive, send)
            return
        if fault.applied:
            await self._app(scope, receive, _discard)
        status, body, headers = fault.response()
        response = NoResponse() if fault.drop else Response(body, status, headers)
        await response(scope, receive, send)


async def _read_to_end(receive: Receive) -> Receive:
    messages: deque[Message] = deque()
    while not messages or messages[-1].get("more_body", False):
        messages.append(await receive())

    async def receive_again() -> Message:
        return messages.popleft() if messages else await receive()

    return receive_again


async def _discard(_: Message) -> None:
    pass


def _add_request_id(send: Send) -> Send:
    async def send_with_id(message: Message) -> None:
        if message["type"] == "http.response.start":
            request_id = (b"x-request-id", str(uuid4()).encode())
            message["headers"] = [*message.get("headers", []), request_id]
        await send(message)

    return send_with_id


def _cut(scope: Scope, receive: Receive, send: Send, left: int) -> Send:
    async def send_until_cut(message: Message) -> None:
        nonlocal left
        body = message.get("body", b"")
        if message["type"] != "http.response.body" or len(body) <= left:
            left -= len(body)
            await send(message)
            return
        await send({"type": "http.response.body", "body": body[:left], "more_body": True})
        left = 0
        await close_connection(scope, receive)

    return send_until_cut
