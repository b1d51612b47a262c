"""Pages for people: where somebody can look at a job."""

from __future__ import annotations

from urllib.parse import quote, urlsplit

from airflow_provider_apiframe.api.settings import is_loopback

CONSOLE = "https://console.apiframe.ai"
"""Where Apiframe's users sign in, and find their jobs, keys and credits."""


def job_page(base_url: str, job_id: str) -> str:
    """Return the page that shows a job best.

    The vendor documents no address of a single job's page, so this leads to the console. The local
    sandbox has a page for each job. It is taken for one where the API is on this machine or speaks
    plain http, which Apiframe itself never does; a proxy with https leads to Apiframe.

    :param base_url: of the API, as in ``ClientSettings``.
    """
    parts = urlsplit(base_url)
    if parts.scheme == "http" or is_loopback(parts.hostname):
        return f"{base_url}/_sandbox/jobs/{quote(job_id, safe='')}"
    return CONSOLE
