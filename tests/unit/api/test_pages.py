from __future__ import annotations

import httpx
import pytest

from airflow_provider_apiframe.api.pages import job_page
from airflow_provider_apiframe.api.settings import DEFAULT_BASE_URL


@pytest.mark.parametrize("base_url", [DEFAULT_BASE_URL, "https://apiframe-proxy.example.com"])
def test_a_job_of_apiframe_is_in_its_console(base_url):
    assert job_page(base_url, "6f2c") == "https://console.apiframe.ai"


@pytest.mark.parametrize(
    "base_url", ["http://127.0.0.1:8765", "https://localhost:8765", "http://sandbox:8765"]
)
def test_a_job_of_the_sandbox_has_a_page_there(base_url):
    assert job_page(base_url, "6f2c") == f"{base_url}/_sandbox/jobs/6f2c"


def test_an_id_of_a_hostile_server_leads_nowhere_else():
    page = job_page("http://127.0.0.1:8765", "../faults?a=1#b")
    assert page == "http://127.0.0.1:8765/_sandbox/jobs/..%2Ffaults%3Fa%3D1%23b"


def test_the_sandbox_has_that_page(sandbox):
    answer = httpx.get(job_page(sandbox.url, "00000000-0000-4000-8000-000000000000"))
    assert "no such job" in answer.text
