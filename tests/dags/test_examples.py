from __future__ import annotations

import hashlib
import json

import pytest
from airflow.providers.common.compat.sdk import AirflowException


def test_the_poster_is_made_and_its_link_reaches_the_next_task(connected, run_dag):
    run = run_dag("example_flux_poster", conf={"headline": "WINTER SALE"})
    (job,) = connected.state.jobs
    assert job.input == {
        "prompt": 'A poster with bold text reading "WINTER SALE", modern design, vibrant colors',
        "model": "flux-2-flex",
        "fluxParams": {
            "aspect_ratio": "9:16",
            "resolution": "1 MP",
            "steps": 30,
            "guidance": 4.5,
            "output_format": "png",
        },
    }
    assert run.states("poster") == run.states("publish") == ["success"]
    assert run.xcom("poster", "job_id") == run.xcom("poster")["job_id"] == job.id
    assert (
        run.xcom("poster", "image_urls")
        == run.xcom("poster")["image_urls"]
        == [f"{connected.cdn_url}/images/{job.id}-1.png"]
    )


def test_a_job_is_submitted_then_collected_and_used(connected, run_dag):
    run = run_dag("example_submit_then_collect")
    assert [run.states(task) for task in ("submit", "collect", "use")] == [["success"]] * 3
    assert run.xcom("submit")["status"] == "QUEUED"
    assert (
        run.xcom("collect")["job_id"] == run.xcom("submit")["job_id"] == connected.state.jobs[0].id
    )
    assert run.xcom("collect", "image_urls") == [
        f"{connected.cdn_url}/images/{connected.state.jobs[0].id}-1.jpg"
    ]


def test_a_campaign_makes_every_product_for_every_channel_and_one_task_gets_them_all(
    connected, run_dag, tmp_path
):
    campaign = {
        "headline": "NEW IN",
        "products": ["mug", "cap"],
        "channels": {"story": "9:16", "feed": "1:1"},
        "output_dir": str(tmp_path),
    }
    run = run_dag("example_marketing_assets", conf=campaign)
    assert run.states("images") == ["success"] * 4
    assert connected.state.jobs_paid == 4
    assert [label[:16] for label in run.labels("images")] == [
        "Mug for the stor",
        "Mug for the feed",
        "Cap for the stor",
        "Cap for the feed",
    ]
    (folder,) = tmp_path.iterdir()  # of the run
    manifest = json.loads((folder / "manifest.json").read_text())
    assert manifest["refused"] == []
    assert [entry["file"] for entry in manifest["images"]] == [
        "mug-story.png",
        "mug-feed.png",
        "cap-story.png",
        "cap-feed.png",
    ]
    job_ids = {entry["job_id"] for entry in manifest["images"]}
    assert job_ids == {job.id for job in connected.state.jobs}
    for entry in manifest["images"]:
        content = (folder / entry["file"]).read_bytes()
        assert hashlib.sha256(content).hexdigest() == entry["sha256"]
        assert '"NEW IN"' in entry["prompt"]


def test_one_refused_image_does_not_lose_the_others(connected, run_dag, tmp_path):
    campaign = {
        "products": ["mug", "cap [fail: NSFW content]"],
        "channels": {"feed": "1:1"},
        "output_dir": str(tmp_path),
    }
    run = run_dag("example_marketing_assets", conf=campaign)
    assert run.states("images") == ["success", "failed"]
    assert run.states("collect") == ["success"]
    manifest = json.loads(next(tmp_path.glob("*/manifest.json")).read_text())
    assert [entry["file"] for entry in manifest["images"]] == ["mug-feed.png"]
    assert manifest["refused"] == ["cap-fail-nsfw-content-feed"]


@pytest.mark.parametrize("ratio", ["9x16", "0:1", "", 1])
def test_the_form_refuses_a_ratio_that_is_none(ratio, trigger_form):
    trigger_form("example_marketing_assets", {"channels": {"feed": "9:16"}})
    with pytest.raises(AirflowException, match="channels"):
        trigger_form("example_marketing_assets", {"channels": {"feed": ratio}})
