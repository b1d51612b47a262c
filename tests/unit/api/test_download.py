"""Fetching an image: whole or not at all, by its true type, and never with the key."""

from __future__ import annotations

import errno
import gzip
import hashlib
import os
import socket
import stat
import time
from pathlib import Path

import pytest

from airflow_provider_apiframe.api import download as module
from airflow_provider_apiframe.api.client import ApiframeClient
from airflow_provider_apiframe.api.download import download, image_type
from airflow_provider_apiframe.api.endpoints import USER_AGENT
from airflow_provider_apiframe.api.errors import DownloadError
from airflow_provider_apiframe.api.params.request import GenerateRequest
from airflow_provider_apiframe.api.redirects import redirected
from airflow_provider_apiframe.api.settings import ClientSettings

PNG = b"\x89PNG\r\n\x1a\n" + b"png" * 100 + b"IEND\xaeB`\x82"
JPG = b"\xff\xd8\xff\xe0" + b"jpg" * 100 + b"\xff\xd9"
WEBP = b"RIFF\x10\x00\x00\x00WEBPVP8 " + b"webp" * 100
SECRET = "X-Signature=s3cr3t"


@pytest.fixture(autouse=True)
def attempts(monkeypatch) -> list[int]:
    """The numbers of the attempts that failed and may be retried; the pause takes no time."""
    seen: list[int] = []

    def retry_backoff(attempt: int, asked: float | None) -> float:
        seen.append(attempt)
        return 0.0

    monkeypatch.setattr(module, "retry_backoff", retry_backoff)
    return seen


@pytest.fixture
def image(sandbox, clock):
    """Call it for the link of a finished image in the sandbox."""

    def make(**flux_params: object) -> str:
        request = GenerateRequest.parse(
            prompt="a poster", flux_params={"width": 256, "height": 256, **flux_params}
        )
        with ApiframeClient(
            ClientSettings(api_key=sandbox.api_key, base_url=sandbox.url)
        ) as client:
            job_id = client.submit(request).job_id
            clock.advance(10)
            return client.get_job(job_id).image_urls[0]

    return make


def files_in(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def refusal(url: str, target: object, **limits: object) -> DownloadError:
    with pytest.raises(DownloadError) as caught:
        download(url, target, **{"max_retries": 0, **limits})
    return caught.value


@pytest.mark.parametrize(
    ("given", "extension", "content_type"),
    [("png", "png", "image/png"), ("jpg", "jpg", "image/jpeg"), ("webp", "webp", "image/webp")],
)
def test_an_image_of_the_sandbox_is_fetched_whole(image, tmp_path, given, extension, content_type):
    url = image(output_format=given)
    image = download(url, tmp_path)
    data = image.path.read_bytes()
    assert image.path == tmp_path / f"{Path(url).stem}.{extension}"
    assert (image.content_type, image.bytes, image.sha256) == (
        content_type,
        len(data),
        hashlib.sha256(data).hexdigest(),
    )
    assert image_type(data[:12]) == (content_type, extension)


def test_an_image_larger_than_a_chunk_is_fetched_whole(elsewhere, tmp_path):
    data = PNG[:-8] + os.urandom(300_000) + PNG[-8:]
    elsewhere.responses = [(200, {}, data)]
    assert (
        download(f"{elsewhere.url}/a.png", tmp_path / "a.png").sha256
        == hashlib.sha256(data).hexdigest()
    )
    assert files_in(tmp_path) == {"a.png": data}


# Where it goes


@pytest.mark.parametrize(
    "name", ["poster.png", "poster", "poster.jpg", "deep/er/poster.png", "ä ö.png"]
)
@pytest.mark.parametrize("kind", [str, Path])
def test_a_file_target_is_written_under_exactly_its_name(elsewhere, tmp_path, name, kind):
    elsewhere.responses = [(200, {}, PNG)]
    image = download(f"{elsewhere.url}/a.webp", kind(tmp_path / name))
    assert image.path == tmp_path / name
    assert files_in(tmp_path) == {name: PNG}


@pytest.mark.parametrize("target", [".", "new/", "deep/er/"])
def test_a_folder_target_gets_the_name_of_the_link(elsewhere, tmp_path, target):
    elsewhere.responses = [(200, {}, PNG)]
    image = download(f"{elsewhere.url}/images/a-1.png?{SECRET}", f"{tmp_path}/{target}")
    assert image.path == tmp_path / target / "a-1.png"
    assert image.path.read_bytes() == PNG


@pytest.mark.parametrize(
    ("data", "content_type", "extension"),
    [(PNG, "image/png", "png"), (JPG, "image/jpeg", "jpg"), (WEBP, "image/webp", "webp")],
)
@pytest.mark.parametrize("claimed", ["png", "jpeg", "gif"])
def test_type_and_extension_come_from_the_bytes(
    elsewhere, tmp_path, data, content_type, extension, claimed
):
    elsewhere.responses = [(200, {"Content-Type": f"image/{claimed}"}, data)]
    image = download(f"{elsewhere.url}/a.{claimed}", tmp_path)
    assert (image.path.name, image.content_type) == (f"a.{extension}", content_type)


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("/", "image.png"),
        ("", "image.png"),
        ("/a%20b%2Fc.png", "c.png"),
        ("/x/..%2F..%2Fetc%2Fpasswd", "passwd.png"),
        ("/a:b*c.png", "a_b_c.png"),
        ("/.hidden", ".hidden.png"),
        ("/archive.tar.png", "archive.tar.png"),
    ],
)
def test_a_name_from_a_link_stays_in_the_folder_and_is_harmless(elsewhere, tmp_path, path, name):
    elsewhere.responses = [(200, {}, PNG)]
    assert download(elsewhere.url + path, tmp_path).path == tmp_path / name


def test_an_existing_file_is_replaced(elsewhere, tmp_path):
    (tmp_path / "a.png").write_bytes(b"old")
    elsewhere.responses = [(200, {}, PNG)]
    download(f"{elsewhere.url}/a.png", tmp_path)
    assert files_in(tmp_path) == {"a.png": PNG}


def test_who_reads_a_file_while_it_is_replaced_sees_the_old_one_whole(elsewhere, tmp_path):
    (tmp_path / "a.png").write_bytes(b"old")
    elsewhere.responses = [(200, {}, PNG)]
    with (tmp_path / "a.png").open("rb") as reader:
        download(f"{elsewhere.url}/a.png", tmp_path)
        assert reader.read() == b"old"


@pytest.mark.parametrize(("mask", "mode"), [(0o022, 0o644), (0o077, 0o600), (0o002, 0o664)])
def test_the_files_permissions_follow_the_umask(elsewhere, tmp_path, mask, mode):
    elsewhere.responses = [(200, {}, PNG)]
    before = os.umask(mask)
    try:
        image = download(f"{elsewhere.url}/a.png", tmp_path)
    finally:
        os.umask(before)
    assert stat.S_IMODE(image.path.stat().st_mode) == mode


# What is left after a failure

BROKEN = {"Content-Length": "5000"}  # more than comes
FAILURES = [
    pytest.param((404, {}, b"gone"), id="404"),
    pytest.param((500, {}, b"oops"), id="500"),
    pytest.param((200, BROKEN, PNG), id="short read"),
    pytest.param((200, {}, b"<html>not an image</html>"), id="no image"),
    pytest.param((200, {}, b""), id="nothing"),
    pytest.param((200, {}, PNG * 100), id="too large"),
]


@pytest.mark.parametrize("answer", FAILURES)
@pytest.mark.parametrize("target", ["a.png", "."])
def test_a_failure_leaves_an_existing_file_as_it_was_and_nothing_beside_it(
    elsewhere, tmp_path, answer, target
):
    (tmp_path / "a.png").write_bytes(b"old")
    elsewhere.responses = [answer] * 2
    refusal(f"{elsewhere.url}/a.png", tmp_path / target, max_bytes=2000, max_retries=1)
    assert files_in(tmp_path) == {"a.png": b"old"}


def test_a_failure_of_another_kind_leaves_nothing_behind(elsewhere, tmp_path, monkeypatch):
    def interrupt(head):
        raise KeyboardInterrupt

    monkeypatch.setattr(module, "image_type", interrupt)
    elsewhere.responses = [(200, {}, PNG)]
    with pytest.raises(KeyboardInterrupt):
        download(f"{elsewhere.url}/a.png", tmp_path)
    assert files_in(tmp_path) == {}


# What is told, and what is tried again


@pytest.mark.parametrize("status", [403, 404, 410])
def test_a_dead_link_says_that_it_has_expired_and_is_not_tried_again(
    elsewhere, tmp_path, attempts, status
):
    elsewhere.responses = [(status, {}, b"gone")] * 3
    error = refusal(f"{elsewhere.url}/a.png?{SECRET}", tmp_path, max_retries=2)
    assert (
        str(error)
        == f"{elsewhere.url}/a.png returned {status}. The link has expired or the image is gone."
    )
    assert (error.status_code, error.transient, attempts, len(elsewhere.requests)) == (
        status,
        False,
        [],
        1,
    )


def test_an_image_that_the_sandbox_has_dropped_is_a_dead_link(image, clock, tmp_path):
    url = image()
    clock.advance(90_000)
    assert "The link has expired" in str(refusal(url, tmp_path))


@pytest.mark.parametrize("status", [400, 401, 416, 451])
def test_another_4xx_is_told_without_a_guess_and_not_tried_again(
    elsewhere, tmp_path, attempts, status
):
    elsewhere.responses = [(status, {}, b"no")] * 3
    assert (
        str(refusal(f"{elsewhere.url}/a.png", tmp_path, max_retries=2))
        == f"{elsewhere.url}/a.png returned {status}."
    )
    assert attempts == []


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504])
def test_an_outage_is_tried_again(elsewhere, tmp_path, attempts, status):
    elsewhere.responses = [(status, {}, b"later"), (status, {}, b"later"), (200, {}, PNG)]
    assert download(f"{elsewhere.url}/a.png", tmp_path).bytes == len(PNG)
    assert attempts == [1, 2]


def test_an_outage_that_lasts_is_told_after_max_retries(elsewhere, tmp_path, attempts):
    elsewhere.responses = [(503, {}, b"later")] * 9
    error = refusal(f"{elsewhere.url}/a.png", tmp_path, max_retries=3)
    assert (error.status_code, error.transient, len(elsewhere.requests), attempts) == (
        503,
        True,
        4,
        [1, 2, 3, 4],
    )


@pytest.mark.parametrize("fault", [{"cut_after": 0}, {"cut_after": 100}, {"drop": True}])
def test_a_short_read_is_tried_again(image, sandbox, tmp_path, attempts, fault):
    url = image()
    sandbox.faults.next("image", **fault)
    image = download(url, tmp_path)
    assert image.bytes == len(image.path.read_bytes()) > 100
    assert (sandbox.state.requests["image"], attempts) == (2, [1])


def test_a_short_read_that_repeats_is_an_error(image, sandbox, tmp_path):
    url = image()
    sandbox.faults.next("image", cut_after=100, times=2)
    assert refusal(url, tmp_path, max_retries=1).transient
    assert files_in(tmp_path) == {}


def test_a_refused_port_is_tried_again(closed_port, tmp_path, attempts):
    error = refusal(f"http://127.0.0.1:{closed_port}/a.png?{SECRET}", tmp_path, max_retries=2)
    assert str(error).startswith(f"http://127.0.0.1:{closed_port}/a.png could not be read: ")
    assert (error.transient, attempts) == (True, [1, 2, 3])


@pytest.mark.parametrize(
    "data",
    [b"<html>Hello</html>", b"GIF89a" + b"x" * 50, b"RIFF\x10\x00\x00\x00WAVEfmt ", b"\x89PN", b""],
)
def test_what_is_no_image_is_refused_with_its_first_bytes(elsewhere, tmp_path, attempts, data):
    elsewhere.responses = [(200, {"Content-Type": "image/png"}, data)] * 2
    error = refusal(f"{elsewhere.url}/a.png", tmp_path, max_retries=1)
    assert (
        str(error)
        == f"{elsewhere.url}/a.png gave {len(data)} bytes that are no PNG, JPEG or WebP: "
        f"{data[:12]!r}..."
    )
    assert (error.transient, attempts) == (False, [])


def test_an_image_of_exactly_the_size_cap_is_taken(elsewhere, tmp_path):
    elsewhere.responses = [(200, {}, PNG)]
    assert download(f"{elsewhere.url}/a.png", tmp_path, max_bytes=len(PNG)).bytes == len(PNG)


def test_a_link_that_announces_too_much_is_not_read(elsewhere, tmp_path):
    elsewhere.responses = [(200, {"Content-Length": str(10 * 2**30)}, PNG)]
    error = refusal(f"{elsewhere.url}/a.png", tmp_path)
    assert str(error) == f"{elsewhere.url}/a.png announces {10 * 2**30} bytes, more than 104857600"
    assert not error.transient
    assert files_in(tmp_path) == {}


def test_an_image_above_the_size_cap_is_stopped(elsewhere, tmp_path, attempts):
    elsewhere.responses = [(200, {"Content-Length": None}, PNG)] * 2
    error = refusal(f"{elsewhere.url}/a.png", tmp_path, max_bytes=len(PNG) - 1, max_retries=1)
    assert str(error) == f"{elsewhere.url}/a.png gives more than {len(PNG) - 1} bytes; stopped"
    assert (error.transient, attempts) == (False, [])


@pytest.mark.parametrize(
    "url",
    [
        "ftp://a.example/a.png",
        "file:///etc/passwd",
        "a.png",
        "",
        "http://",
        "https:///a.png",
        "http://[bad/a.png",
        "http://h:port/a",
    ],
)
def test_what_is_no_http_link_is_refused_at_once(tmp_path, attempts, url):
    error = refusal(f"{url}?{SECRET}", tmp_path, max_retries=2)
    assert (error.transient, attempts) == (False, [])
    assert "s3cr3t" not in str(error)


@pytest.mark.parametrize("answer", FAILURES)
def test_the_query_of_a_link_is_in_no_error_text(elsewhere, tmp_path, answer):
    elsewhere.responses = [answer]
    error = refusal(f"{elsewhere.url}/a.png?{SECRET}#{SECRET}", tmp_path, max_bytes=2000)
    assert "s3cr3t" not in f"{error!s} {error!r} {error.__cause__}"
    assert f"{elsewhere.url}/a.png" in str(error)


def test_a_password_in_a_link_is_in_no_error_text(elsewhere, tmp_path):
    elsewhere.responses = [(404, {}, b"")]
    link = elsewhere.url.replace("http://", "http://user:s3cr3t@")
    assert "s3cr3t" not in str(refusal(f"{link}/a.png", tmp_path))


# What is sent


def test_the_image_is_asked_for_with_a_product_name_and_without_the_key(elsewhere, tmp_path):
    elsewhere.responses = [(200, {}, PNG)]
    download(f"{elsewhere.url}/a.png?{SECRET}", tmp_path)
    (seen,) = elsewhere.requests
    assert (seen.method, seen.path) == ("GET", f"/a.png?{SECRET}")
    assert seen.headers["user-agent"] == USER_AGENT
    assert not {"x-api-key", "authorization", "cookie", "idempotency-key"} & seen.headers.keys()


def test_a_redirect_to_the_image_is_followed(elsewhere, tmp_path):
    elsewhere.responses = [(302, {"Location": f"/b.png?{SECRET}"}, b""), (200, {}, PNG)]
    assert download(f"{elsewhere.url}/a.png", tmp_path).path.read_bytes() == PNG
    assert [seen.path for seen in elsewhere.requests] == ["/a.png", f"/b.png?{SECRET}"]


@pytest.mark.parametrize(
    ("head", "kind"),
    [
        (PNG[:12], ("image/png", "png")),
        (JPG[:12], ("image/jpeg", "jpg")),
        (WEBP[:12], ("image/webp", "webp")),
        (b"RIFF\x10\x00\x00\x00WEB", None),
        (b"\x89PNG", None),
        (b"GIF89a", None),
        (b"", None),
    ],
)
def test_a_type_is_told_by_the_first_bytes(head, kind):
    assert image_type(head) == kind


# Whole or not at all


@pytest.mark.parametrize("data", [PNG[:-3], JPG[:-1], b"RIFF\xff\x10\x00\x00WEBPVP8 " + b"x" * 99])
@pytest.mark.parametrize("headers", [{}, {"Content-Length": None}])
def test_an_image_without_its_end_is_tried_again(elsewhere, tmp_path, attempts, data, headers):
    elsewhere.responses = [(200, headers, data), (200, {}, PNG)]
    assert download(f"{elsewhere.url}/a", tmp_path, max_retries=1).path.read_bytes() == PNG
    assert attempts == [1]


def test_an_image_that_was_compressed_and_cut_short_is_no_whole_one(elsewhere, tmp_path):
    packed = gzip.compress(PNG[:-8] + bytes(range(256)) * 400 + PNG[-8:])[:-300]
    elsewhere.responses = [(200, {"Content-Encoding": "gzip", "Content-Length": None}, packed)]
    assert refusal(f"{elsewhere.url}/a.png", tmp_path).transient
    assert files_in(tmp_path) == {}


@pytest.mark.parametrize("status", [201, 203, 204, 206, 300])
def test_only_a_200_is_a_whole_image(elsewhere, tmp_path, status):
    elsewhere.responses = [(status, {}, b"" if status == 204 else PNG)]
    error = refusal(f"{elsewhere.url}/a.png", tmp_path)
    assert (error.status_code, error.transient) == (status, False)
    assert files_in(tmp_path) == {}


def test_an_image_that_comes_byte_by_byte_is_given_up_in_time(slow_url, tmp_path):
    start = time.monotonic()
    error = refusal(f"{slow_url}/a.png", tmp_path, max_seconds=0.3)
    assert time.monotonic() - start < 5
    assert str(error) == f"{slow_url}/a.png was not there whole within 0.3 s"


def test_a_name_as_long_as_no_file_system_takes_it_is_cut(elsewhere, tmp_path):
    elsewhere.responses = [(200, {}, PNG)]
    path = download(f"{elsewhere.url}/{'x' * 300}.png", tmp_path).path
    assert len(path.name) < 255


def test_a_full_disk_is_a_download_error(elsewhere, tmp_path, monkeypatch):
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)
    elsewhere.responses = [(200, {}, PNG)]
    assert "No space left on device" in str(refusal(f"{elsewhere.url}/a.png", tmp_path))
    assert files_in(tmp_path) == {}


def test_a_folder_that_cannot_be_made_is_a_download_error(elsewhere, tmp_path):
    (tmp_path / "file").touch()
    elsewhere.responses = [(200, {}, PNG)]
    assert "could not be written" in str(
        refusal(f"{elsewhere.url}/a.png", tmp_path / "file" / "b/")
    )


# Redirects


def test_a_redirect_on_this_machine_is_followed_from_this_machine(elsewhere, tmp_path):
    elsewhere.responses = [(302, {"Location": "/there.png"}, b""), (200, {}, PNG)]
    assert download(f"{elsewhere.url}/a.png", tmp_path).bytes == len(PNG)


@pytest.mark.parametrize(
    "location",
    [
        "http://10.0.0.1/a.png",
        "http://192.168.1.1/a.png",
        "http://169.254.169.254/latest/meta-data",
        "http://[fe80::1]/a.png",
        "http://[::ffff:10.0.0.1]/a.png",
        "http://0.0.0.0/a.png",
        "ftp://images.example/a.png",
        "file:///etc/passwd",
        "//10.0.0.1/a.png",
    ],
)
def test_a_redirect_into_a_private_network_is_refused(elsewhere, tmp_path, location):
    elsewhere.responses = [(302, {"Location": location}, b"")]
    error = refusal(f"{elsewhere.url}/a.png?{SECRET}", tmp_path)
    assert "redirects to" in str(error)
    assert not error.transient
    assert SECRET not in str(error)


@pytest.mark.parametrize(
    ("before", "after", "allowed"),
    [
        ("https://cdn.example/a", "http://cdn.example/a", False),
        ("https://cdn.example/a", "https://127.0.0.1/a", False),
        ("https://cdn.example/a", "https://resolves-to-loopback.example/a", False),
        ("https://cdn.example/a", "https://public.example/a", True),
        ("http://cdn.example/a", "https://public.example/a", True),
        ("https://127.0.0.1/a", "http://127.0.0.1/a", False),
        ("http://127.0.0.1/a", "http://localhost/a", True),
    ],
)
def test_where_a_redirect_may_lead(before, after, allowed, monkeypatch):
    addresses = {"resolves-to-loopback.example": "127.0.0.1", "public.example": "8.8.8.8"}

    def getaddrinfo(host: str, port: object) -> list[object]:
        return [(0, 0, 0, "", (addresses.get(host, host), 0))]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    if allowed:
        assert redirected(before, after, "the link") == after
    else:
        with pytest.raises(DownloadError):
            redirected(before, after, "the link")


def test_a_circle_of_redirects_ends(elsewhere, tmp_path):
    elsewhere.responses = [(302, {"Location": "/a.png"}, b"")] * 20
    assert "more than 5 times" in str(refusal(f"{elsewhere.url}/a.png", tmp_path))


@pytest.mark.parametrize("location", ["http://[bad", "", "\\\\", "http://", "https://a..b/"])
def test_a_redirect_to_nowhere_is_a_download_error(elsewhere, tmp_path, location):
    elsewhere.responses = [(302, {"Location": location}, b"")]
    refusal(f"{elsewhere.url}/a.png", tmp_path)
