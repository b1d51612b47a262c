"""Responses: JSON as the API writes it, errors, and no response at all."""

from __future__ import annotations

import json
from typing import Any

from fastapi import FastAPI, HTTPException, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException as RoutingError
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.types import Receive, Scope, Send

from airflow_provider_apiframe.sandbox.state.action_plan import UnknownParent, UnusableParent
from airflow_provider_apiframe.sandbox.state.edit_plan import InvalidInput
from airflow_provider_apiframe.sandbox.state.idempotency import Conflict
from airflow_provider_apiframe.sandbox.state.ledger import InsufficientCredits
from airflow_provider_apiframe.sandbox.web.validation import Details, InvalidRequest, zod_details

# ASGI extension of `server.ClosableConnection`
CLOSE_CONNECTION = "apiframe_sandbox.close_connection"


class Json(JSONResponse):
    """JSON in ASCII, so that a prompt with half a surrogate pair can be echoed."""

    def render(self, content: Any) -> bytes:
        """Return `content` as compact JSON."""
        return json.dumps(content, separators=(",", ":")).encode("ascii")


class UserAgentRefused(Exception):
    """The proxy in front of the API doesn't like the client's User-Agent."""


def add_error_handlers(app: FastAPI) -> None:
    """Let errors end in the responses of the vendor's OpenAPI file, {"error": ...} at least."""

    @app.exception_handler(UserAgentRefused)
    async def refused_by_proxy(_: Request, error: UserAgentRefused) -> Response:
        return PlainTextResponse("error code: 1010", 403)

    @app.exception_handler(HTTPException)
    async def refused(_: Request, error: HTTPException) -> Response:
        return Json({"error": error.detail}, error.status_code, error.headers)

    @app.exception_handler(RoutingError)
    async def no_such_route(request: Request, _: RoutingError) -> Response:
        return Json({"error": f"Cannot {request.method} {request.url.path}"}, 404)

    @app.exception_handler(InvalidRequest)
    async def invalid_body(_: Request, error: InvalidRequest) -> Response:
        return _invalid(error.details)

    @app.exception_handler(RequestValidationError)
    async def invalid_query(_: Request, error: RequestValidationError) -> Response:
        # FastAPI puts "query" before the name of the parameter.
        return _invalid(zod_details({**each, "loc": each["loc"][1:]} for each in error.errors()))

    @app.exception_handler(Conflict)
    async def conflict(_: Request, error: Conflict) -> Response:
        text = "Idempotency-Key was already used with a different request body"
        return Json({"error": text}, 409)

    @app.exception_handler(InvalidInput)
    async def invalid_input(_: Request, error: InvalidInput) -> Response:
        return _invalid({error.path: [error.text]})

    @app.exception_handler(UnknownParent)
    async def unknown_parent(_: Request, error: UnknownParent) -> Response:
        return Json({"error": "Job not found"}, 404)

    @app.exception_handler(UnusableParent)
    async def unusable_parent(_: Request, error: UnusableParent) -> Response:
        return Json({"error": str(error)}, 409)

    @app.exception_handler(InsufficientCredits)
    async def insufficient_credits(_: Request, error: InsufficientCredits) -> Response:
        credits = {"creditsRequired": error.required, "creditsAvailable": error.available}
        return Json({"error": "Insufficient credits", **credits}, 402)


def _invalid(details: Details) -> Response:
    return Json({"error": "Validation failed", "details": details}, 400)


async def close_connection(scope: Scope, receive: Receive) -> None:
    """Close the client's connection; what was not yet sent never is.

    :raises ConnectionAbortedError: the server below offers no way to close connections, as with a
        test client.
    """
    close = scope.get("extensions", {}).get(CLOSE_CONNECTION)
    if close is None:
        raise ConnectionAbortedError("the sandbox dropped this connection")
    close()
    while (await receive())["type"] != "http.disconnect":
        pass


class NoResponse(Response):
    """Closes the connection instead of responding."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Close the connection."""
        await close_connection(scope, receive)
