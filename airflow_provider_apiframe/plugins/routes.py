"""The routes of the gallery: a static page, its files, and images from storages.

The page has no data in it: it reads Airflow's REST API itself, with the viewer's session.
"""

from __future__ import annotations

import re
from contextlib import ExitStack
from pathlib import Path
from urllib.parse import unquote

from anyio import CapacityLimiter, to_thread
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, RedirectResponse, Response
from starlette.routing import Mount, Route, Router
from starlette.staticfiles import StaticFiles
from starlette.types import Receive, Scope, Send

from airflow_provider_apiframe.hooks.public_urls import public_url
from airflow_provider_apiframe.plugins.recorded_image import (
    ImageUnavailableError,
    RecordedImage,
    TaskInstanceAddress,
    ViewerSession,
)
from airflow_provider_apiframe.plugins.stored_image import check_record, verified_copy
from airflow_provider_apiframe.plugins.thumbnails import CONTENT_TYPE, EDGE, Thumbnails, can_make

STATIC = Path(__file__).parent / "static"

MAX_READS = 6
"""Images that one API server process reads from storages at a time."""

MAX_N = 100
"""Images of one job at most."""

# What the page may do: run its own script, show images from anywhere, ask this Airflow, be framed
# by it. Vendor links of a sandbox are http.
_PAGE_POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' https: http:",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'self'",
    )
)
_PAGE_HEADERS = {
    "Content-Security-Policy": _PAGE_POLICY,
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-cache",
}
_IMAGE_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; sandbox",
    "Cross-Origin-Resource-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    # A browser asks again after five minutes, and gets nothing but "the same" (304).
    "Cache-Control": "private, max-age=300",
    "Vary": "Cookie, Authorization",
}
_ADDRESS = ("dag_id", "run_id", "task_id")


def gallery_routes() -> Router:
    """Return the routes under the plugin's prefix. To be called in the event loop."""
    images = _Images()
    return Router(
        routes=[
            Route("/gallery", _page),
            Route("/image", images.answer),
            Mount("/static", _Static(directory=STATIC)),
        ]
    )


async def _page(request: Request) -> Response:
    return FileResponse(STATIC / "gallery.html", headers=_PAGE_HEADERS)


class _Static(StaticFiles):
    """The page's files, which browsers keep and ask about: an upgrade is seen at once."""

    async def get_response(self, path: str, scope: Scope) -> Response:
        response = await super().get_response(path, scope)
        response.headers["Cache-Control"] = "no-cache"
        response.headers["X-Content-Type-Options"] = "nosniff"
        return response


class _Images:
    """The image route: hands out what a task instance has recorded, to who may read the record."""

    def __init__(self) -> None:
        self._thumbnails = Thumbnails()
        self._reads = CapacityLimiter(MAX_READS)

    async def answer(self, request: Request) -> Response:
        try:
            return await self._image(request)
        except ImageUnavailableError as error:
            return JSONResponse({"detail": str(error)}, error.status, {"Cache-Control": "no-store"})

    async def _image(self, request: Request) -> Response:
        query = query_parameters(request.scope.get("query_string", b""))
        task, n = _address(query), _whole_number(query, "n", 1, low=1, high=MAX_N)
        is_small = query.get("size") == "thumbnail" and can_make()
        viewer = ViewerSession(request.app, request.headers)
        image = await viewer.recorded_image(task, n)
        if address := public_url(image.uri):
            return RedirectResponse(address, headers={"Cache-Control": "private, max-age=300"})
        check_record(image)
        headers = _headers(image, is_small)
        if headers["ETag"] in request.headers.get("if-none-match", ""):
            return Response(status_code=304, headers=headers)
        if is_small and (thumbnail := self._thumbnails.get(image.sha256)):
            return Response(thumbnail, headers=headers, media_type=CONTENT_TYPE)
        conn_id = await viewer.storage_connection(task, image.scheme)
        return await to_thread.run_sync(
            lambda: self._read(image, conn_id, is_small, headers), limiter=self._reads
        )

    def _read(
        self, image: RecordedImage, conn_id: str | None, is_small: bool, headers: dict[str, str]
    ) -> Response:
        with ExitStack() as stack:
            file, content_type = stack.enter_context(verified_copy(image, conn_id))
            if is_small and (thumbnail := self._thumbnails.make(image.sha256, file)):
                return Response(thumbnail, headers=headers, media_type=CONTENT_TYPE)
            return _CopyResponse(file, stack.pop_all(), headers, content_type)


class _CopyResponse(FileResponse):
    """Sends a copy from disk, piece by piece, and removes it: slow viewers cost no memory."""

    def __init__(
        self, file: Path, copy: ExitStack, headers: dict[str, str], content_type: str
    ) -> None:
        super().__init__(file, headers=headers, media_type=content_type)
        self._copy = copy

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        with self._copy:
            await super().__call__(scope, receive, send)


def query_parameters(query: bytes) -> dict[str, str]:
    """Return the parameters of a query, the first of each name.

    A "+" stays one: run ids have it in their times, and Airflow 3.1 does not encode it.
    """
    parameters: dict[str, str] = {}
    for part in query.decode("latin-1").split("&"):
        name, _, value = part.partition("=")
        parameters.setdefault(unquote(name), unquote(value))
    return parameters


def _address(query: dict[str, str]) -> TaskInstanceAddress:
    for name in _ADDRESS:
        value = query.get(name, "")
        if not value or len(value) > 250 or "/" in value or value in (".", ".."):
            raise ImageUnavailableError(400, f"{name} is missing, or is none")
    scope = tuple((name, query[name]) for name in ("region_id", "region_index") if name in query)
    if not all(re.fullmatch("[0-9a-f-]{1,36}", value) for _, value in scope):
        raise ImageUnavailableError(400, "region_id and region_index are those of a task instance")
    return TaskInstanceAddress(
        query["dag_id"],
        query["run_id"],
        query["task_id"],
        _whole_number(query, "map_index", -1, low=-1, high=2**31),
        scope,
    )


def _whole_number(query: dict[str, str], name: str, default: int, *, low: int, high: int) -> int:
    text = query.get(name, str(default))
    if not re.fullmatch("-?[0-9]{1,10}", text) or not low <= int(text) <= high:
        raise ImageUnavailableError(400, f"{name} must be a whole number from {low} to {high}")
    return int(text)


def _headers(image: RecordedImage, is_small: bool) -> dict[str, str]:
    tag = f"{image.sha256}-{EDGE}" if is_small else image.sha256
    name = re.sub(r"[^A-Za-z0-9._-]", "_", image.uri.rpartition("/")[2])[-100:].lstrip(".")
    return {
        **_IMAGE_HEADERS,
        "ETag": f'"{tag}"',
        "Content-Disposition": f'inline; filename="{name or "image"}"',
    }
