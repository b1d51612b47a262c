"""Who may speak to the sandbox: by which host name on all routes, and what may steer it.

A web page in the user's browser reaches this machine as well. It can name it by a host of its own
(DNS rebinding), and it can send simple requests across origins without asking first.
"""

from __future__ import annotations

import re
from ipaddress import ip_address

from fastapi import HTTPException, Request
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from airflow_provider_apiframe.sandbox.web.responses import Json


def is_loopback(host: str) -> bool:
    """Whether `host`, a name or an address with or without brackets, can only mean this machine."""
    name = host.strip("[]").rstrip(".").lower()
    if name == "localhost":
        return True
    try:
        return ip_address(name).is_loopback
    except ValueError:
        return False


def is_allowed(host: str, listening_on: str) -> bool:
    """Whether a client may call a sandbox that listens on a host by the name or address `host`."""
    name = host.strip("[]").lower()
    if is_loopback(name) or name == listening_on.strip("[]").lower():
        return True
    try:
        # A sandbox on all addresses is reached by any of them; rebinding needs a name.
        return ip_address(listening_on).is_unspecified and bool(ip_address(name))
    except ValueError:
        return False


class HostMiddleware:
    """ASGI middleware that refuses requests under a foreign host name, on all routes.

    :param listening_on: the host that the sandbox was told to listen on.
    """

    def __init__(self, app: ASGIApp, listening_on: str) -> None:
        self._app = app
        self._listening_on = listening_on

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or refuse it."""
        if scope["type"] == "http":
            host = Headers(scope=scope).get("host", "")
            name = re.fullmatch(r"(\[[^\]]*\]|[^:\[\]]*)(:\d+)?", host)
            if name is None or not is_allowed(name[1], self._listening_on):
                error = (
                    f"The sandbox does not answer to the host {host!r}, only to localhost and to "
                    "the --host that it was started with"
                )
                await Json({"error": error}, 403)(scope, receive, send)
                return
        await self._app(scope, receive, send)


async def check_machine(request: Request) -> None:
    """Let only this machine look into the sandbox."""
    if request.client is None or not is_loopback(request.client.host):
        raise HTTPException(403, "/_sandbox answers to this machine only")


async def check_sender(request: Request) -> None:
    """Let only this machine steer the sandbox, and none of the web pages open in its browser."""
    await check_machine(request)
    headers = request.headers
    own_origin = str(request.base_url).rstrip("/")
    # Browsers say where a request comes from; "none" is an address that the user typed.
    is_own_origin = headers.get("origin", own_origin) == own_origin
    is_own_page = headers.get("sec-fetch-site", "none") in ("same-origin", "none")
    if not (is_own_origin and is_own_page):
        raise HTTPException(403, "/_sandbox does not answer to pages of other sites")
    # A page may send any other type to any origin without asking it first.
    has_body = headers.get("content-length", "0") != "0" or "transfer-encoding" in headers
    content_type = headers.get("content-type", "").partition(";")[0].strip().lower()
    if has_body and content_type != "application/json":
        raise HTTPException(415, "/_sandbox takes JSON, sent with Content-Type: application/json")
