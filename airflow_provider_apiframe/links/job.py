"""The link "Apiframe job"."""

from __future__ import annotations

from airflow_provider_apiframe.links.base import StoredLink


class ApiframeJobLink(StoredLink):
    """Leads to where Apiframe shows the task's job, from its acceptance on.

    See :func:`airflow_provider_apiframe.api.pages.job_page`: to the vendor's console, for no
    address of a single job's page is documented; with the sandbox to its page of the job.
    """

    name = "Apiframe job"
