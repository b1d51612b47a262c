"""Endless, huge, nested and broken responses from a server end in an error of the tree."""

from __future__ import annotations

import gzip
import json
import time
import zlib

import pytest

from airflow_provider_apiframe.api.errors import (
    ApiframeError,
    ConnectionFailedError,
    ServiceUnavailableError,
    UnexpectedResponseError,
)

MIB = 1024 * 1024


def caught(call, *arguments) -> ApiframeError:
    with pytest.raises(ApiframeError) as raised:
        call(*arguments)
    return raised.value


def test_a_response_that_comes_byte_by_byte_is_given_up_in_time(connect, slow_url):
    client = connect(base_url=slow_url, timeout=0.3, max_retries=0)
    start = time.monotonic()
    error = caught(client.get_job, "j-1")
    assert time.monotonic() - start < 5
    assert isinstance(error, ConnectionFailedError)
    assert "none within 0.3 s" in str(error)
    assert error.job_id == "j-1"


@pytest.mark.parametrize("status", [200, 503])
def test_a_response_over_the_bound_is_not_read_to_its_end(connect, elsewhere, status):
    elsewhere.responses = [(status, {"Content-Length": str(999 * MIB)}, b" " * (17 * MIB))]
    error = caught(connect(base_url=elsewhere.url, max_retries=0).get_job, "j-1")
    assert isinstance(error, UnexpectedResponseError)
    assert "more than 16 MiB" in str(error)
    assert (error.job_id, error.transient) == ("j-1", True)


def bomb(mebibytes: int, encoding: str) -> bytes:
    """Return packed blanks: each MiB packs to the same bytes. Their end is not there."""
    packer = zlib.compressobj(wbits=31 if encoding == "gzip" else 15)
    first, other = (packer.compress(b" " * MIB) + packer.flush(zlib.Z_FULL_FLUSH) for _ in range(2))
    return first + other * (mebibytes - 1)


@pytest.mark.parametrize("encoding", ["gzip", "deflate"])
def test_a_small_response_that_unpacks_to_a_huge_one_is_not_unpacked(connect, elsewhere, encoding):
    elsewhere.responses = [(200, {"Content-Encoding": encoding}, bomb(300, encoding))]
    error = caught(connect(base_url=elsewhere.url, max_retries=0).get_job, "j-1")
    assert isinstance(error, UnexpectedResponseError)
    assert "more than 16 MiB" in str(error)


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "x-gzip", "identity", ""])
def test_a_compressed_response_is_read(connect, elsewhere, encoding):
    body = json.dumps({"user": {"email": "a@b"}}).encode()
    packed = {
        "gzip": gzip.compress(body),
        "x-gzip": gzip.compress(body),
        "deflate": zlib.compress(body),
    }.get(encoding, body)
    elsewhere.responses = [(200, {"Content-Encoding": encoding}, packed)]
    assert connect(base_url=elsewhere.url).get_account().user.email == "a@b"


@pytest.mark.parametrize(
    ("encoding", "body"),
    [("gzip", gzip.compress(b"x" * 99, mtime=0)[:-9]), ("gzip", b"text"), ("br", b"x")],
    ids=["cut short", "no gzip", "not asked for"],
)
def test_a_response_that_cannot_be_unpacked_is_unexpected(connect, elsewhere, encoding, body):
    elsewhere.responses = [(200, {"Content-Encoding": encoding}, body)]
    error = caught(connect(base_url=elsewhere.url, max_retries=0).get_job, "j-1")
    assert isinstance(error, UnexpectedResponseError)
    assert error.job_id == "j-1"


DEEP = b"[" * 100_000 + b"]" * 100_000


@pytest.mark.parametrize(
    "body", [DEEP, b'{"id": "j-1", "status": "COMPLETED", "result": ' + DEEP], ids=["array", "job"]
)
@pytest.mark.parametrize("status", [200, 400, 503])
def test_deeply_nested_json_is_an_error_of_the_tree(connect, elsewhere, body, status):
    elsewhere.responses = [(status, {}, body)]
    assert caught(connect(base_url=elsewhere.url, max_retries=0).get_job, "j-1").job_id == "j-1"


def test_a_result_that_is_nested_deeply_holds_no_links(connect, elsewhere):
    nested = b"[" * 400 + b'"https://images.example/a.png"' + b"]" * 400
    body = b'{"id": "j-1", "status": "COMPLETED", "result": ' + nested + b"}"
    elsewhere.responses = [(200, {}, body)]
    assert connect(base_url=elsewhere.url).get_job("j-1").image_urls == []


@pytest.mark.parametrize(
    "body", [b"<" * 500_000, b"<a" * 250_000, b"< >" * 200_000], ids=["<", "<a", "< >"]
)
def test_a_page_full_of_brackets_does_not_block(connect, elsewhere, body):
    elsewhere.responses = [(503, {}, body)]
    start = time.thread_time()
    error = caught(connect(base_url=elsewhere.url, max_retries=0).get_account)
    assert isinstance(error, ServiceUnavailableError)
    assert time.thread_time() - start < 1
    assert len(str(error)) < 1000
