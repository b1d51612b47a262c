"""GET /_sandbox/jobs/{id}: a page that shows a job to people, in place of the vendor's console.

It needs no key, answers to this machine only, and may be opened by a link on another site, such as
Airflow's UI. Other sites cannot read it, nor show it in a frame.
"""

from __future__ import annotations

import json
from html import escape
from typing import Any

from fastapi import APIRouter, Depends, HTTPException
from starlette.responses import HTMLResponse, Response

from airflow_provider_apiframe.sandbox.web.dependencies import BaseUrl, StoreDep
from airflow_provider_apiframe.sandbox.web.hosts import check_machine

routes = APIRouter(prefix="/_sandbox", dependencies=[Depends(check_machine)])

HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; img-src http: https:; style-src 'unsafe-inline'; base-uri 'none'; "
        "form-action 'none'; frame-ancestors 'none'"
    ),
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}

REFRESH_SECONDS = 2

PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
{refresh}
<title>Job {id}</title>
<style>
  :root {{ color-scheme: light dark; font: 16px/1.5 system-ui, sans-serif }}
  body {{ max-width: 60rem; margin: 2rem auto; padding: 0 1rem }}
  h1 {{ font-size: 1.25rem; overflow-wrap: anywhere }}
  dl {{ display: grid; grid-template-columns: max-content 1fr; gap: .25rem 1.5rem }}
  dt {{ font-weight: 600 }}
  dd {{ margin: 0; white-space: pre-wrap; overflow-wrap: anywhere }}
  img {{ max-width: 100%; height: auto; margin-top: 1rem }}
</style>
<main>
<h1>Job {id}</h1>
<p>A job of the local sandbox. Nothing was sent to Apiframe, and nothing was paid.</p>
<dl>
{facts}
</dl>
{images}
</main>
</html>
"""


@routes.get("/jobs/{job_id}")
async def _page(store: StoreDep, job_id: str, base_url: BaseUrl) -> Response:
    job = store.job(job_id)
    if job is None:
        raise HTTPException(404, "The sandbox has no such job; it forgets all when it is restarted")
    now, settings = store.clock(), store.faults.settings
    document = job.document(now, settings, base_url)
    facts: dict[str, Any] = {
        "Status": document["status"],
        "Progress": None if document["progress"] is None else f"{document['progress']} %",
        "Prompt": job.input.get("prompt") or job.params.get("prompt"),
        "Model": job.model,
        "Parameters": json.dumps(job.params) if job.params else None,
        "Credits": document["creditCost"],
        "Error": document["error"],
        "Created": document["createdAt"],
        "Completed": document["completedAt"],
    }
    shown = (
        f"<dt>{escape(name)}</dt><dd>{escape(str(value))}</dd>"
        for name, value in facts.items()
        if value is not None
    )
    links = job.links(now, settings, base_url)
    images = (
        f'<img src="{escape(link)}" alt="Image {number} of the job">'
        for number, link in enumerate(links, 1)
    )
    is_under_way = document["completedAt"] is None
    page = PAGE.format(
        id=escape(job.id),
        refresh=f'<meta http-equiv="refresh" content="{REFRESH_SECONDS}">' if is_under_way else "",
        facts="\n".join(shown),
        images="\n".join(images),
    )
    return HTMLResponse(page, headers=HEADERS)
