"""Uploads: what is taken, how long it is there, and what becomes of jobs that need it."""

from __future__ import annotations

import io

import pytest
from PIL import Image

MEGABYTE = 1024 * 1024


def picture(size: tuple[int, int] = (64, 48), color: str = "red") -> bytes:
    file = io.BytesIO()
    Image.new("RGB", size, color).save(file, "PNG")
    return file.getvalue()


def upload(api, content: bytes, name: str = "file"):
    return api.post("/v2/uploads", files={name: ("x.txt", content, "text/plain")})


@pytest.mark.parametrize(
    ("content", "kind", "content_type"),
    [
        (b"\x89PNG\r\n\x1a\n", "image", "image/png"),
        (b"\xff\xd8\xff\xe0", "image", "image/jpeg"),
        (b"RIFF____WEBP", "image", "image/webp"),
        (b"GIF89a", "image", "image/gif"),
        (b"____ftypisom", "video", "video/mp4"),
        (b"____ftypqt  ", "video", "video/quicktime"),
        (b"\x1a\x45\xdf\xa3", "video", "video/webm"),
        (b"ID3\x04", "audio", "audio/mpeg"),
        (b"RIFF____WAVE", "audio", "audio/wav"),
        (b"OggS", "audio", "audio/ogg"),
        (b"____ftypM4A ", "audio", "audio/mp4"),
    ],
)
def test_a_file_is_what_its_bytes_say_and_is_served_to_anybody(
    content, kind, content_type, api, sandbox, connect
):
    response = upload(api, content)
    assert response.status_code == 201
    told = response.json()
    assert (told["kind"], told["contentType"], told["byteSize"]) == (
        kind,
        content_type,
        len(content),
    )
    served = connect(sandbox, None).get(told["url"])
    assert (served.content, served.headers["content-type"]) == (content, content_type)
    assert sandbox.state.credits_spent == 0
    assert sandbox.state.document()["uploads"] == 1


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"<html>", "Unsupported file type"),
        (b"", "File is empty"),
        (b"\x89PNG\r\n\x1a\n" + bytes(25 * MEGABYTE), "File too large: max 25 MB for image"),
        (b"OggS" + bytes(25 * MEGABYTE), "File too large: max 25 MB for audio"),
        (b"____ftypisom" + bytes(50 * MEGABYTE), "File too large: max 50 MB for video"),
        (b"OggS" + bytes(51 * MEGABYTE), "File too large"),
    ],
    ids=["page", "empty", "image", "audio", "video", "anything"],
)
def test_what_the_api_does_not_take_is_a_validation_error(content, said, api):
    response = upload(api, content)
    assert response.status_code == 400
    assert response.json() == {"error": "Validation failed", "details": {"file": [said]}}


@pytest.mark.parametrize(
    "request_of",
    [
        {"json": {"file": "a"}},
        {"content": b"--x", "headers": {"content-type": "multipart/form-data"}},
        {"files": [("file", b"OggS"), ("file", b"OggS")]},
        {"files": {"image": b"OggS"}},
        {"files": {"file": b"OggS"}, "data": {"more": "1"}},
        {},
    ],
    ids=["json", "no boundary", "two files", "another name", "a field", "nothing"],
)
def test_a_body_that_is_no_form_with_one_file_is_refused(request_of, api):
    response = api.post("/v2/uploads", **request_of)
    assert response.status_code == 400
    assert list(response.json()["details"]) == ["file"]


@pytest.mark.parametrize(("key", "status"), [(None, 401), ("afk_nobody", 401)])
def test_an_upload_needs_a_key(key, status, sandbox, connect):
    assert upload(connect(sandbox, key), picture()).status_code == status
    assert sandbox.state.uploads.count == 0


def test_a_file_is_there_until_it_expires(api, clock, sandbox):
    sandbox.configure(upload_retention=60)
    url = upload(api, picture()).json()["url"]
    clock.advance(59)
    assert api.download(url).status_code == 200
    clock.advance(1)
    assert api.download(url).status_code == 404
    assert api.download("/uploads/nothing.png").status_code == 404


def test_a_fault_may_meet_uploads_and_their_downloads(api, sandbox):
    sandbox.faults.next("upload", status=502)
    sandbox.faults.next("uploaded_file", status=503)
    assert upload(api, picture()).status_code == 502
    url = upload(api, picture()).json()["url"]
    assert [api.download(url).status_code for _ in range(2)] == [503, 200]
    assert sandbox.state.requests == {"upload": 2, "uploaded_file": 2}


def job_from(api, url: str, **params) -> str:
    return api.job_id(fluxParams={"input_images": [url], **params})


def test_an_image_can_match_an_upload(api, clock):
    url = upload(api, picture((640, 320))).json()["url"]
    job_id = job_from(api, url, aspect_ratio="match_input_image", resolution="match_input_image")
    clock.advance(10)
    with Image.open(
        io.BytesIO(api.download(api.job(job_id)["result"]["images"][0]).content)
    ) as image:
        assert image.size == (640, 320)


@pytest.mark.parametrize("params", ["input_images", "image_prompt"])
@pytest.mark.parametrize("known", [True, False], ids=["expired", "unknown"])
def test_a_job_whose_upload_is_gone_is_accepted_fails_and_is_refunded(
    params, known, api, clock, sandbox
):
    url = upload(api, picture()).json()["url"] if known else f"{sandbox.cdn_url}/uploads/no.png"
    clock.advance(3600)
    job_id = api.job_id(fluxParams={params: [url] if params == "input_images" else url})
    clock.advance(10)
    job = api.job(job_id)
    assert (job["status"], job["error"]) == ("FAILED", "Input image could not be fetched")
    assert sandbox.state.credits_spent == 0


def test_a_job_whose_input_was_made_here_and_is_gone_fails(serve, connect, clock):
    api = connect(serve(retention=60))
    first = api.job_id()
    clock.advance(10)
    [url] = api.job(first)["result"]["images"]
    jobs = [job_from(api, url)]
    clock.advance(60)
    jobs.append(job_from(api, url))
    clock.advance(10)
    assert [api.job(job)["error"] for job in jobs] == [None, "Input image could not be fetched"]


def test_a_job_whose_input_link_has_expired_fails(serve, connect, clock):
    api = connect(serve(link_lifetime=60))
    first = api.job_id()
    clock.advance(10)
    [url] = api.job(first)["result"]["images"]
    jobs = [job_from(api, url), job_from(api, url.partition("?")[0])]
    clock.advance(60)
    jobs.append(job_from(api, url))
    clock.advance(10)
    failure = "Input image could not be fetched"
    assert [api.job(job)["error"] for job in jobs] == [None, failure, failure]


def test_an_input_image_from_elsewhere_is_taken_as_it_is(api, clock):
    job_id = job_from(api, "https://images.example/uploads/a.png")
    clock.advance(10)
    assert api.job(job_id)["status"] == "COMPLETED"


def color_of(data: bytes) -> tuple[int, ...]:
    with Image.open(io.BytesIO(data)) as image:
        return image.resize((1, 1)).getpixel((0, 0))


def test_the_input_image_shows_in_the_poster_and_in_posters_made_from_that(api, clock):
    def poster_from(url: str) -> str:
        job_id = job_from(api, url, seed=1)
        clock.advance(10)
        return api.job(job_id)["result"]["images"][0]

    links = {
        color: poster_from(upload(api, picture(color=color)).json()["url"])
        for color in ("red", "blue")
    }
    for links_now in (links, {color: poster_from(link) for color, link in links.items()}):
        red, blue = (color_of(api.download(links_now[color]).content) for color in ("red", "blue"))
        assert red[0] > blue[0]
        assert blue[2] > red[2]


def test_what_only_begins_like_an_image_is_taken_and_not_shown(api, clock):
    job_id = job_from(api, upload(api, b"\x89PNG\r\n\x1a\nnothing").json()["url"])
    clock.advance(10)
    assert api.download(api.job(job_id)["result"]["images"][0]).status_code == 200
