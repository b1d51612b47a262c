"""The sandbox's page of a job, as a browser opens it from Airflow's UI."""

from __future__ import annotations

import httpx
import pytest

BROWSER = {
    "User-Agent": "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
    "Sec-Fetch-Site": "cross-site",
    "Sec-Fetch-Mode": "navigate",
    "Sec-Fetch-Dest": "document",
}


@pytest.fixture
def page(sandbox):
    def page(job_id: str) -> httpx.Response:
        return httpx.get(f"{sandbox.url}/_sandbox/jobs/{job_id}", headers=BROWSER)

    return page


def test_it_shows_a_finished_job_with_its_image(sandbox, api, page, clock):
    job_id = api.job_id(prompt="a red mug")
    clock.advance(10)
    answer = page(job_id)
    assert answer.status_code == 200
    assert "<dd>a red mug</dd>" in answer.text
    assert "<dd>COMPLETED</dd>" in answer.text
    assert f'<img src="{sandbox.cdn_url}/images/{job_id}-1.png"' in answer.text
    assert 'http-equiv="refresh"' not in answer.text


def test_it_shows_a_job_that_has_no_prompt(sandbox, api, page, clock):
    params = {"image": "https://x.test/a.png", "content_moderation": True}
    job_id = api.accepted("background-remove", model="bria-bg-remove", briaBgRemoveParams=params)
    clock.advance(10)
    answer = page(job_id)
    assert "<dt>Prompt</dt>" not in answer.text
    assert "<dd>bria-bg-remove</dd>" in answer.text
    assert "&quot;content_moderation&quot;: true" in answer.text
    assert f'<img src="{sandbox.cdn_url}/images/{job_id}-1.png"' in answer.text


def test_it_comes_again_while_the_job_is_under_way(api, page):
    answer = page(api.job_id())
    assert "<dd>QUEUED</dd>" in answer.text
    assert '<meta http-equiv="refresh" content="2">' in answer.text
    assert "<img" not in answer.text


def test_what_a_prompt_holds_is_text(api, page):
    answer = page(api.job_id(prompt="</dd><script>alert(1)</script> {id}"))
    assert "&lt;/dd&gt;&lt;script&gt;alert(1)&lt;/script&gt; {id}" in answer.text
    assert "<script" not in answer.text
    assert answer.headers["content-security-policy"].startswith("default-src 'none'; ")
    assert "frame-ancestors 'none'" in answer.headers["content-security-policy"]


def test_a_job_that_is_not_there_is_said_so(page):
    answer = page("00000000-0000-4000-8000-000000000000")
    assert answer.status_code == 404
    assert "no such job" in answer.text
