"""Both clients against the same responses: what is raised, what is repeated, what is paid."""

from __future__ import annotations

import email.utils
import json
import time
from uuid import uuid4

import pytest
import requests

from airflow_provider_apiframe.api.client import ApiframeClient
from airflow_provider_apiframe.api.endpoints import USER_AGENT
from airflow_provider_apiframe.api.errors import (
    ApiframeError,
    AuthenticationError,
    BlockedByProxyError,
    ConflictError,
    ConnectionFailedError,
    InsufficientCreditsError,
    InvalidRequestError,
    JobFailedError,
    NotFoundError,
    PermissionDeniedError,
    RateLimitedError,
    RequestRefusedError,
    ServiceUnavailableError,
    UnexpectedResponseError,
)
from airflow_provider_apiframe.api.params.request import GenerateRequest
from airflow_provider_apiframe.api.settings import ClientSettings

URL = "https://images.example/a.png"
PAGE = "<html><body><h1>Oops</h1></body></html>"
FAR = 1_900_000_000.0  # a deadline long after the sandbox's time


def a_request(**flux_params) -> GenerateRequest:
    return GenerateRequest.parse(
        prompt=flux_params.pop("prompt", "a poster"), flux_params=flux_params
    )


def caught(kind, call, *args, **kwargs):
    with pytest.raises(kind) as raised:
        call(*args, **kwargs)
    assert type(raised.value) is kind
    return raised.value


# Responses as they should be


def test_the_account_is_read(client):
    account = client.get_account()
    assert account.describe() == "Connected to team Sandbox team (plan sandbox): 5000 credits left"
    assert (account.user.email, account.user.role) == ("owner@sandbox.example", "OWNER")


def test_the_catalogue_is_read(client):
    models = client.list_models()
    assert "flux-2-flex" in [model.id for model in models]
    assert all(model.cost_max and model.modality == "image" for model in models)


def test_the_catalogue_of_another_modality_is_read(client):
    assert client.list_models(modality="video") == []


def test_an_image_is_made(client, sandbox, clock):
    accepted = client.submit(a_request(seed=7, output_format="webp"), "key-1")
    assert accepted.status == "QUEUED"
    clock.advance(10)
    job = client.get_job(accepted.job_id)
    assert (job.id, job.status, job.credit_cost) == (accepted.job_id, "COMPLETED", 12)
    assert job.image_urls == [f"{sandbox.cdn_url}/images/{job.id}-1.webp"]
    assert job.completed_at == "2027-01-15T08:00:10.000Z"


def test_nothing_is_sent_but_what_was_set(client, sandbox):
    client.submit(a_request(steps=20, seed=None), "key-1")
    assert sandbox.state.jobs[0].input == {
        "prompt": "a poster",
        "model": "flux-2-flex",
        "fluxParams": {"steps": 20},
    }


@pytest.mark.parametrize("form", ["images", "url", "list", "single"])
def test_a_job_is_read_in_every_form_of_result(client, sandbox, clock, form):
    sandbox.configure(result_form=form, cost_null=True)
    job_id = client.submit(a_request(), "key-1").job_id
    clock.advance(10)
    job = client.get_job(job_id)
    assert job.raise_for_status().image_urls == [f"{sandbox.cdn_url}/images/{job_id}-1.png"]
    assert job.credit_cost is None


@pytest.mark.parametrize("prompt", ["ein Plakat: 🦊 & „Größe“", 'quote " \\ \n', "a\u2028b\x00c"])
def test_a_prompt_of_any_characters_gives_a_job_that_can_be_read(client, sandbox, clock, prompt):
    # The API echoes the prompt in the job; a job that cannot be read is paid for and lost.
    job_id = client.submit(a_request(prompt=prompt), "key-1").job_id
    clock.advance(10)
    assert client.get_job(job_id).image_urls
    assert sandbox.state.jobs[0].input["prompt"] == prompt


def test_a_prompt_with_half_a_surrogate_pair_is_not_paid_for_in_vain(client, sandbox, clock):
    try:
        job_id = client.submit(
            GenerateRequest.parse(prompt="half \ud83d of a pair"), "key-1"
        ).job_id
    except InvalidRequestError:
        assert sandbox.state.jobs_created == 0
        return
    clock.advance(10)
    assert client.get_job(job_id).image_urls


def test_pages_of_jobs_are_walked_with_their_cursors(client, clock):
    made = []
    for number in range(5):
        clock.advance(1)
        made.append(client.submit(a_request(seed=number)).job_id)
    seen, cursor, pages = [], None, 0
    while pages == 0 or cursor:
        page = client.list_jobs(limit=2, cursor=cursor)
        seen += [job.id for job in page.jobs]
        cursor, pages = page.next_cursor, pages + 1
        assert page.has_more is bool(cursor)
    assert (seen, pages) == (made[::-1], 3)


@pytest.mark.parametrize(
    ("filters", "found"),
    [
        ({"status": "COMPLETED"}, ["old"]),
        ({"model": "flux-2-pro"}, ["new"]),
        ({"limit": 1}, ["new"]),
        ({}, ["new", "old"]),
    ],
)
def test_jobs_are_listed_by_filter(client, clock, filters, found):
    old = client.submit(a_request()).job_id
    clock.advance(10)
    new = client.submit(GenerateRequest.parse(prompt="x", model="flux-2-pro")).job_id
    names = {old: "old", new: "new"}
    assert [names[job.id] for job in client.list_jobs(**filters).jobs] == found


def test_every_request_carries_key_and_product_name(connect, elsewhere):
    elsewhere.responses = [
        (200, {}, b'{"user": {}}'),
        (202, {}, b'{"jobId": "j-1", "status": "QUEUED"}'),
    ]
    client = connect(base_url=elsewhere.url, api_key="afk_mine")
    client.get_account()
    client.submit(a_request(), "key-1")
    get, post = elsewhere.requests
    for seen in (get, post):
        assert (seen.headers["x-api-key"], seen.headers["user-agent"]) == ("afk_mine", USER_AGENT)
    assert (post.headers["idempotency-key"], post.headers["content-type"]) == (
        "key-1",
        "application/json",
    )
    assert json.loads(post.body) == {"prompt": "a poster", "model": "flux-2-flex"}
    assert "idempotency-key" not in get.headers


# Responses that are errors

PERMANENT = [
    pytest.param(
        {
            "status": 400,
            "body": {
                "error": "Validation failed",
                "details": {"fluxParams.steps": ["Too big", "Odd"], "a": "b"},
            },
        },
        InvalidRequestError,
        [
            "returned 400: Validation failed",
            " fluxParams.steps: Too big, Odd.",
            " a: b.",
            "nothing was paid",
        ],
        id="400 with details",
    ),
    pytest.param(
        {"status": 400, "body": {"error": "This is a key of API v1"}},
        InvalidRequestError,
        [
            "returned 400: This is a key of API v1",
            "nothing was paid",
            "the API key may be one of Apiframe's older API version 1",
        ],
        id="400 without details",
    ),
    pytest.param(
        {"status": 400, "body": PAGE},
        InvalidRequestError,
        ["Oops", "nothing was paid"],
        id="400 without JSON",
    ),
    pytest.param(
        {"status": 401, "body": {"error": "Invalid API key"}},
        AuthenticationError,
        [
            "rejected the API key of connection 'mine'",
            "Invalid API key",
            "Use a valid key from console.apiframe.ai",
        ],
        id="401",
    ),
    pytest.param(
        {
            "status": 402,
            "body": {"error": "Insufficient credits", "creditsRequired": 12, "creditsAvailable": 3},
        },
        InsufficientCreditsError,
        [
            "the job costs 12",
            "the team of connection 'mine' has 3",
            "Nothing was paid",
            "Buy credits at console.apiframe.ai",
        ],
        id="402",
    ),
    pytest.param(
        {"status": 402, "body": {"error": "Insufficient credits", "creditsRequired": "many"}},
        InsufficientCreditsError,
        ["the job costs an unknown number", "has an unknown number"],
        id="402 without numbers",
    ),
    pytest.param(
        {"status": 403, "body": {"error": "API key is inactive"}},
        PermissionDeniedError,
        [
            "The API key of connection 'mine' is inactive or may not do this",
            "Look at it in console.apiframe.ai",
        ],
        id="403",
    ),
    pytest.param(
        {"status": 403, "body": "error code: 1010"},
        BlockedByProxyError,
        [
            "The proxy in front of Apiframe refused this client, not the API key",
            "error code: 1010",
            "User-Agent",
        ],
        id="403 of the proxy",
    ),
    pytest.param(
        {"status": 403, "body": PAGE},
        BlockedByProxyError,
        ["not the API key"],
        id="403 of the proxy as HTML",
    ),
    pytest.param(
        {"status": 404, "body": {"error": "Job not found"}},
        NotFoundError,
        ["Job not found", "it belongs to another user: use the key of the user that submitted it"],
        id="404",
    ),
    pytest.param(
        {"status": 409, "body": {"error": "Key used"}},
        ConflictError,
        [
            "The idempotency key was already used with another request",
            "Key used",
            "Nothing was submitted under another key",
        ],
        id="409",
    ),
    *[
        pytest.param(
            {"status": status, "body": {"error": "No"}},
            RequestRefusedError,
            [f"returned {status}: No"],
            id=f"{status}",
        )
        for status in (405, 410, 413, 415, 418, 422, 451)
    ],
    pytest.param(
        {"status": 302, "headers": {"Location": "https://other.example/a"}},
        RequestRefusedError,
        ["returned 302", "A redirect to other.example is not followed"],
        id="302",
    ),
    pytest.param(
        {"status": 301},
        RequestRefusedError,
        ["A redirect to another place"],
        id="301 without a place",
    ),
    pytest.param(
        {"status": 308, "headers": {"Location": "http://[bad"}},
        RequestRefusedError,
        ["redirect"],
        id="308 to an odd place",
    ),
]

TRANSIENT = [
    pytest.param(
        {"status": 429, "retry_after": "7"},
        RateLimitedError,
        ["Apiframe's rate limit is reached", "It asks to wait 7 s"],
        id="429",
    ),
    pytest.param(
        {"status": 429}, RateLimitedError, ["rate limit is reached"], id="429 without Retry-After"
    ),
    pytest.param(
        {"status": 408},
        ServiceUnavailableError,
        ["Apiframe is not available", "returned 408"],
        id="408",
    ),
    *[
        pytest.param(
            {"status": status, "body": PAGE},
            ServiceUnavailableError,
            ["Apiframe is not available", "Oops"],
            id=f"{status}",
        )
        for status in (500, 502, 503, 504, 520, 599)
    ],
    pytest.param(
        {"status": 503, "retry_after": "9"},
        ServiceUnavailableError,
        ["It asks to wait 9 s"],
        id="503 with Retry-After",
    ),
]


@pytest.mark.parametrize(("fault", "kind", "pieces"), PERMANENT)
def test_a_permanent_error_is_told_at_once(connect, sandbox, fault, kind, pieces):
    sandbox.faults.next("me", **fault)
    client = connect(name="connection 'mine'")
    error = caught(kind, client.get_account)
    assert (error.status_code, error.transient) == (fault["status"], False)
    assert [piece for piece in pieces if piece not in str(error)] == []
    assert (sandbox.state.requests["me"], client.pauses) == (1, [])


@pytest.mark.parametrize(("fault", "kind", "pieces"), TRANSIENT)
def test_a_transient_error_is_told_after_max_retries(connect, sandbox, fault, kind, pieces):
    sandbox.faults.next("me", times=4, **fault)
    client = connect(max_retries=3)
    error = caught(kind, client.get_account)
    assert (error.status_code, error.transient) == (fault["status"], True)
    assert [piece for piece in pieces if piece not in str(error)] == []
    assert (sandbox.state.requests["me"], len(client.pauses)) == (4, 3)


@pytest.mark.parametrize(("fault", "kind", "pieces"), TRANSIENT)
def test_a_transient_error_that_passes_is_not_told(client, sandbox, fault, kind, pieces):
    sandbox.faults.next("me", times=4, **fault)
    assert client.get_account().team.credits == 5000
    assert sandbox.state.requests["me"] == 5


@pytest.mark.parametrize("status", [401, 402, 404, 409, 422, 429, 503])
def test_an_error_names_request_and_request_id(connect, sandbox, status):
    sandbox.faults.next("me", status=status)
    with pytest.raises(ApiframeError, match="GET /v2/me returned") as raised:
        connect(max_retries=0).get_account()
    error = raised.value
    assert error.request_id
    assert f"(request id {error.request_id})" in str(error)


def test_both_numbers_of_a_402_are_kept(client, sandbox):
    sandbox.configure(credits=5)
    error = caught(InsufficientCreditsError, client.submit, a_request(), "key-1")
    assert (error.required, error.available) == (12, 5)


def test_the_refused_fields_of_a_400_are_kept(client):
    request = GenerateRequest.parse(prompt="x", model="flux-3-flex")
    error = caught(InvalidRequestError, client.submit, request, "key-1")
    assert list(error.fields) == ["model"]
    assert "flux-2-flex" in str(error)


@pytest.mark.parametrize(
    ("api_key", "kind"),
    [("afk_nobody", AuthenticationError), ("afk_inactive", PermissionDeniedError)],
)
def test_a_key_that_is_wrong_or_inactive_is_told_apart(connect, api_key, kind):
    caught(kind, connect(api_key=api_key).get_account)


def test_a_job_of_another_user_is_not_found(connect):
    job_id = connect().submit(a_request(), "key-1").job_id
    error = caught(NotFoundError, connect(api_key="afk_other").get_job, job_id)
    assert error.job_id == job_id


def test_a_used_idempotency_key_with_another_body_is_a_conflict(client, sandbox):
    client.submit(a_request(seed=1), "key-1")
    caught(ConflictError, client.submit, a_request(seed=2), "key-1")
    assert sandbox.state.jobs_created == 1


@pytest.mark.parametrize("status", [400, 401, 403, 404, 409, 418, 429, 500, 200])
def test_a_key_that_the_api_echoes_is_in_no_error_text(connect, sandbox, status):
    echo = f"bad keys {sandbox.api_key} and afk_0123456789"
    sandbox.faults.next(
        "me", status=status, body={"error": echo, "user": echo, "details": {"key": [echo]}}
    )
    with pytest.raises(ApiframeError, match="/v2/me returned") as raised:
        connect(max_retries=0).get_account()
    shown = f"{raised.value} {raised.value!r} {getattr(raised.value, 'raw', '')}"
    assert sandbox.api_key not in shown
    assert "afk_0123456789" not in shown


@pytest.mark.parametrize(
    "body", [PAGE, "", "OK", "[]", "null", '"text"', '{"user": 5}', b"\xff\xfe\x00"]
)
def test_a_200_that_is_no_account_cannot_be_used_and_is_not_repeated(client, sandbox, body):
    sandbox.faults.next("me", status=200, body=body)
    error = caught(UnexpectedResponseError, client.get_account)
    assert "GET /v2/me returned 200 with an unexpected response" in str(error)
    assert error.raw == (body if isinstance(body, str) else body.decode("utf-8", "replace"))
    assert (error.status_code, error.transient) == (200, True)
    assert error.request_id
    assert sandbox.state.requests["me"] == 1


@pytest.mark.parametrize("status", [200, 201, 202])
@pytest.mark.parametrize(
    "body", [{"status": "QUEUED"}, {"jobId": ""}, {"jobId": None}, {}, PAGE, ""]
)
@pytest.mark.parametrize("key", ["key-1", None])
def test_a_submit_returned_without_a_job_id_is_not_repeated_and_warns_of_a_paid_job(
    client, sandbox, status, body, key
):
    sandbox.faults.next("generate", status=status, body=body)
    error = caught(UnexpectedResponseError, client.submit, a_request(), key)
    assert (
        "The job may exist and be paid for: look at console.apiframe.ai before submitting it "
        "under another key" in str(error)
    )
    assert error.transient is (key is not None)  # a later try with the same key costs nothing
    assert sandbox.state.requests["generate"] == 1


@pytest.mark.parametrize("status", [200, 201, 202])
def test_a_submit_returned_with_any_2xx_and_a_job_id_is_accepted(client, sandbox, status):
    sandbox.faults.next(
        "generate", status=status, body={"jobId": "j-1", "status": "processing", "more": 1}
    )
    accepted = client.submit(a_request(), "key-1")
    assert (accepted.job_id, accepted.status) == ("j-1", "PROCESSING")


def test_an_unusable_response_is_cut_to_2000_characters(client, sandbox):
    sandbox.faults.next("me", status=200, body="x" * 9000)
    error = caught(UnexpectedResponseError, client.get_account)
    assert error.raw == "x" * 2000
    assert len(str(error)) < 2300


def test_an_unusable_job_keeps_its_id(client, sandbox):
    job_id = str(uuid4())
    sandbox.faults.next("job", status=200, body={"id": job_id, "state": "done"})
    assert caught(UnexpectedResponseError, client.get_job, job_id).job_id == job_id


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        ({"status": 503}, ServiceUnavailableError),
        ({"drop": True}, ConnectionFailedError),
        ({"body": PAGE}, UnexpectedResponseError),
    ],
)
def test_every_error_about_a_job_keeps_its_id(connect, sandbox, fault, kind):
    sandbox.faults.next("job", **fault)
    error = caught(kind, connect(max_retries=0).get_job, "9f0c")
    assert error.job_id == "9f0c"


# No response


def connection_error(error, url):
    assert str(error).startswith(f"GET /v2/me got no response from {url}: ")
    assert (error.transient, error.status_code) == (True, None)


def test_a_refused_port_is_no_response_and_asked_again(connect, closed_port):
    client = connect(base_url=f"http://127.0.0.1:{closed_port}", max_retries=2)
    connection_error(caught(ConnectionFailedError, client.get_account), client.settings.base_url)
    assert len(client.pauses) == 2


def test_an_unknown_host_is_no_response(connect):
    client = connect(base_url="https://api.apiframe.invalid", max_retries=0, verify=True)
    connection_error(caught(ConnectionFailedError, client.get_account), client.settings.base_url)


def test_a_dropped_connection_is_no_response_and_asked_again(connect, sandbox):
    sandbox.faults.next("me", drop=True, times=3)
    client = connect(max_retries=2)
    connection_error(caught(ConnectionFailedError, client.get_account), sandbox.url)
    assert (sandbox.state.requests["me"], len(client.pauses)) == (3, 2)


def test_an_response_cut_short_is_no_response_and_asked_again(client, sandbox):
    sandbox.faults.next("me", cut_after=10)
    assert client.get_account().team.credits == 5000
    assert len(client.pauses) == 1


def test_a_timeout_is_no_response(connect, sandbox):
    sandbox.faults.next("me", delay=0.5)
    client = connect(timeout=0.1, max_retries=0)
    connection_error(caught(ConnectionFailedError, client.get_account), sandbox.url)


def test_a_server_without_tls_is_no_response(connect, sandbox):
    client = connect(base_url=sandbox.url.replace("http:", "https:"), max_retries=0, verify=True)
    connection_error(caught(ConnectionFailedError, client.get_account), client.settings.base_url)


def test_a_request_without_an_response_does_not_speak_of_other_retries_than_ours(
    connect, closed_port
):
    client = connect(base_url=f"http://127.0.0.1:{closed_port}", max_retries=0)
    assert "Max retries exceeded" not in str(caught(ConnectionFailedError, client.get_account))


def test_a_timeout_is_told_with_the_seconds_that_were_waited(connect, sandbox):
    sandbox.faults.next("me", delay=0.5)
    assert "0.25" in str(
        caught(ConnectionFailedError, connect(timeout=0.25, max_retries=0).get_account)
    )


# Pauses between repeats


def test_pauses_without_retry_after_stay_below_a_doubling_bound(client, sandbox):
    sandbox.faults.next("me", status=503, times=4)
    client.get_account()
    assert all(
        0 <= pause <= bound for pause, bound in zip(client.pauses, (0.5, 1, 2, 4), strict=True)
    )


@pytest.mark.parametrize("status", [429, 503])
@pytest.mark.parametrize(
    ("asked", "least", "most"), [("7", 7, 7), ("0", 0, 0.5), ("100000", 300, 300), ("soon", 0, 0.5)]
)
def test_a_pause_is_as_long_as_retry_after_says_up_to_5_minutes(
    client, sandbox, status, asked, least, most
):
    sandbox.faults.next("me", status=status, retry_after=asked)
    client.get_account()
    assert least <= client.pauses[0] <= most


def test_a_retry_after_with_a_date_is_waited_for(client, sandbox):
    sandbox.faults.next("me", retry_after=email.utils.formatdate(time.time() + 60, usegmt=True))
    client.get_account()
    assert 50 < client.pauses[0] <= 60


def test_max_retries_of_0_asks_once(connect, sandbox):
    sandbox.faults.next("me", status=503)
    error = caught(ServiceUnavailableError, connect(max_retries=0).get_account)
    assert sandbox.state.requests["me"] == 1
    assert str(error).endswith("Tried once.")


@pytest.mark.parametrize("call", ["get_account", "submit"])
def test_a_call_ends_when_the_next_pause_would_exceed_its_budget_and_says_so(
    connect, sandbox, call
):
    sandbox.faults.next("any", status=503, retry_after=250, times=5)
    client = connect(max_retries=4)
    ask = (
        client.get_account if call == "get_account" else lambda: client.submit(a_request(), "key-1")
    )
    error = caught(ServiceUnavailableError, ask)
    assert client.pauses == [250, 250]
    assert "Tried 3 times in 500 s; a pause of 250 s more would exceed the limit of 600 s." in str(
        error
    )
    assert ("may have been accepted and paid for all the same" in str(error)) is (call == "submit")
    assert (error.status_code, error.retry_after) == (503, 250)
    assert sandbox.state.jobs_created == 0


def test_a_call_that_used_up_its_repeats_says_how_often_it_was_tried(connect, sandbox):
    sandbox.faults.next("me", drop=True, times=3)
    assert "Tried 3 times in " in str(
        caught(ConnectionFailedError, connect(max_retries=2).get_account)
    )


# Paid once


@pytest.mark.parametrize(
    "fault",
    [
        {"drop": True},
        {"status": 504, "applied": True},
        {"status": 502, "applied": True},
        {"status": 408, "applied": True},
        {"cut_after": 5},
    ],
)
def test_a_lost_response_is_asked_again_with_the_same_key_and_creates_one_job(
    client, sandbox, fault
):
    sandbox.faults.next("generate", **fault)
    accepted = client.submit(a_request(), "key-1")
    assert [job.id for job in sandbox.state.jobs] == [accepted.job_id]
    assert (sandbox.state.jobs_created, sandbox.state.replays, len(client.pauses)) == (1, 1, 1)


def test_a_key_that_made_its_job_in_the_other_spelling_gives_that_job(connect, elsewhere):
    conflict = (409, {}, b'{"error": "Idempotency key used with another body"}')
    elsewhere.responses = [conflict, conflict, (202, {}, b'{"jobId": "j-1"}')]
    accepted = connect(base_url=elsewhere.url).submit(
        a_request(resolution="1 MP", width=512, height=512), "key-1"
    )
    assert accepted.job_id == "j-1"
    sent = [json.loads(seen.body)["fluxParams"] for seen in elsewhere.requests]
    size = {"width": 512, "height": 512}
    assert sent == [
        {**size, "aspect_ratio": "custom", "resolution": "1 MP"},
        {**size, "resolution": "1MP"},
        {**size, "resolution": "1 MP"},
    ]
    assert {seen.headers["idempotency-key"] for seen in elsewhere.requests} == {"key-1"}


@pytest.mark.parametrize(("key", "asked"), [("key-1", 2), (None, 1)])
def test_a_conflict_never_ends_in_a_submit_under_another_key(connect, elsewhere, key, asked):
    elsewhere.responses = [(409, {}, b'{"error": "Conflict"}')] * 5
    error = caught(
        ConflictError, connect(base_url=elsewhere.url).submit, a_request(resolution="1 MP"), key
    )
    assert "already used with another request" in str(error)
    assert [seen.headers.get("idempotency-key") for seen in elsewhere.requests] == [key] * asked


def test_every_repeat_sends_the_same_bytes_and_key(connect, elsewhere):
    elsewhere.responses = [(503, {}, b""), (429, {}, b""), (202, {}, b'{"jobId": "j-1"}')]
    connect(base_url=elsewhere.url).submit(a_request(seed=7), "key-1")
    assert len(elsewhere.requests) == 3
    assert {(seen.headers["idempotency-key"], seen.body) for seen in elsewhere.requests} == {
        ("key-1", elsewhere.requests[0].body)
    }


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        ({"status": 503}, ServiceUnavailableError),
        ({"status": 504, "applied": True}, ServiceUnavailableError),
        ({"status": 408}, ServiceUnavailableError),
        ({"drop": True}, ConnectionFailedError),
    ],
)
def test_without_a_key_a_submit_that_may_have_been_accepted_is_not_repeated(
    client, sandbox, fault, kind
):
    sandbox.faults.next("generate", **fault)
    caught(kind, client.submit, a_request())
    assert (sandbox.state.requests["generate"], client.pauses) == (1, [])


def test_without_a_key_a_submit_is_repeated_after_a_429(client, sandbox):
    sandbox.faults.next("generate", retry_after="2", times=2)
    client.submit(a_request())
    assert (sandbox.state.requests["generate"], sandbox.state.jobs_created, client.pauses) == (
        3,
        1,
        [2, 2],
    )


# The two spellings

MATCH = "match_input_image"
SIZE = {"width": 512, "height": 768}
RESPELLED = [
    *[
        ("openapi", {"resolution": f"{mp} MP"}, {"resolution": f"{mp}MP"})
        for mp in ("0.5", "1", "2", "4")
    ],
    (
        "openapi",
        {"aspect_ratio": MATCH, "input_images": [URL]},
        {"resolution": MATCH, "input_images": [URL]},
    ),
    ("openapi", SIZE, SIZE),
    ("openapi", {"aspect_ratio": "custom", **SIZE}, SIZE),
    (
        "openapi",
        {**SIZE, "resolution": "1 MP", "seed": 7},
        {**SIZE, "resolution": "1MP", "seed": 7},
    ),
    *[
        ("page", {"resolution": f"{mp}MP"}, {"resolution": f"{mp} MP"})
        for mp in ("0.5", "1", "2", "4")
    ],
    (
        "page",
        {"resolution": MATCH, "input_images": [URL]},
        {"aspect_ratio": MATCH, "input_images": [URL]},
    ),
]
AS_WRITTEN = [
    ("openapi", {"resolution": "1MP"}),
    ("openapi", {"resolution": MATCH, "input_images": [URL]}),
    ("page", {"resolution": "1 MP"}),
    ("page", {"aspect_ratio": MATCH, "resolution": "2 MP", "input_images": [URL]}),
    ("page", {"aspect_ratio": "custom", **SIZE}),
    ("both", {"resolution": "1 MP"}),
    ("both", {"resolution": "1MP"}),
]


@pytest.mark.parametrize(("dialect", "written", "accepted"), RESPELLED)
def test_a_refused_spelling_is_said_once_more_and_makes_one_job(
    client, sandbox, dialect, written, accepted
):
    sandbox.configure(dialect=dialect)
    job_id = client.submit(a_request(**written), "key-1").job_id
    assert [(job.id, job.params) for job in sandbox.state.jobs] == [(job_id, accepted)]
    assert (sandbox.state.requests["generate"], client.pauses) == (2, [])


@pytest.mark.parametrize(("dialect", "written"), AS_WRITTEN)
def test_an_accepted_spelling_is_sent_as_it_was_written(client, sandbox, dialect, written):
    sandbox.configure(dialect=dialect)
    client.submit(a_request(**written), "key-1")
    assert [job.params for job in sandbox.state.jobs] == [written]
    assert sandbox.state.requests["generate"] == 1


def test_a_respelled_submit_that_is_repeated_finds_the_same_job(client, sandbox):
    sandbox.configure(dialect="openapi")
    ids = {client.submit(a_request(resolution="1 MP"), "key-1").job_id for _ in range(2)}
    assert (len(ids), sandbox.state.jobs_created, sandbox.state.replays) == (1, 1, 1)


def test_a_lost_response_to_the_other_spelling_is_asked_again_with_the_same_key(client, sandbox):
    sandbox.configure(dialect="openapi")
    sandbox.faults.next("generate", delay=0.001)  # lets the refused spelling through to its 400
    sandbox.faults.next("generate", drop=True)
    client.submit(a_request(resolution="1 MP"), "key-1")
    assert (
        sandbox.state.requests["generate"],
        sandbox.state.jobs_created,
        sandbox.state.replays,
    ) == (3, 1, 1)


@pytest.mark.parametrize("field", ["fluxParams.steps", "prompt", "fluxParams"])
def test_a_refusal_of_something_else_is_not_submitted_again(client, sandbox, field):
    sandbox.faults.next(
        "generate", status=400, body={"error": "Validation failed", "details": {field: ["Invalid"]}}
    )
    error = caught(
        InvalidRequestError, client.submit, a_request(resolution="1 MP", steps=30), "key-1"
    )
    assert error.fields == {field: ["Invalid"]}
    assert sandbox.state.requests["generate"] == 1


def test_a_spelling_that_is_refused_twice_is_an_error(client, sandbox):
    refused = {"error": "Validation failed", "details": {"fluxParams.resolution": ["Invalid"]}}
    sandbox.faults.next("generate", status=400, body=refused, times=2)
    caught(InvalidRequestError, client.submit, a_request(resolution="1 MP"), "key-1")
    assert (sandbox.state.requests["generate"], sandbox.state.jobs_created) == (2, 0)


# The key stays with the API's host


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("route", ["me", "generate"])
def test_a_redirect_is_not_followed(client, sandbox, elsewhere, status, route):
    sandbox.faults.next(route, status=status, headers={"Location": f"{elsewhere.url}/v2/me"})
    call = client.get_account if route == "me" else lambda: client.submit(a_request(), "key-1")
    error = caught(RequestRefusedError, call)
    assert elsewhere.url.removeprefix("http://") in str(error)
    assert "the API key must not travel there" in str(error)
    assert elsewhere.requests == []
    assert sandbox.state.requests[route] == 1


@pytest.fixture
def session(sandbox):
    with ApiframeClient(ClientSettings(api_key="afk_sandbox", base_url=sandbox.url)) as client:
        yield client.session


def test_the_session_signs_requests_to_the_apis_host(session, sandbox):
    response = session.get(f"{sandbox.url}/v2/me")
    assert response.status_code == 200
    assert response.request.headers["User-Agent"] == USER_AGENT


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_the_session_gives_the_key_to_no_other_host(session, elsewhere, host):
    session.get(elsewhere.url.replace("127.0.0.1", host))
    assert "afk_sandbox" not in str(elsewhere.requests)
    assert len(elsewhere.requests) == 1


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_the_session_takes_no_key_along_a_redirect(session, sandbox, elsewhere, host, status):
    there = elsewhere.url.replace("127.0.0.1", host)
    sandbox.faults.next("me", status=status, headers={"Location": f"{there}/x"})
    session.get(f"{sandbox.url}/v2/me")
    assert [seen.path for seen in elsewhere.requests] == ["/x"]
    assert "afk_sandbox" not in str(elsewhere.requests)


def test_the_session_keeps_the_key_on_a_redirect_within_the_host(session, sandbox):
    sandbox.faults.next("jobs", status=307, headers={"Location": "/v2/me"})
    assert session.get(f"{sandbox.url}/v2/jobs").json()["user"]["role"] == "OWNER"


def test_the_session_does_not_get_the_key_back_by_way_of_another_host(session, sandbox, elsewhere):
    sandbox.faults.next("me", status=302, headers={"Location": f"{elsewhere.url}/a"})
    elsewhere.responses = [(302, {"Location": f"{elsewhere.url}/b"}, b"")]
    session.get(f"{sandbox.url}/v2/me")
    assert [seen.path for seen in elsewhere.requests] == ["/a", "/b"]
    assert "afk_sandbox" not in str(elsewhere.requests)


class NotedVerify(requests.adapters.BaseAdapter):
    """A transport that notes whether it would verify the server, and has no network."""

    def send(self, request, verify=None, **_):
        self.verify = verify
        raise requests.ConnectionError("no network")

    def close(self):
        pass


@pytest.mark.parametrize("verify", [False, __file__])  # any file: nothing is read here
def test_the_connections_verify_counts_more_than_the_environments_ca_bundle(monkeypatch, verify):
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", "/etc/ssl/theirs.pem")
    transport = NotedVerify()
    with ApiframeClient(
        ClientSettings(api_key="afk_sandbox", verify=verify, max_retries=0)
    ) as client:
        client.session.mount("https://", transport)
        caught(ConnectionFailedError, client.get_account)
    assert transport.verify == verify


# What looks like a key is hidden from people, and left alone in what is delivered


def test_a_link_and_a_prompt_that_look_like_they_hold_a_key_are_delivered_as_they_are(
    connect, elsewhere
):
    link, prompt = "https://images.example/a.png?sig=Qx1afk_9zPq", "a poster in afk_mode"
    job = {"id": "j-1", "status": "COMPLETED", "result": [link], "input": {"prompt": prompt}}
    elsewhere.responses = [(200, {}, json.dumps(job).encode())]
    read = connect(base_url=elsewhere.url).get_job("j-1")
    assert (read.image_urls, read.prompt) == ([link], prompt)


def test_the_connections_own_key_is_hidden_in_values_too(connect, elsewhere):
    job = {"id": "j-1", "status": "FAILED", "error": "refused for afk_mine and afk_theirs"}
    elsewhere.responses = [(200, {}, json.dumps(job).encode())]
    read = connect(base_url=elsewhere.url, api_key="afk_mine").get_job("j-1")
    assert read.error == "refused for *** and afk_theirs"
    assert "refused for *** and afk_***" in str(caught(JobFailedError, read.raise_for_status))


def test_a_request_id_that_echoes_a_key_is_redacted(connect, elsewhere):
    elsewhere.responses = [(404, {"x-request-id": "afk_0123"}, b"{}")]
    error = caught(NotFoundError, connect(base_url=elsewhere.url).get_job, "j-1")
    assert error.request_id == "afk_***"
    assert "afk_0123" not in str(error)
