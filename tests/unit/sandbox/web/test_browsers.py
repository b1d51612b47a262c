"""A web page in the user's browser can't steer the sandbox: requests with a browser's own headers.

The headers are those that Chromium and Firefox send for fetch(), forms, images and typed addresses.
"""

from __future__ import annotations

import asyncio
from urllib.parse import urlsplit

import httpx
import pytest

from airflow_provider_apiframe.sandbox.web.app import create_app

EVIL = "https://evil.test"
BROWSER = {"User-Agent": "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"}
CONTROL_POSTS = ["/_sandbox/reset", "/_sandbox/faults"]
SETTINGS = '{"allow_external_webhooks": true, "credits": 0}'


def fetched(site, mode="no-cors", dest="empty"):
    return {"Sec-Fetch-Site": site, "Sec-Fetch-Mode": mode, "Sec-Fetch-Dest": dest}


TEXT = {"Content-Type": "text/plain;charset=UTF-8"}
JSON = {"Content-Type": "application/json"}
FORM = {"Content-Type": "application/x-www-form-urlencoded"}

FOREIGN_POSTS = [
    pytest.param({"Origin": EVIL, **fetched("cross-site"), **TEXT}, id="fetch without CORS"),
    pytest.param({"Origin": EVIL, **TEXT}, id="fetch of an older browser"),
    pytest.param({**fetched("cross-site"), **TEXT}, id="fetch without Origin"),
    pytest.param(
        {"Origin": "null", **fetched("cross-site", "navigate", "document"), **FORM},
        id="form in a sandboxed frame",
    ),
    pytest.param({"Origin": EVIL, **fetched("cross-site", "cors"), **JSON}, id="fetch with CORS"),
    pytest.param(
        {"Origin": "http://127.0.0.1:1", **fetched("same-site"), **TEXT},
        id="page of another server on this machine",
    ),
    pytest.param(TEXT, id="simple request without any sign of a browser"),
]


@pytest.fixture
def changed(sandbox, api):
    """Whether somebody steered the sandbox since the test began."""
    api.job_id()
    before = sandbox.state.document()
    return lambda: sandbox.state.document() != before


@pytest.mark.parametrize("path", CONTROL_POSTS)
@pytest.mark.parametrize("headers", FOREIGN_POSTS)
def test_a_foreign_page_can_not_post_to_a_control_route(sandbox, changed, path, headers):
    answer = httpx.post(sandbox.url + path, content=SETTINGS, headers={**BROWSER, **headers})
    assert answer.status_code in (403, 415)
    assert isinstance(answer.json()["error"], str)
    assert not changed()


def test_a_foreign_page_can_not_reset_without_a_body(sandbox, changed):
    headers = {**BROWSER, "Origin": EVIL, **fetched("cross-site")}
    assert httpx.post(f"{sandbox.url}/_sandbox/reset", headers=headers).status_code == 403
    assert not changed()


def test_a_foreign_page_can_not_link_to_the_state(sandbox):
    headers = {**BROWSER, **fetched("cross-site", dest="image")}
    assert httpx.get(f"{sandbox.url}/_sandbox/state", headers=headers).status_code == 403


def test_a_foreign_page_gets_no_leave_to_send_json(sandbox):
    headers = {
        **BROWSER,
        "Origin": EVIL,
        **fetched("cross-site", "cors"),
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "content-type",
    }
    answer = httpx.options(f"{sandbox.url}/_sandbox/faults", headers=headers)
    assert not [name for name in answer.headers if name.startswith("access-control-")]


ALL_ROUTES = [
    *(("POST", path) for path in CONTROL_POSTS),
    ("GET", "/_sandbox/state"),
    ("POST", "/v2/images/generate"),
    ("GET", "/v2/jobs"),
    ("GET", "/v2/me"),
    ("GET", "/v2/models"),
    ("GET", "/images/x.png"),
    ("GET", "/"),
]


@pytest.mark.parametrize("host", ["evil.test", "127.0.0.1.evil.test", "localhost.evil.test"])
@pytest.mark.parametrize(("method", "path"), ALL_ROUTES)
def test_a_foreign_name_for_this_machine_is_refused_on_every_route(
    sandbox, changed, method, path, host
):
    # DNS rebinding: to the browser, the page and the sandbox are one origin.
    name = f"{host}:{urlsplit(sandbox.url).port}"
    headers = {"Host": name, "Origin": f"http://{name}", **fetched("same-origin", "cors"), **JSON}
    answer = httpx.request(
        method,
        sandbox.url + path,
        content=SETTINGS if method == "POST" else None,
        headers={**BROWSER, "X-API-Key": sandbox.api_key, **headers},
    )
    assert answer.status_code == 403
    assert host in answer.json()["error"]
    assert not changed()


@pytest.mark.parametrize("name", ["localhost", "127.0.0.1", "127.0.0.5", "[::1]", "LOCALHOST."])
def test_the_names_of_this_machine_are_let_in(sandbox, name):
    headers = {"Host": f"{name}:{urlsplit(sandbox.url).port}"}
    assert httpx.get(f"{sandbox.url}/v2/models", headers=headers).status_code == 200


def test_the_user_can_look_at_the_state_in_a_browser(sandbox):
    headers = {**BROWSER, **fetched("none", "navigate", "document")}
    assert httpx.get(f"{sandbox.url}/_sandbox/state", headers=headers).status_code == 200


def test_a_page_of_the_sandbox_itself_may_steer_it(sandbox):
    headers = {**BROWSER, "Origin": sandbox.url, **fetched("same-origin", "cors"), **JSON}
    url = f"{sandbox.url}/_sandbox/faults"
    assert httpx.post(url, content=SETTINGS, headers=headers).status_code == 200
    assert sandbox.state.credits == 0


@pytest.mark.parametrize(
    ("listening", "host", "status"),
    [
        ("sandbox.lan", "sandbox.lan:8765", 200),
        ("sandbox.lan", "evil.test", 403),
        ("sandbox.lan", "192.168.1.7", 403),
        ("192.168.1.7", "192.168.1.7", 200),
        ("0.0.0.0", "192.168.1.7:8765", 200),
        ("0.0.0.0", "[fd00::7]:8765", 200),
        ("0.0.0.0", "evil.test", 403),
        ("::", "192.168.1.7", 200),
        ("127.0.0.1", "192.168.1.7", 403),
    ],
)
def test_an_exposed_sandbox_answers_to_the_host_it_listens_on(sandbox, listening, host, status):
    async def ask():
        transport = httpx.ASGITransport(create_app(sandbox.state, listening))
        async with httpx.AsyncClient(transport=transport) as client:
            return await client.get(f"http://{host}/v2/models")

    assert asyncio.run(ask()).status_code == status
