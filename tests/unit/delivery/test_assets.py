"""What lineage and logs hear of an image: where it is, and no secret."""

from __future__ import annotations

import logging
from types import SimpleNamespace

import pytest
from airflow.providers.common.compat.lineage import hook as lineage
from airflow.providers.common.compat.sdk import AssetAlias

from airflow_provider_apiframe.api.models import Job
from airflow_provider_apiframe.delivery.assets import report_saved_images
from airflow_provider_apiframe.delivery.deliver import deliver
from airflow_provider_apiframe.delivery.result import (
    ImageJobResult,
    ImageResult,
    build_result,
)

LINK = "https://user:word@cdn.example.com/a.png"
JOB = Job(id="j", status="COMPLETED", result={"images": [f"{LINK}?signature=secret"]})


@pytest.fixture
def told(monkeypatch) -> list[tuple[str, str]]:
    """What Airflow's collector of lineage is told; it listens only where a plugin reads it."""
    said: list[tuple[str, str]] = []
    collector = SimpleNamespace(
        add_input_asset=lambda context, uri: said.append(("in", uri)),
        add_output_asset=lambda context, uri: said.append(("out", uri)),
    )
    monkeypatch.setattr(lineage, "get_hook_lineage_collector", lambda: collector)
    return said


def saved_as(uri: str) -> ImageJobResult:
    image = ImageResult(
        url=LINK,
        uri=uri,
        content_type="image/png",
        bytes=1,
        width=1,
        height=1,
        sha256="0",
    )
    return build_result(JOB, images=[image])


@pytest.mark.parametrize(
    ("reference", "shown"),
    [
        (f"{LINK}?signature=secret#x", "https://cdn.example.com/a.png"),
        ("s3://my_aws@bucket/logo.png", "s3://bucket/logo.png"),
        ("/data/logo.png", "file:///data/logo.png"),
        ("file:///data/logo.png", "file:///data/logo.png"),
    ],
)
def test_lineage_hears_of_reference_images_without_queries_and_connections(reference, shown, told):
    report_saved_images(
        SimpleNamespace(outlets=[]),
        {},
        None,
        saved_as("s3://bucket/poster.png"),
        inputs=[reference],
    )
    assert told == [("in", shown), ("out", "s3://bucket/poster.png")]


class OutletEvents:
    """Airflow's, as far as used: those of all outlets; not all outlets can be hashed."""

    def __init__(self, add) -> None:
        self.add = add

    def __getitem__(self, outlet) -> OutletEvents:
        return self


def test_assets_and_lineage_are_told_of_other_letters_in_ascii(told):
    added = []
    events = OutletEvents(lambda asset, extra: added.append((asset.uri, extra["uri"])))
    result, encoded = saved_as("s3://b/é (1)/a.png"), "s3://b/%C3%A9 (1)/a.png"
    task = SimpleNamespace(outlets=[AssetAlias("latest")])
    report_saved_images(task, {"outlet_events": events}, None, result)
    assert added == [(encoded, "s3://b/é (1)/a.png")]
    assert told == [("out", encoded)]


def test_what_airflow_refuses_to_hear_of_does_not_fail_a_task_that_paid(told, caplog):
    uri = "s3://b/" + "x" * 3500 + "/a.png"
    events = OutletEvents(lambda asset, extra: 1 / 0)
    task = SimpleNamespace(outlets=[AssetAlias("latest")])
    report_saved_images(task, {"outlet_events": events}, None, saved_as(uri))
    assert "does not say what was saved" in caplog.text
    assert told == [("out", uri)]


def test_the_log_names_a_link_without_its_signature(caplog):
    with caplog.at_level(logging.INFO):
        assert deliver(JOB)["image_urls"] == [f"{LINK}?signature=secret"]
    assert "https://cdn.example.com/a.png" in caplog.text
    assert "secret" not in caplog.text
    assert "word@" not in caplog.text
