"""POST /v2/uploads, and the CDN route that its URLs lead to."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Request
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import PlainTextResponse, Response

from airflow_provider_apiframe.sandbox.state.jobs import iso_time
from airflow_provider_apiframe.sandbox.state.links import cdn_url
from airflow_provider_apiframe.sandbox.state.uploads import FOLDER, LARGEST, UploadRefused
from airflow_provider_apiframe.sandbox.web.cdn import check_no_key
from airflow_provider_apiframe.sandbox.web.dependencies import BaseUrl, StoreDep, check_user_agent
from airflow_provider_apiframe.sandbox.web.responses import Json
from airflow_provider_apiframe.sandbox.web.validation import InvalidRequest

LARGEST_BODY = max(LARGEST.values()) + 64 * 1024  # with what a form needs around the file

keyed_routes = APIRouter()
open_routes = APIRouter(dependencies=[Depends(check_user_agent), Depends(check_no_key)])


async def _uploaded_file(request: Request) -> bytes:
    """Return the one file of a multipart form; its declared type and name do not count."""
    length = request.headers.get("content-length", "")
    if length.isdigit() and int(length) > LARGEST_BODY:
        raise InvalidRequest({"file": ["File too large"]})
    try:
        async with request.form(max_files=1, max_fields=0) as form:
            file = form.get("file")
            if not isinstance(file, UploadFile):
                raise InvalidRequest({"file": ["No file uploaded"]})
            return await file.read()
    except (HTTPException, ClientDisconnect):  # no form, more than one part, or cut short
        raise InvalidRequest({"file": ["Send one file, as multipart/form-data"]}) from None


@keyed_routes.post("/uploads")
async def _upload(
    store: StoreDep, base_url: BaseUrl, content: Annotated[bytes, Depends(_uploaded_file)]
) -> Response:
    try:
        upload = await run_in_threadpool(store.uploads.add, content)
    except UploadRefused as refused:
        raise InvalidRequest({"file": [str(refused)]}) from None
    document = {
        "id": upload.id,
        "url": f"{cdn_url(base_url)}/{FOLDER}/{upload.name}",
        "kind": upload.kind,
        "contentType": upload.content_type,
        "byteSize": len(upload.content),
        "expiresAt": iso_time(upload.expires_at),
    }
    return Json(document, 201)


@open_routes.api_route(f"/{FOLDER}/{{name}}", methods=["GET", "HEAD"])
async def _file(store: StoreDep, name: str) -> Response:
    upload = store.uploads.find(name)
    if upload is None:
        return PlainTextResponse("Not found", 404)
    return Response(upload.content, media_type=upload.content_type)
