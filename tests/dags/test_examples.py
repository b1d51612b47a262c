from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from types import SimpleNamespace

import pytest
from airflow.providers.common.compat.sdk import AirflowException
from dag_runs import dag_bag
from PIL import Image
from reviewer import Reviewer, has_forms_in_test_runs


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


def test_a_campaign_makes_every_product_for_every_channel_and_writes_down_what_it_made(
    connected, run_dag, tmp_path
):
    campaign = {
        "headline": "NEW <IN>",
        "products": ["mug", "cap"],
        "channels": {"story": "9:16", "feed": "1:1"},
        "output": f"{tmp_path}/",
    }
    run = run_dag("example_marketing_assets", conf=campaign)
    assert run.states("images") == run.states("image_variants") == ["success"] * 4
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
    names = ["mug-story", "mug-feed", "cap-story", "cap-feed"]
    assert [entry["name"] for entry in manifest["images"]] == names
    job_ids = {entry["job_id"] for entry in manifest["images"]}
    assert job_ids == {job.id for job in connected.state.jobs}
    for entry in manifest["images"]:
        content = (folder / entry["file"]).read_bytes()
        assert hashlib.sha256(content).hexdigest() == entry["sha256"]
        assert b"trainedAlgorithmicMedia" in content
        assert '"NEW <IN>"' in entry["prompt"]
        with Image.open(folder / entry["variants"]["thumbnail"]) as thumbnail:
            assert (thumbnail.size, thumbnail.format) == ((320, 320), "JPEG")
        web = (folder / entry["variants"]["web"]).read_bytes()
        assert web[8:12] == b"WEBP"
        assert b"trainedAlgorithmicMedia" in web
    page = (folder / "contact-sheet.html").read_text()
    assert page.count("<img") == 4
    assert "NEW &lt;IN&gt;" in page
    assert "<IN>" not in page
    files = {file.name for file in folder.iterdir()}
    variants = {f"{name}-{variant}" for name in names for variant in ("web.webp", "thumbnail.jpg")}
    assert files == {f"{name}.png" for name in names} | variants | {
        "manifest.json",
        "contact-sheet.html",
    }


def test_one_refused_image_does_not_lose_the_others(connected, run_dag, tmp_path):
    campaign = {
        "products": ["mug", "cap [fail: NSFW content]"],
        "channels": {"feed": "1:1"},
        "output": f"{tmp_path}/",
    }
    run = run_dag("example_marketing_assets", conf=campaign)
    assert run.states("images") == ["success", "failed"]
    assert run.states("collect") == ["success"]
    manifest = json.loads(next(tmp_path.glob("*/manifest.json")).read_text())
    assert [entry["file"] for entry in manifest["images"]] == ["mug-feed.png"]
    assert {*manifest["images"][0]["variants"]} == {"web", "thumbnail"}
    assert manifest["refused"] == ["cap-fail-nsfw-content-feed"]


def test_a_product_photo_is_put_into_scenes(connected, run_dag, tmp_path):
    run = run_dag("example_image_editing", conf={"output": f"{tmp_path}/"})
    assert run.states("scenes") == ["success"] * 3
    (folder,) = tmp_path.iterdir()
    assert run.xcoms("publish") == [f"file://{folder}/scene-{number}.png" for number in range(3)]
    scenes = [job for job in connected.state.jobs if "The same product" in job.input["prompt"]]
    assert len(scenes) == 3
    assert all(len(job.input["fluxParams"]["input_images"]) == 1 for job in scenes)
    assert connected.state.jobs_paid == 4


def test_a_function_makes_a_poster_of_each_product(connected, run_dag, tmp_path):
    run = run_dag("example_taskflow", conf={"output": f"{tmp_path}/"})
    (folder,) = tmp_path.iterdir()
    assert run.xcoms("publish") == [f"file://{folder}/{sku}.png" for sku in ("M-1", "C-2")]
    assert {
        (job.input["prompt"], job.input["fluxParams"]["seed"]) for job in connected.state.jobs
    } == {
        ("A poster of a red mug, bold type, vibrant colors", 7),
        ("A poster of a blue cap, bold type, vibrant colors", 11),
    }


def test_several_models_and_tools_work_on_one_product(connected, run_dag, tmp_path):
    run = run_dag("example_image_models", conf={"output": f"{tmp_path}/", "product": "a mug"})
    (folder,) = tmp_path.iterdir()
    assert len(run.xcom("sketches")["image_urls"]) == 4
    assert [uri.rpartition("/")[2].partition(".")[0] for uri in run.xcom("publish")] == [
        "sketch",
        "cut-out",
        "stage",
    ]
    assert all((folder / uri.rpartition("/")[2]).stat().st_size for uri in run.xcom("publish"))
    assert connected.state.jobs_paid == 6


def test_a_dag_that_waits_for_posters_finds_them_by_their_events(
    assets, connected, run_dag, tmp_path
):
    run = run_dag(
        "example_new_poster", stem="example_on_new_asset", conf={"output": f"{tmp_path}/"}
    )
    (image,) = run.xcom("poster")["images"]
    extra = {"uri": image["uri"], "seed": "11"}
    look = run.task_of("example_on_new_asset", "look")
    events = {"apiframe-posters": [SimpleNamespace(extra=extra)]}
    assert look.python_callable(triggering_asset_events=events) == [
        {**extra, "bytes": image["bytes"]}
    ]


@pytest.mark.parametrize("ratio", ["9x16", "0:1", "", 1])
def test_the_form_refuses_a_ratio_that_is_none(ratio, trigger_form):
    trigger_form("example_marketing_assets", {"channels": {"feed": "9:16"}})
    with pytest.raises(AirflowException, match="channels"):
        trigger_form("example_marketing_assets", {"channels": {"feed": ratio}})


def test_an_image_goes_on_once_a_person_has_approved_it(connected, run_dag, tmp_path):
    if not has_forms_in_test_runs():
        pytest.skip("Airflow 3.3 and newer have forms in dag.test()")
    with Reviewer([("Image 3", {})]) as reviewer:
        run = run_dag("example_approved_campaign", conf={"output": f"{tmp_path}/"})
    (form,) = reviewer.forms
    said = ("By OCR: says ` SUMMER SALE `", "The lettering was not read")
    assert [form["body"].count(text) for text in said] in ([4, 0], [0, 1])
    chosen = run.xcom("review_images.chosen")
    assert run.xcom("publish") == chosen["images"][0]["uri"]
    assert chosen["image"] == 3
    assert connected.state.jobs_paid == 4


def test_the_approved_campaign_is_no_import_error_where_airflow_has_no_forms():
    bag = dag_bag(Path(os.environ["AIRFLOW_HOME"]) / "dags" / "example_approved_campaign.py")
    assert not bag.import_errors
