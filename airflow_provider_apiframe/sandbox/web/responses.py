"""Answers: JSON as the API writes it, errors, and no answer at all."""

from __future__ import annotations

import json
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.types import Receive, Scope, Send

from airflow_provider_apiframe.sandbox.web.validation import Details

CLOSE_CONNECTION = (
    "apiframe_sandbox.close_connection"  # ASGI extension of `server.ClosableConnection`
)


class Json(JSONResponse):
    """JSON in ASCII, so that a prompt with half a surrogate pair can be echoed."""

    def render(self, content: Any) -> bytes:
        """Return `content` as compact JSON."""
        return json.dumps(content, separators=(",", ":")).encode("ascii")


class Refusal(Exception):
    """Ends a request with an error answer."""

    def __init__(self, response: Response) -> None:
        super().__init__(response.status_code)
        self.response = response


def refuse(status: int, error: str, headers: dict[str, str] | None = None, **more: Any) -> Refusal:
    """Return the refusal with the body {"error": ...} (OpenAPI ErrorResponse) and `more` beside it."""
    return Refusal(Json({"error": error, **more}, status, headers))


def refuse_invalid(details: Details) -> Refusal:
    """Return the 400 of the OpenAPI ValidationError."""
    return refuse(400, "Validation failed", details=details)


def refuse_agent() -> Refusal:
    """Return what the proxy in front of the API says to a client whose User-Agent it doesn't like: no JSON."""
    return Refusal(PlainTextResponse("error code: 1010", 403))


async def answer_refusal(_: Request, refusal: Exception) -> Response:
    """Answer a request that ended in a `Refusal`."""
    assert isinstance(refusal, Refusal)
    return refusal.response


async def close_connection(scope: Scope, receive: Receive) -> None:
    """Close the client's connection; what was not yet sent never is.

    Raises:
        ConnectionAbortedError: the server below offers no way to close connections, as with a test
            client.
    """
    close = scope.get("extensions", {}).get(CLOSE_CONNECTION)
    if close is None:
        raise ConnectionAbortedError("the sandbox dropped this connection")
    close()
    while (await receive())["type"] != "http.disconnect":
        pass


class NoAnswer(Response):
    """Closes the connection instead of answering."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Close the connection."""
        await close_connection(scope, receive)
