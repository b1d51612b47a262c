"""The gate before all routes: counts requests and lets scripted faults happen."""

from __future__ import annotations

import asyncio
from collections import deque
from uuid import uuid4

from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from airflow_provider_apiframe.sandbox.state.store import Store
from airflow_provider_apiframe.sandbox.web.responses import NoAnswer, close_connection

CONTROL = "/_sandbox"


def route_of(method: str, path: str) -> str:
    """Return the name of a route in faults and counts; "other" for what the sandbox doesn't serve."""
    if path.startswith("/images/"):
        return "image"
    if path.startswith("/v2/jobs/"):
        return "job" if method == "GET" else "other"
    names = {
        ("POST", "/v2/images/generate"): "generate",
        ("GET", "/v2/jobs"): "jobs",
        ("GET", "/v2/me"): "me",
        ("GET", "/v2/models"): "models",
    }
    return names.get((method, path), "other")


class FaultMiddleware:
    """ASGI middleware around the app."""

    def __init__(self, app: ASGIApp, world: Store) -> None:
        self._app = app
        self._world = world

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, changed by the first fault queued for it."""
        if scope["type"] != "http" or scope["path"].startswith(CONTROL):
            await self._app(scope, receive, send)
            return
        route = route_of(scope["method"], scope["path"])
        self._world.count_request(route)
        fault = self._world.faults.take(route)
        send = _with_request_id(send)
        if fault is None:
            await self._app(scope, receive, send)
            return
        receive = await _read_to_end(
            receive
        )  # as a client that gives up meanwhile has sent its request all the same
        await asyncio.sleep(fault.delay)
        if fault.replaces_answer:
            if fault.applied:
                await self._app(scope, receive, _unheard)
            answer = (
                NoAnswer()
                if fault.drop
                else Response(fault.body, fault.status or 200, fault.headers)
            )
            await answer(scope, receive, send)
        elif fault.cut_after is not None:
            await self._app(scope, receive, _cut(scope, receive, send, fault.cut_after))
        else:
            await self._app(scope, receive, send)


async def _read_to_end(receive: Receive) -> Receive:
    messages: deque[Message] = deque()
    while not messages or messages[-1].get("more_body", False):
        messages.append(await receive())

    async def receive_again() -> Message:
        return messages.popleft() if messages else await receive()

    return receive_again


async def _unheard(_: Message) -> None:
    pass


def _with_request_id(send: Send) -> Send:
    async def send_with_id(message: Message) -> None:
        if message["type"] == "http.response.start":
            message["headers"] = [
                *message.get("headers", []),
                (b"x-request-id", str(uuid4()).encode()),
            ]
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
