"""Uploading an image: what is sent, what is read, and what is tried again."""

from __future__ import annotations

import io
import logging

import pytest

from airflow_provider_apiframe.api.endpoints import Call, submit
from airflow_provider_apiframe.api.errors import (
    ApiframeError,
    ConnectionFailedError,
    InvalidRequestError,
    UnexpectedResponseError,
)
from airflow_provider_apiframe.api.image_file import MAX_UPLOAD_BYTES, ImageFile
from airflow_provider_apiframe.api.models import UploadedFile
from airflow_provider_apiframe.api.params.request import GenerateRequest

PNG = b"\x89PNG\r\n\x1a\n" + bytes(range(256)) + b"IEND\xaeB`\x82"
HEADS = {
    "image/png": (PNG, "png"),
    "image/jpeg": (b"\xff\xd8\xff\xe0" + b"x" * 20, "jpg"),
    "image/webp": (b"RIFF\x10\x00\x00\x00WEBPVP8 ", "webp"),
    "image/gif": (b"GIF89a" + b"x" * 20, "gif"),
}


def image(content: bytes = PNG, name: str = "/home/anna/secret plans.png") -> ImageFile:
    return ImageFile.read(io.BytesIO(content), name)


@pytest.mark.parametrize("kind", HEADS)
def test_an_image_is_uploaded_and_hosted_as_it_is(kind, client, sandbox):
    content, extension = HEADS[kind]
    uploaded = client.upload(image(content))
    assert (uploaded.kind, uploaded.content_type, uploaded.byte_size) == (
        "image",
        kind,
        len(content),
    )
    assert uploaded.expires_at == "2027-01-15T09:00:00.000Z"
    name = uploaded.url.rpartition("/")[2]
    assert name == f"{uploaded.id}.{extension}"
    assert sandbox.state.uploads.find(name).content == content
    assert sandbox.state.credits_spent == 0


@pytest.mark.parametrize(
    "fault",
    [{"status": 503}, {"status": 502}, {"status": 429}, {"drop": True}, {"status": 504}],
    ids=str,
)
def test_an_upload_survives_a_fault_that_passes(fault, client, sandbox):
    sandbox.faults.next("upload", times=2, **fault)
    assert client.upload(image()).url
    assert len(client.pauses) == 2


def test_an_upload_that_cannot_be_read_is_not_called_paid(client, sandbox):
    sandbox.faults.next("upload", status=201, body={"id": "u"})
    with pytest.raises(UnexpectedResponseError) as caught:
        client.upload(image())
    assert caught.value.transient
    assert "paid" not in str(caught.value)


def test_an_upload_that_is_given_up_is_not_called_paid(connect, sandbox):
    sandbox.faults.next("upload", times=2, drop=True)
    with pytest.raises(ConnectionFailedError) as caught:
        connect(max_retries=1).upload(image())
    assert "paid" not in str(caught.value)
    assert "Tried 2 times" in str(caught.value)


def test_the_form_has_one_part_without_the_files_own_name(connect, elsewhere, caplog):
    caplog.set_level(logging.DEBUG)
    elsewhere.responses = [(500, {}, b"{}"), (500, {}, b"{}")]
    client = connect(base_url=elsewhere.url, api_key="afk_very_secret", max_retries=1)
    with pytest.raises(ApiframeError) as caught:
        client.upload(image())
    for seen in elsewhere.requests:
        assert (seen.method, seen.path) == ("POST", "/v2/uploads")
        assert seen.headers["x-api-key"] == "afk_very_secret"
        boundary = seen.headers["content-type"].removeprefix("multipart/form-data; boundary=")
        assert (
            seen.body
            == (
                f"--{boundary}\r\n"
                'Content-Disposition: form-data; name="file"; filename="image.png"\r\n'
                "Content-Type: image/png\r\n\r\n"
            ).encode()
            + PNG
            + f"\r\n--{boundary}--\r\n".encode()
        )
    assert "afk_very_secret" not in str(caught.value) + caplog.text + repr(image())
    assert "IEND" not in caplog.text + repr(image())


def test_the_api_key_in_a_refusal_is_blotted_out(client, sandbox):
    sandbox.faults.next("upload", status=400, body={"error": f"no file for {sandbox.api_key}"})
    with pytest.raises(InvalidRequestError) as caught:
        client.upload(image())
    assert sandbox.api_key not in str(caught.value)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "plan.png is empty: it is no PNG, JPEG, WebP or GIF"),
        (b"<html>", "plan.png begins with b'<html>': it is no PNG"),
        (b"%PDF-1.7", "is no PNG"),
        (b"RIFF\x10\x00\x00\x00WAVEfmt ", "is no PNG"),
        (PNG + b"x" * MAX_UPLOAD_BYTES, "plan.png has more than 25 MB"),
    ],
    ids=["empty", "page", "pdf", "sound", "large"],
)
def test_what_the_api_would_refuse_is_refused_before_it_is_sent(content, said):
    with pytest.raises(InvalidRequestError, match=said):
        image(content, "plan.png")


def test_an_image_of_just_the_limit_is_taken():
    assert len(image(PNG.ljust(MAX_UPLOAD_BYTES)).content) == MAX_UPLOAD_BYTES


def test_no_more_is_read_than_tells_that_a_file_is_too_large():
    class Endless(io.RawIOBase):
        given = 0

        def read(self, size: int = -1) -> bytes:
            assert size > 0
            self.given += size
            return b"x" * size

    file = Endless()
    with pytest.raises(InvalidRequestError, match="more than 25 MB"):
        ImageFile.read(file, "endless")
    assert file.given == MAX_UPLOAD_BYTES + 1


def test_a_file_that_is_open_as_text_is_refused():
    with pytest.raises(InvalidRequestError, match="binary mode"):
        ImageFile.read(io.StringIO("text"), "a.png")


def test_a_request_with_paths_is_not_sent_as_it_is():
    request = GenerateRequest.parse(prompt="x", flux_params={"input_images": ["/data/mug.png"]})
    with pytest.raises(InvalidRequestError, match=r"uploaded first.*/data/mug\.png"):
        next(submit(request, None))


def test_an_upload_may_be_sent_twice_and_costs_nothing():
    call = Call("/v2/uploads", UploadedFile, file=image())
    assert (call.method, call.idempotent, call.costs_credits) == ("POST", True, False)
