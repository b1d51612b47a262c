from __future__ import annotations

import logging
from urllib.parse import parse_qs, urlsplit
from uuid import UUID

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException, TaskDeferred

from airflow_provider_apiframe.api.pages import CONSOLE
from airflow_provider_apiframe.hooks import public_urls
from airflow_provider_apiframe.hooks.apiframe import ApiframeHook
from airflow_provider_apiframe.links import base, image
from airflow_provider_apiframe.links.image import ImageLink
from airflow_provider_apiframe.links.job import ApiframeJobLink
from airflow_provider_apiframe.operators.flux import FluxGenerateOperator
from airflow_provider_apiframe.polling import blocking
from airflow_provider_apiframe.sensors.job import ApiframeJobSensor
from airflow_provider_apiframe.version_compat import has_external_views

JOB, IMAGE = "_link_ApiframeJobLink", "_link_ImageLink"


def operator(**arguments) -> FluxGenerateOperator:
    return FluxGenerateOperator(
        **{"task_id": "poster", "prompt": "a poster", "poll_interval": 0.05, **arguments}
    )


@pytest.fixture
def saved(connected, ti, tmp_path):
    """Run a task that saves, and return where its image link leads."""

    def saved(**arguments) -> str:
        task = operator(save_to=f"{tmp_path}/", **arguments)
        task.execute({"ti": ti})
        return str(ti.xcoms[IMAGE])

    public_urls._usable_addresses.cache_clear()
    return saved


def test_the_job_link_is_there_while_the_task_polls(connected, ti, monkeypatch):
    pushed = []
    real = blocking.Schedule.next_poll

    def next_poll(*args, **options):
        pushed.append(dict(ti.xcoms))
        return real(*args, **options)

    monkeypatch.setattr(blocking.Schedule, "next_poll", next_poll)
    operator().execute({"ti": ti})
    job_id = connected.state.jobs[0].id
    assert pushed[0] == {
        "job_id": job_id,
        JOB: f"{connected.url}/_sandbox/jobs/{job_id}",
    }


def test_the_job_link_is_there_while_the_task_is_deferred(connected, ti):
    connected.configure(latency=3600)
    with pytest.raises(TaskDeferred):
        operator(deferrable=True).execute({"ti": ti})
    assert ti.xcoms[JOB] == f"{connected.url}/_sandbox/jobs/{ti.xcoms['job_id']}"
    assert IMAGE not in ti.xcoms


def test_with_apiframe_itself_it_leads_to_the_console(connect, ti, monkeypatch):
    connect(password="afk_a_key")
    monkeypatch.setattr(
        ApiframeHook,
        "get_job",
        lambda self, job_id, retry: blocking.Job(id=job_id, status="QUEUED"),
    )
    ApiframeJobSensor(task_id="collect", job_id="6f2c").poke({"ti": ti})
    assert ti.xcoms[JOB] == CONSOLE


def test_the_sensor_has_both_links(connected, ti):
    job_id = ApiframeHook().generate_image(prompt="a poster").job_id
    sensor = ApiframeJobSensor(task_id="collect", job_id=job_id, poke_interval=0.05)
    result = sensor.execute({"ti": ti})
    assert ti.xcoms[JOB] == f"{connected.url}/_sandbox/jobs/{job_id}"
    assert ti.xcoms[IMAGE] == result["image_urls"][0]


def test_the_image_link_of_what_is_not_saved_is_the_vendors(connected, ti):
    result = operator().execute({"ti": ti})
    assert ti.xcoms[IMAGE] == result["image_urls"][0]


def test_the_image_link_of_a_saved_image_is_its_public_address(saved, ti, monkeypatch, tmp_path):
    monkeypatch.setenv(
        "AIRFLOW__APIFRAME__PUBLIC_URLS", f'{{"file://{tmp_path}": "https://cdn.example.com/a"}}'
    )
    link = saved()
    assert link.startswith("https://cdn.example.com/a/a_dag/a_run/poster/")
    assert link.endswith("-1.png")


@pytest.mark.parametrize(
    ("base_url", "path"),
    [
        ("", "/apiframe/gallery"),
        ("http://localhost:8080", "/apiframe/gallery"),
        ("https://example.com/airflow/", "/airflow/apiframe/gallery"),
        ("https://[example.com", "/apiframe/gallery"),
    ],
)
def test_without_a_public_address_it_is_the_gallerys_view(saved, ti, monkeypatch, base_url, path):
    monkeypatch.setattr(image, "has_external_views", lambda: True)
    monkeypatch.setenv("AIRFLOW__API__BASE_URL", base_url)
    ti.run_id, ti.map_index = "manual__2026-11-26T10:00:00+00:00 again", 3
    link = urlsplit(saved())
    assert (link.scheme, link.netloc, link.path) == ("", "", path)
    assert "+" not in link.query  # the page takes one for itself, not for a space
    assert parse_qs(link.query) == {
        "dag_id": ["a_dag"],
        "run_id": ["manual__2026-11-26T10:00:00+00:00 again"],
        "task_id": ["poster"],
        "map_index": ["3"],
        "n": ["1"],
    }


@pytest.mark.parametrize(
    ("region_id", "named"),
    [
        (UUID(int=7), {"region_id": [str(UUID(int=7))], "region_index": ["2"]}),
        (UUID(int=0), {}),  # in no loop
        (None, {}),
    ],
)
def test_in_a_loop_it_is_the_view_of_that_iteration(saved, ti, monkeypatch, region_id, named):
    monkeypatch.setattr(image, "has_external_views", lambda: True)
    ti.region_id, ti.region_index = region_id, 2
    query = parse_qs(urlsplit(saved()).query)
    assert {name: query[name] for name in query if name.startswith("region")} == named


def test_where_airflow_shows_no_gallery_it_is_the_vendors(saved, connected, monkeypatch):
    monkeypatch.setattr(image, "has_external_views", lambda: False)
    assert saved() == f"{connected.cdn_url}/images/{connected.state.jobs[0].id}-1.png"


def test_the_gallery_is_looked_for_by_what_plugins_can_do():
    from airflow.plugins_manager import AirflowPlugin

    assert has_external_views() is hasattr(AirflowPlugin, "external_views")


def test_without_xcoms_the_task_stores_no_link_itself(connected, ti):
    task = operator(do_xcom_push=False)
    result = task.execute({"ti": ti})
    assert ti.xcoms == {}
    # Airflow 3 asks for it when the task ends.
    assert ImageLink().get_link(task, ti_key=ti) == result["image_urls"][0]
    assert ApiframeJobLink().get_link(task, ti_key=ti).startswith(connected.url)


@pytest.mark.parametrize("arguments", [{}, {"deferrable": True}])
def test_a_link_that_cannot_be_stored_costs_no_image(connected, ti, arguments, caplog, monkeypatch):
    def refused(*args: object) -> None:
        raise RuntimeError("the API server is away")

    monkeypatch.setattr(base, "push_link", refused)
    caplog.set_level(logging.WARNING)
    task = operator(**arguments)
    try:
        assert task.execute({"ti": ti})["status"] == "COMPLETED"
    except TaskDeferred:
        assert task.deferrable
    assert "The link 'Apiframe job' could not be stored: the API server is away" in caplog.text


@pytest.mark.parametrize("stored", ["https://example.com/1.png", None, {"a": 1}])
def test_a_process_that_resumes_finds_what_the_one_before_it_stored(ti, monkeypatch, stored):
    monkeypatch.setattr(base, "stored_link", lambda ti_key, key: stored)
    expected = stored if isinstance(stored, str) else ""
    assert ApiframeJobLink().get_link(operator(), ti_key=ti) == expected


def test_a_link_that_cannot_be_read_is_empty(ti, monkeypatch, caplog):
    """Airflow 3.0 calls it unguarded, after the task."""

    def away(*args: object) -> None:
        raise RuntimeError("the API server is away")

    monkeypatch.setattr(base, "stored_link", away)
    assert ImageLink().get_link(operator(), ti_key=ti) == ""
    assert "The link 'Image' could not be read: the API server is away" in caplog.text


def test_the_link_of_a_job_that_failed_stays(connected, ti):
    with pytest.raises(AirflowFailException):
        operator(prompt="a poster [fail: NSFW content detected]").execute({"ti": ti})
    assert ti.xcoms[JOB].startswith(connected.url)
    assert IMAGE not in ti.xcoms


def test_another_job_of_the_same_task_in_the_same_process_has_links_of_its_own(connected, ti):
    task = operator()
    task.execute({"ti": ti})
    first = dict(ti.xcoms)
    ti.max_tries, ti.try_number = 1, 2  # as after a clear
    task.execute({"ti": ti})
    second = connected.state.jobs[-1]
    assert ti.xcoms[JOB] == f"{connected.url}/_sandbox/jobs/{second.id}" != first[JOB]
    assert second.id in ti.xcoms[IMAGE] != first[IMAGE]


def test_mapped_tasks_have_the_links():
    mapped = FluxGenerateOperator.partial(task_id="posters").expand(prompt=["a", "b"])
    assert [link.name for link in mapped.operator_extra_links] == ["Image", "Apiframe job"]
