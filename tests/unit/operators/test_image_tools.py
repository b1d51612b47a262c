from __future__ import annotations

import datetime
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import DAG, AirflowFailException, TaskDeferred, task
from PIL import Image

from airflow_provider_apiframe.exceptions import InvalidParameterError
from airflow_provider_apiframe.operators.image import ImageGenerateOperator
from airflow_provider_apiframe.operators.image_tools import (
    ImageBackgroundRemoveOperator,
    ImageEditOperator,
    ImageUpscaleOperator,
    MidjourneyActionOperator,
)

URL = "https://example.com/photo.png"
JOB = "6f2c7a0e-0000-4000-8000-000000000000"


def upscale(**arguments: Any) -> ImageUpscaleOperator:
    return ImageUpscaleOperator(
        **{"task_id": "upscale", "image": URL, "poll_interval": 0.05, **arguments}
    )


def edit(**arguments: Any) -> ImageEditOperator:
    given = {"prompt": "a cat", "mode": "inpaint", "mask": URL, **arguments}
    return ImageEditOperator(**{"task_id": "edit", "image": URL, "poll_interval": 0.05, **given})


def cut_out(**arguments: Any) -> ImageBackgroundRemoveOperator:
    return ImageBackgroundRemoveOperator(
        **{"task_id": "cut_out", "image": URL, "poll_interval": 0.05, **arguments}
    )


def act(**arguments: Any) -> MidjourneyActionOperator:
    given = {"parent_job_id": JOB, "action": "upsample", "index": 2, **arguments}
    return MidjourneyActionOperator(**{"task_id": "act", "poll_interval": 0.05, **given})


def midjourney() -> ImageGenerateOperator:
    return ImageGenerateOperator(
        task_id="grid", model="midjourney", prompt="a mug", poll_interval=0.05
    )


def dag() -> DAG:
    return DAG("a_dag", schedule=None, start_date=datetime.datetime(2026, 1, 1))


@pytest.mark.parametrize(
    ("op", "body"),
    [
        (
            upscale(params={"upscale_factor": "4"}),
            {
                "model": "topaz-image-upscale",
                "topazUpscaleParams": {"image": URL, "upscale_factor": 4},
            },
        ),
        (
            upscale(model="clarity-upscale", params={"scale_factor": 2}),
            {
                "model": "clarity-upscale",
                "clarityUpscaleParams": {"image": URL, "scale_factor": 2},
            },
        ),
        (
            edit(params={"steps": 20}),
            {
                "model": "flux-fill-pro",
                "fluxFillParams": {
                    "image": URL,
                    "prompt": "a cat",
                    "mode": "inpaint",
                    "mask": URL,
                    "steps": 20,
                },
            },
        ),
        (
            edit(mode="outpaint", mask=None, outpaint="Make square"),
            {
                "model": "flux-fill-pro",
                "fluxFillParams": {
                    "image": URL,
                    "prompt": "a cat",
                    "mode": "outpaint",
                    "outpaint": "Make square",
                },
            },
        ),
        (cut_out(), {"model": "bria-bg-remove", "briaBgRemoveParams": {"image": URL}}),
    ],
)
def test_an_operator_submits_what_its_arguments_say(op, body, connected, ti):
    result = op.execute({"ti": ti})
    assert connected.state.jobs[0].input == body
    assert (result["status"], len(result["image_urls"])) == ("COMPLETED", 1)


WRONG = [
    (upscale, {"image": "photo.png"}, "image='photo.png'"),
    (upscale, {"image": ""}, "image=''"),
    (upscale, {"image": [URL, URL]}, "takes one image"),
    (upscale, {"params": {"upscale_factor": 3}}, "upscale_factor=3"),
    (upscale, {"params": {"upscale": 2}}, "did you mean 'upscale_factor'"),
    (upscale, {"params": {"image": URL}}, "is an argument of its own"),
    (upscale, {"model": "topaz"}, "model='topaz'"),
    (edit, {"mode": "paint"}, "mode='paint'"),
    (edit, {"mask": None}, 'mode "inpaint" needs it'),
    (edit, {"outpaint": "Make square"}, 'does not go with mode "inpaint"'),
    (edit, {"prompt": ""}, "prompt=''"),
    (cut_out, {"params": {"threshold": 2}}, "threshold=2"),
    (act, {"parent_job_id": "j-1"}, "parent_job_id='j-1'"),
    (act, {"action": "reroll"}, "action='reroll'"),
    (act, {"index": 5}, "index=5"),
    (act, {"index": None}, 'action "upsample" needs it'),
    (act, {"direction": "left"}, '"upsample" does not take it'),
]


@pytest.mark.parametrize(("make", "arguments", "said"), WRONG)
def test_a_wrong_literal_is_refused_when_the_dag_is_read(make, arguments, said):
    with pytest.raises(InvalidParameterError) as caught:
        make(**arguments)
    assert str(caught.value).startswith("task '")
    assert said in str(caught.value)


@pytest.mark.parametrize(("make", "arguments", "said"), WRONG)
def test_the_same_is_refused_after_rendering_before_anything_is_sent(
    make, arguments, said, connected, ti
):
    op = make()
    for name, value in arguments.items():
        setattr(op, "model_params" if name == "params" else name, value)  # as rendering does
    with pytest.raises(AirflowFailException) as caught:
        op.execute({"ti": ti})
    assert said in str(caught.value)
    assert connected.state.requests == {}


@pytest.mark.parametrize("make", [upscale, edit, cut_out])
def test_an_image_that_is_not_there_fails_before_anything_is_paid(make, connected, ti, tmp_path):
    with pytest.raises(AirflowFailException, match=r"missing\.png"):
        make(image=f"{tmp_path}/missing.png").execute({"ti": ti})
    assert connected.state.jobs_paid == 0


def test_a_file_is_uploaded_and_a_retry_finds_its_job(connected, ti, tmp_path):
    Image.new("RGB", (8, 8)).save(tmp_path / "photo.png")
    run = SimpleNamespace(clear_number=0, start_date=datetime.datetime.now(datetime.UTC))
    ti.max_tries = 1
    results = []
    for ti.try_number in (1, 2):
        op = upscale(image=f"{tmp_path}/photo.png", retries=1)
        results.append(op.execute({"ti": ti, "dag_run": run}))
    assert [result["reused"] for result in results] == [False, True]
    assert connected.state.jobs_paid == 1


def test_the_result_of_an_earlier_task_is_an_image(connected, ti):
    photo = ImageGenerateOperator(
        task_id="photo", model="imagen-4", prompt="a mug", poll_interval=0.05
    ).execute({"ti": ti})
    upscale(image=photo).execute({"ti": ti})
    assert connected.state.jobs[-1].input["topazUpscaleParams"]["image"] == photo["image_urls"][0]


def test_a_result_with_several_images_is_refused_before_anything_is_paid(connected, ti):
    grid = midjourney().execute({"ti": ti})
    with pytest.raises(AirflowFailException, match=r"takes one image, .* has 4; name one, "):
        upscale(image=grid).execute({"ti": ti})
    assert connected.state.jobs_paid == 1
    upscale(image=grid["images"][2]).execute({"ti": ti})
    assert connected.state.jobs[-1].input["topazUpscaleParams"]["image"] == grid["image_urls"][2]


def test_an_image_that_another_task_did_not_push_fails_before_anything_is_sent(connected, ti):
    with dag():

        @task
        def load() -> str:
            return URL

        op = upscale(image=load())
    op.image = None  # as rendering does
    with pytest.raises(AirflowFailException, match="image is the output of another task"):
        op.execute({"ti": ti})
    assert connected.state.requests == {}


def test_what_is_upscaled_is_deferred_saved_and_labelled_as_all_images_are(
    connected, ti, tmp_path, event_of
):
    connected.configure(latency=0.3)
    arguments = {"save_to": f"{tmp_path}/large.{{ext}}", "deferrable": True}
    with pytest.raises(TaskDeferred) as deferred:
        upscale(**arguments).execute({"ti": ti})
    event = event_of(deferred.value.trigger)
    (image,) = upscale(**arguments).execute_complete({"ti": ti}, event)["images"]
    assert image["uri"].startswith(f"file://{tmp_path}/large.")


# Midjourney


@pytest.mark.parametrize(
    "parent",
    [lambda grid: grid["job_id"], lambda grid: grid, str],
    ids=["id", "result", "text of a result"],
)
def test_an_action_goes_on_from_a_job_of_an_earlier_task(parent, connected, ti):
    grid = midjourney().execute({"ti": ti})
    result = act(parent_job_id=parent(grid)).execute({"ti": ti})
    assert connected.state.jobs[-1].input == {
        "parentJobId": grid["job_id"],
        "action": "upsample",
        "index": 2,
    }
    assert len(result["image_urls"]) == 1


def test_a_variation_has_four_images(connected, ti):
    grid = midjourney().execute({"ti": ti})
    op = act(parent_job_id=grid, action="variation", index=4)
    assert len(op.execute({"ti": ti})["image_urls"]) == 4


@pytest.mark.parametrize(
    ("arguments", "status"),
    [
        ({"parent_job_id": JOB}, 404),
        ({"action": "pan", "index": None, "direction": "left"}, 409),
    ],
)
def test_an_action_that_the_parent_job_does_not_take_fails_without_retry_and_is_not_paid(
    arguments, status, connected, ti
):
    grid = midjourney().execute({"ti": ti})
    with pytest.raises(AirflowFailException, match="nothing was paid") as caught:
        act(**{"parent_job_id": grid["job_id"], **arguments}).execute({"ti": ti})
    assert f"returned {status}" in str(caught.value)
    assert "upsample and variation from one with four images" in str(caught.value)
    assert "idempotency key" not in str(caught.value)
    assert connected.state.jobs_paid == 1


# Mapped


@pytest.mark.parametrize(
    ("image", "label"),
    [
        ("https://example.com/a/photo.png?token=secret", "photo.png"),
        ("s3://bucket/photos/shoe.png", "shoe.png"),
        ({"job_id": "j-1", "prompt": "a mug", "image_urls": [URL]}, "a mug"),
        ({"job_id": "j-1", "prompt": None, "image_urls": [URL]}, "j-1"),
        ({"url": URL}, ""),
        (None, "None"),
        ([URL], "photo.png&#39;]"),
    ],
)
def test_a_mapped_task_is_labelled_with_its_image_whatever_that_is(image, label):
    op = upscale()
    op.image = image
    environment = dag().get_template_env()
    environment.autoescape = True
    rendered = environment.from_string(ImageUpscaleOperator.map_index_label).render(task=op)
    assert rendered == label


@pytest.mark.parametrize("prompt", [None, 7, ["a"]])
def test_a_label_hides_no_error(prompt):
    op = edit()
    op.prompt = prompt
    label = dag().get_template_env().from_string(ImageEditOperator.map_index_label)
    assert label.render(task=op) == ""


@pytest.mark.parametrize(
    ("arguments", "label"),
    [
        ({}, "upsample 2"),
        ({"action": "pan", "direction": "left", "index": None}, "pan left"),
        ({"action": "outpaint", "zoom_ratio": 1.5, "index": None}, "outpaint 1.5"),
    ],
)
def test_a_mapped_action_is_labelled_with_what_it_does(arguments, label):
    template = dag().get_template_env().from_string(MidjourneyActionOperator.map_index_label)
    assert template.render(task=act(**arguments)) == label


def test_images_are_mapped_over():
    with dag(), pytest.raises(InvalidParameterError, match=r"image='b\.png'"):
        ImageUpscaleOperator.partial(task_id="upscale", params={"upscale_factor": 2}).expand(
            image=[URL, "b.png"]
        )


@pytest.mark.parametrize("prompt", ["2026", "['a mug']", "True", "None", "a mug"])
@pytest.mark.parametrize("operator", [ImageEditOperator, ImageUpscaleOperator])
def test_a_label_is_text_also_where_the_dag_renders_native_objects(operator, prompt):
    native = DAG("a_dag", schedule=None, render_template_as_native_obj=True)
    template = native.get_template_env().from_string(operator.map_index_label)
    task = SimpleNamespace(prompt=prompt, image={"prompt": prompt})
    rendered = template.render(task=task, dag=native)
    assert isinstance(rendered, str)
    assert rendered.strip() == prompt
