"""Faults: by share, scripted, and over HTTP."""

from __future__ import annotations

import time

import httpx
import pytest

from airflow_provider_apiframe.sandbox.faults import Faults
from airflow_provider_apiframe.sandbox.settings import Settings


def test_a_dropped_answer_is_a_connection_error_and_the_job_exists(sandbox, api):
    sandbox.faults.next("generate", drop=True)
    with pytest.raises(httpx.RemoteProtocolError):
        api.generate(key="k1")
    assert sandbox.state.jobs_created == 1
    assert api.generate(key="k1").json()["jobId"] == sandbox.state.jobs[0].id


def test_a_request_can_be_dropped_before_it_takes_effect(sandbox, api):
    sandbox.faults.next("generate", drop=True, applied=False)
    with pytest.raises(httpx.RemoteProtocolError):
        api.generate()
    assert sandbox.state.jobs_created == 0


def test_a_share_of_all_answers_can_be_dropped(serve, connect):
    sandbox = serve(drop_responses=1.0)
    with pytest.raises(httpx.RemoteProtocolError):
        connect(sandbox).generate()
    assert sandbox.state.jobs_paid == 1
    assert connect(sandbox).get("/v2/me").status_code == 200


def test_a_gateway_timeout_is_html_and_the_job_exists(serve, connect):
    sandbox = serve(gateway_timeouts=1.0)
    answer = connect(sandbox).generate()
    assert answer.status_code == 504
    assert answer.headers["content-type"].startswith("text/html")
    assert sandbox.state.jobs_paid == 1


def test_an_outage_makes_no_job(serve, connect):
    sandbox = serve(error_rate=1.0)
    answer = connect(sandbox).generate()
    assert answer.status_code == 503
    assert isinstance(answer.json()["error"], str)
    assert sandbox.state.jobs_created == 0


def test_jobs_can_fail_for_want_of_capacity(serve, connect, clock):
    sandbox = serve(fail_rate=1.0)
    api = connect(sandbox)
    job_id = api.job_id()
    clock.advance(10)
    assert api.job(job_id)["error"] == "No available capacity, please try again later"
    assert sandbox.state.credits == 5000


def test_the_same_seed_makes_the_same_faults():
    def drawn(seed):
        faults = Faults(Settings().changed({"error_rate": 0.5, "latency": "1:9", "seed": seed}))
        return [(faults.should_inject("error_rate"), faults.job_seconds()) for _ in range(30)]

    assert drawn(1) == drawn(1)
    assert drawn(1) != drawn(2)


def test_turning_one_share_on_does_not_move_another():
    def should_inject(**shares):
        faults = Faults(Settings().changed({"error_rate": 0.5, "seed": 1, **shares}))
        return [
            (faults.should_inject("fail_rate"), faults.should_inject("error_rate"))[1]
            for _ in range(30)
        ]

    assert should_inject() == should_inject(fail_rate=0.5)


def test_latency_is_drawn_between_its_ends():
    faults = Faults(Settings().changed({"latency": (3, 5), "seed": 1}))
    drawn = [faults.job_seconds() for _ in range(100)]
    assert 3 <= min(drawn) < 3.5 < 4.5 < max(drawn) <= 5


def test_scripted_faults_happen_in_order_and_then_no_more(sandbox, api):
    sandbox.faults.next("generate", status=503, times=2)
    sandbox.faults.next("generate", retry_after="7")
    answers = [api.generate() for _ in range(4)]
    assert [answer.status_code for answer in answers] == [503, 503, 429, 202]
    assert answers[2].headers["retry-after"] == "7"
    assert (sandbox.state.jobs_created, sandbox.faults.queued) == (1, 0)


def test_a_scripted_fault_waits_for_its_route(sandbox, api):
    sandbox.faults.next("job", status=500)
    sandbox.faults.next("any", status=502)
    assert api.get("/v2/me").status_code == 502
    assert api.get("/v2/me").status_code == 200
    job_id = api.job_id()
    assert api.get(f"/v2/jobs/{job_id}").status_code == 500
    assert api.get(f"/v2/jobs/{job_id}").status_code == 200


def test_a_request_can_take_effect_behind_a_gateway_timeout(sandbox, api):
    sandbox.faults.next("generate", status=504, applied=True)
    answer = api.generate()
    assert (answer.status_code, answer.headers["content-type"]) == (504, "text/html; charset=utf-8")
    assert sandbox.state.jobs_paid == 1


@pytest.mark.parametrize(
    ("fault", "status", "content_type", "text"),
    [
        ({"body": "<html>login</html>"}, 200, "text/html; charset=utf-8", "<html>login</html>"),
        ({"body": {"jobId": ""}, "status": 202}, 202, "application/json", '{"jobId": ""}'),
        ({"body": "x", "content_type": "application/json"}, 200, "application/json", "x"),
        ({"body": b"\x00"}, 200, "text/plain; charset=utf-8", "\x00"),
        ({"status": 500}, 500, "application/json", '{"error": "Internal Server Error"}'),
    ],
)
def test_a_scripted_answer_has_the_body_and_type_it_was_given(
    sandbox, api, fault, status, content_type, text
):
    sandbox.faults.next("generate", **fault)
    answer = api.generate()
    assert (answer.status_code, answer.headers["content-type"], answer.text) == (
        status,
        content_type,
        text,
    )
    assert sandbox.state.jobs_created == 0


def test_a_redirect_can_be_scripted(sandbox, api):
    sandbox.faults.next("me", status=302, headers={"Location": "/elsewhere"})
    answer = api.get("/v2/me")
    assert (answer.status_code, answer.headers["location"], answer.content) == (
        302,
        "/elsewhere",
        b"",
    )


def test_a_delay_alone_gives_the_true_answer_later(sandbox, api):
    sandbox.faults.next("me", delay=0.2)
    began = time.monotonic()
    assert api.get("/v2/me").status_code == 200
    assert time.monotonic() - began >= 0.2


def test_a_client_that_gives_up_waiting_has_made_a_job_all_the_same(sandbox, api):
    sandbox.faults.next("generate", delay=0.2)
    with pytest.raises(httpx.ReadTimeout):
        api.post("/v2/images/generate", json={"prompt": "a", "model": "flux-2-flex"}, timeout=0.05)
    deadline = time.monotonic() + 10
    while not sandbox.state.jobs_created:
        assert time.monotonic() < deadline


def test_a_download_can_be_cut_short(sandbox, api, clock):
    job_id = api.job_id()
    clock.advance(10)
    [url] = api.job(job_id)["result"]["images"]
    sandbox.faults.next("image", cut_after=1000)
    with pytest.raises(httpx.RemoteProtocolError, match="received 1000 bytes"):
        api.download(url)
    assert len(api.download(url).content) > 1000


@pytest.mark.parametrize(
    ("route", "fault", "text"),
    [
        ("generat", {"status": 500}, "one of generate, upscale,"),
        ("generate", {"status": 99}, "from 200 to 599"),
        ("generate", {"status": 500, "times": 0}, "1 or more"),
        ("generate", {}, "at least one of"),
        ("generate", {"delay": -1}, "0 or more"),
    ],
)
def test_a_fault_that_makes_no_sense_is_refused(sandbox, route, fault, text):
    with pytest.raises(ValueError, match=text):
        sandbox.faults.next(route, **fault)


def test_faults_can_be_set_and_scripted_over_http(sandbox, api):
    answer = api.post(
        "/_sandbox/faults",
        json={"latency": "1:2", "next": [{"route": "generate", "status": 500, "times": 2}]},
    )
    assert answer.json()["queued"] == 2
    assert answer.json()["settings"]["latency"] == [1, 2]
    assert [api.generate().status_code for _ in range(3)] == [500, 500, 202]
    assert api.post("/_sandbox/reset").json()["settings"]["latency"] == [10, 10]


def test_one_fault_over_http_needs_no_list(api):
    api.post("/_sandbox/faults", json={"next": {"route": "me", "status": 500}})
    assert api.get("/v2/me").status_code == 500


@pytest.mark.parametrize(
    ("body", "text"),
    [
        ({"speed": 3}, "unknown option 'speed'"),
        ({"error_rate": 2}, "error_rate must be a number from 0 to 1"),
        ({"next": {"route": "me", "colour": 1}}, "colour"),
        ([], "JSON object"),
    ],
)
def test_a_mistake_over_http_is_explained(api, body, text):
    answer = api.post("/_sandbox/faults", json=body)
    assert answer.status_code == 400
    assert text in answer.json()["error"]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("latency", "5:1"),
        ("latency", "soon"),
        ("latency", -1),
        ("fail_rate", 1.1),
        ("credits", -1),
        ("rate_limit", 1.5),
        ("dialect", "latin"),
        ("result_form", "video"),
        ("cost_null", 1),
        ("progress_null", "yes"),
        ("seed", "x"),
        ("retry_after", -1),
    ],
)
def test_an_option_out_of_range_is_named(name, value):
    with pytest.raises(ValueError, match=f"^{name} must"):
        Settings().changed({name: value})
