"""What lineage and logs hear of an image: where it is, and no secret."""

from __future__ import annotations

import logging
from types import SimpleNamespace

import pytest
from airflow.providers.common.compat.lineage import hook as lineage

from airflow_provider_apiframe.api.models import Job
from airflow_provider_apiframe.delivery.assets import report_saved_images
from airflow_provider_apiframe.delivery.deliver import deliver
from airflow_provider_apiframe.delivery.result import ImageResult, build_result

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
    image = ImageResult(
        url=LINK,
        uri="s3://bucket/poster.png",
        content_type="image/png",
        bytes=1,
        width=1,
        height=1,
        sha256="0",
    )
    task, result = SimpleNamespace(outlets=[]), build_result(JOB, images=[image])
    report_saved_images(task, {}, None, result, inputs=[reference])
    assert told == [("in", shown), ("out", "s3://bucket/poster.png")]


def test_the_log_names_a_link_without_its_signature(caplog):
    with caplog.at_level(logging.INFO):
        assert deliver(JOB)["image_urls"] == [f"{LINK}?signature=secret"]
    assert "https://cdn.example.com/a.png" in caplog.text
    assert "secret" not in caplog.text
    assert "word@" not in caplog.text
