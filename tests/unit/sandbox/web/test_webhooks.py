"""Webhooks as a receiver on loopback gets them."""

from __future__ import annotations

import hashlib
import hmac
import json
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from queue import Empty, Queue

import pytest


class Receiver(ThreadingHTTPServer):
    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server_port}/hook?campaign=1"
        self.received: Queue = Queue()
        self.status = 200


class Handler(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.received.put((self.path, dict(self.headers), body))
        self.send_response(self.server.status)
        self.end_headers()

    def log_message(self, *_) -> None:
        pass


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    server = Receiver()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


def delivered(receiver):
    return receiver.received.get(timeout=10)


def status_becomes(api, job_id, expected):
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        if api.job(job_id)["webhookStatus"] == expected:
            return True
    return False


def test_a_completed_job_is_told_with_its_result(api, clock, receiver):
    job_id = api.job_id(webhookUrl=receiver.url)
    assert api.job(job_id)["webhookStatus"] == "pending"
    with pytest.raises(Empty):
        receiver.received.get(timeout=0.1)
    clock.advance(10)
    path, headers, body = delivered(receiver)
    job = api.job(job_id)
    assert path == "/hook?campaign=1"
    assert headers["X-Webhook-Event"] == "completed"
    assert json.loads(body) == {
        "event": "completed",
        "jobId": job_id,
        "status": "COMPLETED",
        "progress": 100,
        "result": job["result"],
        "model": "flux-2-flex",
        "creditCost": 12,
        "completedAt": job["completedAt"],
    }
    assert status_becomes(api, job_id, "delivered")


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("generate", {"model": "midjourney", "prompt": "a cat"}),
        (
            "background-remove",
            {"model": "bria-bg-remove", "briaBgRemoveParams": {"image": "https://x.test/a.png"}},
        ),
    ],
)
def test_every_kind_of_job_is_told(kind, body, api, clock, receiver):
    job_id = api.accepted(kind, webhookUrl=receiver.url, **body)
    clock.advance(10)
    told = json.loads(delivered(receiver)[2])
    assert (told["jobId"], told["model"]) == (job_id, body["model"])
    assert told["result"] == api.job(job_id)["result"]
    assert api.job(job_id)["input"]["webhookUrl"] == receiver.url


def test_a_failed_job_is_told_with_its_error(api, clock, receiver):
    job_id = api.job_id("[fail: no]", webhookUrl=receiver.url)
    clock.advance(10)
    _, headers, body = delivered(receiver)
    assert headers["X-Webhook-Event"] == "failed"
    assert json.loads(body) == {
        "event": "failed",
        "jobId": job_id,
        "status": "FAILED",
        "error": "no",
        "model": "flux-2-flex",
    }


def test_progress_is_told_to_those_who_ask(api, clock, receiver):
    job_id = api.job_id(webhookUrl=receiver.url, webhookEvents=["progress"])
    clock.advance(4)
    _, headers, body = delivered(receiver)
    assert headers["X-Webhook-Event"] == "progress"
    assert json.loads(body) == {
        "event": "progress",
        "jobId": job_id,
        "status": "PROCESSING",
        "progress": 25,
        "model": "flux-2-flex",
    }
    clock.advance(6)
    later = {json.loads(delivered(receiver)[2])["progress"] for _ in range(2)}
    assert later == {50, 75}
    with pytest.raises(Empty):
        receiver.received.get(timeout=0.1)


@pytest.mark.parametrize(
    ("options", "secret"),
    [
        pytest.param({}, hashlib.sha256(b"afk_sandbox").digest(), id="raw"),
        pytest.param(
            {"webhook_digest": "hex"}, hashlib.sha256(b"afk_sandbox").hexdigest().encode(), id="hex"
        ),
    ],
)
def test_a_webhook_is_signed_with_the_digest_of_the_key(
    serve, connect, clock, receiver, options, secret
):
    connect(serve(**options)).job_id(webhookUrl=receiver.url)
    clock.advance(10)
    _, headers, body = delivered(receiver)
    assert (
        headers["X-Webhook-Signature"]
        == "sha256=" + hmac.new(secret, body, hashlib.sha256).hexdigest()
    )


def test_a_receiver_that_says_no_makes_the_delivery_failed(api, clock, receiver):
    receiver.status = 500
    job_id = api.job_id(webhookUrl=receiver.url)
    clock.advance(10)
    assert status_becomes(api, job_id, "failed")


def test_a_receiver_that_is_not_there_makes_the_delivery_failed(api, clock, receiver):
    receiver.server_close()
    job_id = api.job_id(webhookUrl=receiver.url)
    clock.advance(10)
    assert status_becomes(api, job_id, "failed")


def test_webhooks_do_not_leave_this_machine(api, clock, caplog):
    job_id = api.job_id(webhookUrl="https://203.0.113.7/hook")
    clock.advance(10)
    assert status_becomes(api, job_id, "failed")
    assert "--allow-external-webhooks" in caplog.text


def test_a_repeat_is_told_once(api, clock, receiver):
    for _ in range(2):
        api.generate(key="k1", webhookUrl=receiver.url)
    clock.advance(10)
    delivered(receiver)
    with pytest.raises(Empty):
        receiver.received.get(timeout=0.2)


def test_a_job_without_a_webhook_has_no_webhook_status(api):
    assert api.job(api.job_id())["webhookStatus"] is None


def test_a_reset_forgets_webhooks(sandbox, api, clock, receiver):
    api.job_id(webhookUrl=receiver.url)
    sandbox.reset()
    clock.advance(10)
    with pytest.raises(Empty):
        receiver.received.get(timeout=0.2)
