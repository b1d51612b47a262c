"""The CDN: another host, links that end, and images that come late, in part or not at all."""

from __future__ import annotations

import asyncio
import time
from urllib.parse import urlsplit

import httpx
import pytest

from airflow_provider_apiframe.sandbox.state.links import cdn_url
from airflow_provider_apiframe.sandbox.web.cdn import Transfer


def links_of(api, clock, prompt="a poster", **params):
    job_id = api.job_id(prompt, fluxParams={"width": 256, "height": 256, **params})
    clock.advance(10)
    return job_id, api.job(job_id)["result"]["images"]


@pytest.mark.parametrize(
    ("api_url", "expected"),
    [
        ("http://127.0.0.1:8765", "http://localhost:8765"),
        ("http://localhost:8765", "http://127.0.0.1:8765"),
        ("http://[::1]:8765", "http://localhost:8765"),
        ("http://localhost", "http://127.0.0.1"),
        ("http://192.168.1.7:8765", "http://192.168.1.7:8765"),
    ],
)
def test_the_cdn_goes_by_another_name_of_this_machine(api_url, expected):
    assert cdn_url(api_url) == expected


def test_links_lead_to_another_host_than_the_api(sandbox, api, clock):
    _, [link] = links_of(api, clock)
    assert urlsplit(link).hostname != urlsplit(sandbox.url).hostname
    assert api.download(link).status_code == 200


@pytest.mark.parametrize("header", ["X-API-Key", "Authorization"])
def test_a_download_that_carries_a_key_is_refused(sandbox, api, clock, header):
    _, [link] = links_of(api, clock)
    answer = api.download(link, **{header: sandbox.api_key})
    assert answer.status_code == 400
    assert "takes no API key" in answer.json()["error"]
    assert sandbox.api_key not in answer.text


def test_a_link_dies_and_reading_the_job_gives_a_fresh_one(serve, connect, clock):
    api = connect(serve(link_lifetime=60))
    job_id, [link] = links_of(api, clock)
    clock.advance(59)
    assert api.download(link).status_code == 200
    clock.advance(1)
    assert api.download(link).status_code == 403
    [fresh] = api.job(job_id)["result"]["images"]
    assert fresh != link
    assert api.download(fresh).status_code == 200
    [listed] = api.jobs()["jobs"][0]["result"]["images"]
    assert api.download(listed).status_code == 200


@pytest.mark.parametrize("change", ["", "expires=9999999999", "expires=nan", "signature=0"])
def test_a_link_with_another_query_is_refused(serve, connect, clock, change):
    api = connect(serve(link_lifetime=60))
    _, [link] = links_of(api, clock)
    bare, _, query = link.partition("?")
    name = change.partition("=")[0]
    kept = [pair for pair in query.split("&") if change and not pair.startswith(name)]
    assert api.download(f"{bare}?{'&'.join([*kept, change])}").status_code == 403


def test_a_link_is_good_for_its_own_image_only(serve, connect, clock):
    api = connect(serve(link_lifetime=60))
    _, [one] = links_of(api, clock)
    _, [other] = links_of(api, clock)
    mixed = f"{one.partition('?')[0]}?{other.partition('?')[2]}"
    assert api.download(mixed).status_code == 403


def test_a_fresh_link_does_not_bring_an_expired_image_back(serve, connect, clock):
    api = connect(serve(link_lifetime=60, retention=100))
    job_id, _ = links_of(api, clock)
    clock.advance(100)
    job = api.job(job_id)
    assert job["expired"] is True
    assert api.download(job["result"]["images"][0]).status_code == 404


def test_a_prompt_can_ask_for_several_images_each_of_its_own(api, clock):
    _, links = links_of(api, clock, "a cat [images: 4]")
    files = [api.download(link).content for link in links]
    assert len(set(links)) == len(set(files)) == 4
    assert links_of(api, clock, "a cat")[1][0].endswith("-1.png")


@pytest.mark.parametrize("number", ["0", "11", "many", "-1", "1.5"])
def test_a_number_of_images_that_makes_no_sense_is_ignored(api, clock, number):
    assert len(links_of(api, clock, f"a cat [images: {number}]")[1]) == 1


def test_forms_with_one_link_show_the_first_image(serve, connect, clock):
    api = connect(serve(result_form="url"))
    job_id = api.job_id("a cat [images: 2]")
    clock.advance(10)
    assert api.job(job_id)["result"].endswith(f"{job_id}-1.png")


def test_a_share_of_downloads_is_answered_503(serve, connect, clock):
    sandbox = serve(cdn_errors=1.0)
    api = connect(sandbox)
    job_id, [link] = links_of(api, clock)
    assert api.download(link).status_code == 503
    assert api.job(job_id)["status"] == "COMPLETED"
    sandbox.configure(cdn_errors=0)
    assert api.download(link).status_code == 200


def test_a_share_of_downloads_is_cut_half_way(serve, connect, clock):
    sandbox = serve(cdn_cut=1.0)
    api = connect(sandbox)
    _, [link] = links_of(api, clock)
    size = int(api.download(link, "HEAD").headers["content-length"])
    with pytest.raises(httpx.RemoteProtocolError, match=f"received {size // 2} bytes"):
        api.download(link)
    sandbox.configure(cdn_cut=0)
    assert len(api.download(link).content) == size


def test_a_download_can_be_slow(serve, connect, clock):
    sandbox = serve()
    api = connect(sandbox)
    _, [link] = links_of(api, clock)
    whole = api.download(link).content
    sandbox.configure(cdn_rate=5 * len(whole))
    began = time.monotonic()
    assert api.download(link).content == whole
    assert time.monotonic() - began >= 0.15


def test_a_slow_download_ends_with_its_client():
    sent = []

    async def receive():
        return {"type": "http.disconnect"}

    async def send(message):
        sent.append(message)

    asyncio.run(Transfer(b"x" * 1000, "image/png", rate=20, cut=False)({}, receive, send))
    assert [message.get("body") for message in sent] == [None, b"x"]


def test_a_page_in_place_of_an_image_can_be_scripted(sandbox, api, clock):
    _, [link] = links_of(api, clock)
    sandbox.faults.next("image", body="<html>Sign in</html>")
    answer = api.download(link)
    assert (answer.status_code, answer.headers["content-type"], answer.text) == (
        200,
        "text/html; charset=utf-8",
        "<html>Sign in</html>",
    )


def test_a_length_that_never_comes_can_be_scripted(sandbox, api, clock):
    _, [link] = links_of(api, clock)
    announced = {"Content-Type": "image/png", "Content-Length": str(10 * 1024**3)}
    sandbox.faults.next("image", body="a few bytes", headers=announced, cut_after=5)
    with httpx.stream("GET", link) as answer:
        assert answer.headers["content-length"] == announced["Content-Length"]
        with pytest.raises(httpx.RemoteProtocolError, match="received 5 bytes"):
            answer.read()


def test_an_uploaded_file_lies_on_the_cdn_too(sandbox, api):
    file = b"\x89PNG\r\n\x1a\n"
    url = api.post("/v2/uploads", files={"file": file}).json()["url"]
    assert url.startswith(sandbox.cdn_url)
    assert api.download(url).content == file
    assert api.download(url, **{"X-API-Key": sandbox.api_key}).status_code == 400
