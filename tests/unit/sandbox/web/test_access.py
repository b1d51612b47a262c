"""Who gets in: User-Agent, API key, rate limit, and in which order things are refused."""

from __future__ import annotations

import httpx
import pytest

KEYED = [
    ("POST", "/v2/images/generate"),
    ("GET", "/v2/jobs"),
    ("GET", "/v2/jobs/x"),
    ("GET", "/v2/me"),
]


@pytest.mark.parametrize(("method", "path"), KEYED)
def test_a_key_is_required(sandbox, connect, method, path):
    answer = connect(sandbox, key=None).request(method, path)
    assert (answer.status_code, answer.json()) == (401, {"error": "API key is required"})


@pytest.mark.parametrize(("method", "path"), KEYED)
def test_an_unknown_key_is_refused(sandbox, connect, method, path):
    answer = connect(sandbox, key="afk_nobody").request(method, path)
    assert (answer.status_code, answer.json()) == (401, {"error": "Invalid API key"})


def test_an_inactive_key_is_refused(sandbox, connect):
    answer = connect(sandbox, key="afk_inactive").get("/v2/me")
    assert (answer.status_code, answer.json()) == (403, {"error": "API key is inactive"})


@pytest.mark.parametrize("agent", ["Python-urllib/3.12", ""])
@pytest.mark.parametrize("path", ["/v2/me", "/v2/models", "/images/x.png"])
def test_the_proxy_refuses_bare_scripts_in_plain_text(sandbox, connect, agent, path):
    answer = connect(sandbox).get(path, headers={"User-Agent": agent})
    assert (answer.status_code, answer.text) == (403, "error code: 1010")
    assert answer.headers["content-type"].startswith("text/plain")


def test_the_proxy_refuses_a_missing_agent(sandbox, api):
    del api.headers["User-Agent"]
    assert api.get("/v2/me").text == "error code: 1010"


def test_the_agent_counts_before_the_key(sandbox, connect):
    assert connect(sandbox, key=None).get("/v2/me", headers={"User-Agent": ""}).status_code == 403


def test_the_rate_limit_counts_per_key_and_minute(serve, connect, clock):
    sandbox = serve(rate_limit=2, api_keys=["afk_other"])
    api = connect(sandbox)
    assert [api.get("/v2/me").status_code for _ in range(3)] == [200, 200, 429]
    assert connect(sandbox, "afk_other").get("/v2/me").status_code == 200
    clock.advance(20)
    refused = api.get("/v2/jobs")
    assert refused.headers["retry-after"] == "40"
    assert isinstance(refused.json()["error"], str)
    clock.advance(40)
    assert api.get("/v2/me").status_code == 200


def test_retry_after_can_be_made_up(serve, connect):
    api = connect(serve(rate_limit=1, retry_after=7))
    api.get("/v2/me")
    assert api.get("/v2/me").headers["retry-after"] == "7"


def test_the_rate_limit_counts_before_validation(serve, connect):
    api = connect(serve(rate_limit=1))
    api.get("/v2/me")
    assert api.generate("").status_code == 429


def test_validation_counts_before_the_idempotency_key_and_credits(serve, connect):
    api = connect(serve(credits=0))
    assert api.generate("", key="k" * 300).json()["details"].keys() == {"prompt"}


def test_the_idempotency_key_counts_before_credits(serve, connect):
    api = connect(serve(credits=12))
    api.generate("one", key="k1")
    assert api.generate("two", key="k1").status_code == 409


def test_control_routes_refuse_a_foreign_host_name(sandbox):
    for path in ("/_sandbox/state", "/_sandbox/reset", "/_sandbox/faults"):
        method = "GET" if path.endswith("state") else "POST"
        answer = httpx.request(method, sandbox.url + path, headers={"Host": "evil.test"}, json={})
        assert answer.status_code == 403


async def asked_from(sandbox, address):
    from airflow_provider_apiframe.sandbox.web.app import create_app

    transport = httpx.ASGITransport(create_app(sandbox.state), client=(address, 50000))
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
        return (await client.get("/_sandbox/state")).status_code


def test_control_routes_answer_to_this_machine_only(sandbox):
    import asyncio

    assert asyncio.run(asked_from(sandbox, "127.0.0.1")) == 200
    assert asyncio.run(asked_from(sandbox, "192.168.1.7")) == 403


def test_every_api_answer_has_an_id(api):
    first, second = (api.get("/v2/me").headers["x-request-id"] for _ in range(2))
    assert first != second
