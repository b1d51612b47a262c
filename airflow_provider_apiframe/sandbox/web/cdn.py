"""The CDN: serves images by their links, without a key, and as slowly or badly as it is told to."""

from __future__ import annotations

import asyncio
from typing import Annotated

from fastapi import APIRouter, Depends, Header, HTTPException, Request
from starlette.responses import PlainTextResponse, Response
from starlette.types import Receive, Scope, Send

from airflow_provider_apiframe.sandbox.state.links import is_good
from airflow_provider_apiframe.sandbox.web.dependencies import StoreDep, check_user_agent
from airflow_provider_apiframe.sandbox.web.responses import close_connection

TICK = 0.05  # seconds between the pieces of a slow response


async def check_no_key(
    x_api_key: Annotated[str, Header()] = "", authorization: Annotated[str, Header()] = ""
) -> None:
    """Refuse a request that carries a key: the CDN is another's host, so that is a leak."""
    if x_api_key or authorization:
        raise HTTPException(400, "The CDN takes no API key; do not send it to other hosts")


routes = APIRouter(dependencies=[Depends(check_user_agent), Depends(check_no_key)])


class Transfer(Response):
    """An image on its way.

    :param rate: bytes per second, 0 for no limit.
    :param cut: whether the connection is closed half-way.
    """

    def __init__(self, content: bytes, media_type: str, *, rate: int, cut: bool) -> None:
        headers = {"Cache-Control": "public, max-age=3600"}
        super().__init__(content, media_type=media_type, headers=headers)
        self._rate = rate
        self._cut = cut

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the image, or half of it, piece by piece."""
        body = bytes(self.body)
        sent = body[: len(body) // 2] if self._cut else body
        size = max(1, round(self._rate * TICK)) if self._rate else len(body)
        start = {"type": "http.response.start", "status": 200, "headers": self.raw_headers}
        await send(start)
        for begin in range(0, len(sent), size):
            if begin and await _gone_within(TICK, receive):
                return
            piece = sent[begin : begin + size]
            await send({"type": "http.response.body", "body": piece, "more_body": True})
        if self._cut:
            await close_connection(scope, receive)
        else:
            await send({"type": "http.response.body"})


async def _gone_within(seconds: float, receive: Receive) -> bool:
    """Wait so long, and return whether the client went away meanwhile."""
    try:
        async with asyncio.timeout(seconds):
            while (await receive())["type"] != "http.disconnect":
                pass
    except TimeoutError:
        return False
    return True


@routes.api_route("/images/{name}", methods=["GET", "HEAD"])
def _image(request: Request, store: StoreDep, name: str) -> Response:
    # Not async: an image takes a while to draw, and the other requests must not wait for it.
    settings = store.faults.settings
    if store.faults.should_inject("cdn_errors"):
        return PlainTextResponse("Service unavailable", 503)
    if settings.link_lifetime is not None and not is_good(
        name, request.query_params, store.clock()
    ):
        return PlainTextResponse("This link has expired, or was never one", 403)
    found = store.job_image(name)
    if found is None:
        return PlainTextResponse("Not found", 404)
    image = request.app.state.images.image(found.job, found.number)
    cut = request.method == "GET" and store.faults.should_inject("cdn_cut")
    return Transfer(image.data, image.content_type, rate=settings.cdn_rate, cut=cut)
