"""The endpoints without I/O: calls as they are built, and what responses mean."""

from __future__ import annotations

import email.utils
import json
import math

import httpx
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from airflow_provider_apiframe import __version__
from airflow_provider_apiframe.api.endpoints import (
    Call,
    Endpoint,
    get_account,
    get_job,
    list_jobs,
    list_models,
)
from airflow_provider_apiframe.api.endpoints import submit as submit_request
from airflow_provider_apiframe.api.errors import (
    ConflictError,
    InvalidRequestError,
    RequestRefusedError,
)
from airflow_provider_apiframe.api.models import JobAccepted
from airflow_provider_apiframe.api.params.request import GenerateRequest
from airflow_provider_apiframe.api.responses import Response, error_from_response, retry_after
from airflow_provider_apiframe.api.retries import BACKOFF_CAP, RETRY_AFTER_CAP, retry_backoff
from airflow_provider_apiframe.api.settings import ClientSettings

KEY = "afk_0123456789"
SETTINGS = ClientSettings(api_key=KEY)
NOW = 1_800_000_000.0
URL = "https://images.example/a.png"


ME = next(get_account())


def first_call(endpoint: Endpoint) -> Call:
    return next(endpoint)


def submit(key: str | None = "key-1", **given) -> Endpoint[JobAccepted]:
    return submit_request(GenerateRequest.parse(**{"prompt": "a poster", **given}), key)


ROUTES = [
    (submit, "POST", "/v2/images/generate"),
    (lambda: get_job("0b3f"), "GET", "/v2/jobs/0b3f"),
    (lambda: get_job(" 0b3f\n"), "GET", "/v2/jobs/0b3f"),
    (lambda: get_job("a/b?c#d e"), "GET", "/v2/jobs/a%2Fb%3Fc%23d%20e"),
    (list_jobs, "GET", "/v2/jobs?limit=20"),
    (
        lambda: list_jobs(limit=100, cursor="a+b=", status="FAILED"),
        "GET",
        "/v2/jobs?limit=100&cursor=a%2Bb%3D&status=FAILED",
    ),
    (
        lambda: list_jobs(model="flux-2-pro", scope="team"),
        "GET",
        "/v2/jobs?limit=20&model=flux-2-pro&scope=team",
    ),
    (get_account, "GET", "/v2/me"),
    (list_models, "GET", "/v2/models?modality=image"),
    (lambda: list_models(modality=None), "GET", "/v2/models"),
]


@pytest.mark.parametrize(("endpoint", "method", "url"), ROUTES, ids=[url for *_, url in ROUTES])
def test_a_call_goes_to_its_own_route(endpoint, method, url):
    call = first_call(endpoint())
    assert (call.method, call.url(SETTINGS)) == (method, f"https://api.apiframe.ai{url}")


EVERY_CALL = [
    first_call(endpoint)
    for endpoint in (submit(), get_job("j-1"), list_jobs(), get_account(), list_models())
]


@pytest.mark.parametrize("call", EVERY_CALL, ids=lambda call: call.target)
def test_every_request_carries_the_key_and_a_product_name(call):
    headers = call.headers(SETTINGS)
    assert headers["X-API-Key"] == KEY
    assert headers["User-Agent"] == f"airflow-provider-apiframe/{__version__}"
    assert headers["Accept"] == "application/json"


@pytest.mark.parametrize("call", EVERY_CALL, ids=lambda call: call.target)
def test_the_key_is_in_no_text_about_a_request(call):
    assert KEY not in call.target
    assert KEY not in repr(call)
    assert KEY not in call.url(SETTINGS)


def test_the_target_is_method_and_path_without_host_and_query():
    assert first_call(list_jobs(cursor="secret")).target == "GET /v2/jobs"


@pytest.mark.parametrize(
    ("given", "body"),
    [
        ({}, {"prompt": "a poster", "model": "flux-2-flex"}),
        ({"prompt": "ein 🦊"}, {"prompt": "ein 🦊", "model": "flux-2-flex"}),
        (
            {
                "model": "flux-2-pro",
                "flux_params": {"seed": 7, "resolution": "1 MP", "width": None},
            },
            {
                "prompt": "a poster",
                "model": "flux-2-pro",
                "fluxParams": {"seed": 7, "resolution": "1 MP"},
            },
        ),
        (
            {"webhook_url": "https://hooks.example", "webhook_events": ["failed"]},
            {
                "prompt": "a poster",
                "model": "flux-2-flex",
                "webhookUrl": "https://hooks.example",
                "webhookEvents": ["failed"],
            },
        ),
    ],
)
def test_the_body_is_exactly_what_was_set(given, body):
    call = first_call(submit(**given))
    assert json.loads(call.content) == body
    assert call.headers(SETTINGS)["Content-Type"] == "application/json"


@pytest.mark.parametrize("call", EVERY_CALL[1:], ids=lambda call: call.target)
def test_a_get_has_no_body(call):
    assert call.content is None


@pytest.mark.parametrize("key", ["k", "x" * 255, "a b", "sha256:0f-_~!"])
def test_an_idempotency_key_of_1_to_255_characters_is_sent(key):
    call = first_call(submit(key))
    assert call.headers(SETTINGS)["Idempotency-Key"] == key
    assert call.idempotent


@pytest.mark.parametrize(
    "key", ["", "x" * 256, "schlüssel", "a\nb", "a\tb", "\x7f", " ", " lead", "trail "]
)
def test_an_idempotency_key_that_a_header_cannot_carry_is_refused(key):
    # A server strips white space around a header's value: " " would arrive as no key at all.
    with pytest.raises(InvalidRequestError, match=r"idempotency_key=.*must be 1 to 255"):
        first_call(submit(key))


def test_without_an_idempotency_key_a_submit_has_no_such_header_and_is_not_idempotent():
    call = first_call(submit(None))
    assert "Idempotency-Key" not in call.headers(SETTINGS)
    assert not call.idempotent


@pytest.mark.parametrize("job_id", ["", "  ", "None", None, 5, ["j-1"]])
def test_what_cannot_be_a_job_id_is_refused(job_id):
    # "None" is what a template makes of an XCom that is not there.
    with pytest.raises(InvalidRequestError) as caught:
        get_job(job_id)
    assert str(caught.value) == f"job_id={job_id!r}: must be the id of an Apiframe job"


# Retry-After and pauses


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("0", 0),
        ("7", 7),
        (" 7 ", 7),
        ("1.5", 1.5),
        ("-3", 0),
        (email.utils.formatdate(NOW + 90, usegmt=True), 90),
        (email.utils.formatdate(NOW - 90, usegmt=True), 0),
        *[
            (garbage, None)
            for garbage in (
                "",
                " ",
                "soon",
                "7 s",
                "nan",
                "inf",
                "1e999",
                "Mon, 31 Feb 2026 00:00:00 GMT",
            )
        ],
    ],
)
def test_retry_after_is_read_as_seconds_or_date(value, seconds):
    assert retry_after(httpx.Headers({"Retry-After": value}), now=lambda: NOW) == seconds


def test_without_retry_after_there_is_no_wait():
    assert retry_after(httpx.Headers()) is None


DATES = st.from_regex(
    r"[A-Z][a-z]{2}, [0-9]{1,2} [A-Z][a-z]{2} [0-9]{1,4} [0-9:]{1,8} (GMT|[+-][0-9]{4})",
    fullmatch=True,
)


@given(st.text(max_size=30) | DATES | st.floats().map(str))
@example("inf")
def test_any_retry_after_is_seconds_of_0_or_more_or_none(value):
    seconds = retry_after({"retry-after": value})
    assert seconds is None or 0 <= seconds < math.inf


ATTEMPTS = st.integers(1, 100)
ASKED = st.none() | st.floats(0, 1e9)


@given(ATTEMPTS, ASKED)
def test_a_pause_is_at_least_what_was_asked_up_to_5_minutes(attempt, asked):
    assert retry_backoff(attempt, asked) >= min(asked or 0, 300)


@given(ATTEMPTS, ASKED)
def test_a_pause_is_never_longer_than_its_bounds(attempt, asked):
    assert retry_backoff(attempt, asked) <= max(
        min(0.5 * 2 ** (attempt - 1), BACKOFF_CAP), min(asked or 0, RETRY_AFTER_CAP)
    )


def test_pauses_are_spread_over_the_whole_of_the_bound():
    pauses = [retry_backoff(3, None) for _ in range(500)]
    assert min(pauses) < 0.5
    assert max(pauses) > 1.5


# Refused spellings


def refused(*fields: str) -> InvalidRequestError:
    return InvalidRequestError(
        "refused", fields={name: ["Invalid"] for name in fields}, status_code=400
    )


def calls_after(error: Exception, endpoint: Endpoint) -> list[Call]:
    """Throw *error* at each call until the endpoint gives up; return the calls after the first."""
    next(endpoint)
    calls = []
    while True:
        try:
            calls.append(endpoint.throw(error))
        except type(error):
            return calls


@pytest.mark.parametrize(
    ("params", "fields", "sent"),
    [
        ({"resolution": "1 MP"}, ["resolution"], {"resolution": "1MP"}),
        ({"resolution": "1MP"}, ["resolution"], {"resolution": "1 MP"}),
        ({"width": 512, "height": 512}, ["aspect_ratio"], {"width": 512, "height": 512}),
        (
            {"aspect_ratio": "match_input_image", "input_images": [URL]},
            ["aspect_ratio"],
            {"resolution": "match_input_image", "input_images": [URL]},
        ),
        (
            {"width": 512, "height": 512, "resolution": "1 MP", "seed": 7},
            ["aspect_ratio", "resolution"],
            {"width": 512, "height": 512, "resolution": "1MP", "seed": 7},
        ),
    ],
)
def test_a_refused_spelling_is_submitted_in_the_other_one(params, fields, sent):
    first = first_call(submit(flux_params=params))
    error = refused(*(f"fluxParams.{name}" for name in fields))
    (other,) = calls_after(error, submit(flux_params=params))
    assert other.body == {**first.body, "fluxParams": sent}


@pytest.mark.parametrize("key", ["key-1", None])
def test_the_other_spelling_keeps_the_idempotency_key(key):
    params = {"resolution": "1 MP"}
    first = first_call(submit(key, flux_params=params))
    (other,) = calls_after(refused("fluxParams.resolution"), submit(key, flux_params=params))
    assert other.headers(SETTINGS) == first.headers(SETTINGS)
    assert (other.url(SETTINGS), other.idempotent) == (first.url(SETTINGS), first.idempotent)


@pytest.mark.parametrize(
    "fields",
    [
        [],
        ["fluxParams"],
        ["prompt"],
        ["resolution"],
        ["fluxParams.steps"],
        ["fluxParams.resolution", "fluxParams.steps"],
        ["fluxParams.resolution", "prompt"],
        ["fluxParams.input_images.0"],
    ],
)
def test_a_refusal_of_anything_but_a_spelling_is_final(fields):
    endpoint = submit(flux_params={"resolution": "1 MP", "steps": 30})
    assert calls_after(refused(*fields), endpoint) == []


def test_the_first_error_is_raised_when_every_spelling_was_refused():
    endpoint = submit(flux_params={"resolution": "1 MP"})
    next(endpoint)
    endpoint.throw(refused("fluxParams.resolution"))
    with pytest.raises(InvalidRequestError) as caught:
        endpoint.throw(refused("fluxParams.seed"))
    assert list(caught.value.fields) == ["fluxParams.resolution"]


def test_a_conflict_in_the_spelling_that_the_api_takes_is_told_for_the_keys_job_is_paid():
    endpoint = submit(flux_params={"resolution": "1 MP"})
    next(endpoint)
    endpoint.throw(refused("fluxParams.resolution"))
    with pytest.raises(ConflictError, match="another"):
        endpoint.throw(ConflictError("another"))


# Error responses that no library would let through


@pytest.mark.parametrize(
    "location", ["", "/elsewhere", "//", "http://[bad", "https://other.example/x", "\\"]
)
def test_a_redirect_to_anywhere_is_refused(location):
    response = Response(302, httpx.Headers({"Location": location}), b"")
    assert isinstance(error_from_response(ME, response, SETTINGS), RequestRefusedError)


def test_a_redirect_shows_no_key_that_its_address_holds():
    response = Response(302, httpx.Headers({"Location": f"https://{KEY}@other.example/x"}), b"")
    error = error_from_response(ME, response, SETTINGS)
    assert KEY not in str(error)
    assert "other.example" in str(error)


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b'{"error": "No such route"}', "No such route"),
        (b'{"error": {"message": "No such route"}}', "No such route"),
        (b'{"message": "No such route"}', "No such route"),
        (b'{"error": "", "message": "No such route"}', "No such route"),
        (b'{"error": 5}', '{"error": 5}'),
        (b"<html>\n <b>Oops</b>\n</html>", "Oops"),
        (b"", "(empty response)"),
        (b"\xff\xfe", "\ufffd\ufffd"),
        (b"[1]", "[1]"),
    ],
)
def test_the_sentence_of_an_error_response_is_found_in_any_form(body, said):
    response = Response(418, httpx.Headers(), body)
    assert str(error_from_response(ME, response, SETTINGS)) == f"GET /v2/me returned 418: {said}."


@pytest.mark.parametrize(
    "body", [b"x" * 9000, json.dumps({"error": "x" * 9000}).encode()], ids=["text", "json"]
)
def test_a_long_error_response_is_cut(body):
    response = Response(418, httpx.Headers(), body)
    assert len(str(error_from_response(ME, response, SETTINGS))) < 1000
