"""Every model and every tool, from the hook to the job that the sandbox makes of it."""

from __future__ import annotations

import base64
import io
from typing import Any

import pytest
from PIL import Image

from airflow_provider_apiframe.api.errors import (
    InvalidRequestError,
    ParentJobError,
    UnreadableFileError,
)
from airflow_provider_apiframe.api.models import Job
from airflow_provider_apiframe.api.params.catalog import (
    BACKGROUND_MODELS,
    MODELS,
    TOOLS,
    UPSCALE_MODELS,
    Model,
)
from airflow_provider_apiframe.api.params.families import FAMILIES, params_class
from airflow_provider_apiframe.api.validation import fields_of
from airflow_provider_apiframe.hooks.apiframe import ApiframeHook

LORA = "0b1c2d3e-0000-4000-8000-000000000000"


@pytest.fixture
def hook(connected):
    return ApiframeHook()


@pytest.fixture
def file(tmp_path):
    """A local image."""
    path = tmp_path / "image.png"
    Image.new("RGB", (64, 48), "red").save(path)
    return str(path)


@pytest.fixture
def url(hook, file):
    """The URL of an image that the sandbox can read."""
    return hook.upload_file(file).url


def everything(model: Model, url: str) -> dict[str, Any]:
    """Return a value for each of the parameters that the model takes at once."""
    schemas = fields_of(params_class(model.family))
    images = params_class(model.family).image_fields
    values = {name: _value(name, schemas[name], images, url) for name in model.params}
    if model.family == "flux":  # a ratio and a size of one's own do not go together
        del values["aspect_ratio"]
    return values


def _value(name: str, field: dict[str, Any], images: tuple[str, ...], url: str) -> Any:
    schema = {**field, **field.get("anyOf", [{}])[0]}
    if name in images:
        return [url] if schema["type"] == "array" else url
    if name == "resolution" and "1MP" in schema.get("enum", ()):
        return "1MP"
    if "enum" in schema:
        return schema["enum"][-1]
    if schema["type"] == "boolean":
        return True
    if schema["type"] in ("integer", "number"):
        return min(schema["maximum"], max(schema["minimum"], 512 if "pixels" in str(field) else 3))
    return {"loraId": LORA, "aspect_ratio": "16:9"}.get(name, "a word")


def finished(hook: ApiframeHook, job_id: str) -> Job:
    return hook.wait_for_job(job_id, timeout=60, poll_interval=0.05)


@pytest.mark.parametrize("model", MODELS)
def test_a_job_of_each_model_is_asked_for_what_was_given(model, hook, url):
    entry = MODELS[model]
    params = everything(entry, url)
    accepted = hook.generate_image(model=model, prompt="a mug", params=params)
    job = finished(hook, accepted.job_id)
    key = FAMILIES[entry.family].key
    asked = job.input[key]
    if entry.family == "flux":
        assert asked.pop("aspect_ratio", "custom") == "custom"  # which the size implies
    assert job.input == {"model": model, "prompt": "a mug", key: params}
    assert asked == params
    assert len(job.image_urls) >= 1


@pytest.mark.parametrize("model", TOOLS)
def test_a_job_of_each_tool_is_asked_for_what_was_given(model, hook, url):
    entry = TOOLS[model]
    params = everything(entry, url)
    if model in UPSCALE_MODELS:
        accepted, own = hook.upscale_image(url, model=model, params=params), {}
    elif model in BACKGROUND_MODELS:
        accepted, own = hook.remove_background(url, model=model, params=params), {}
    else:
        own = {"prompt": "a hat", "mode": "inpaint", "mask": url}
        accepted = hook.edit_image(url, "a hat", mode="inpaint", mask=url, params=params)
    job = finished(hook, accepted.job_id)
    key = FAMILIES[entry.family].key
    assert job.input == {"model": model, key: {"image": url, **own, **params}}
    assert len(job.image_urls) == 1


def test_files_of_a_tool_are_uploaded_before_it_is_asked(hook, file):
    accepted = hook.edit_image(file, "a hat", mode="inpaint", mask=file)
    asked = finished(hook, accepted.job_id).input["fluxFillParams"]
    assert asked["image"].startswith("http")
    assert asked["mask"].startswith("http")


def test_an_idempotency_key_keeps_a_tool_from_being_paid_twice(connected, hook, url):
    first = hook.upscale_image(url, idempotency_key="one")
    assert hook.upscale_image(url, idempotency_key="one").job_id == first.job_id
    assert connected.state.jobs_paid == 1


@pytest.fixture
def grid(hook):
    """The id of a finished job with four images."""
    job_id = hook.generate_image(model="midjourney", prompt="a mug").job_id
    assert len(finished(hook, job_id).image_urls) == 4
    return job_id


def test_actions_go_on_from_a_finished_midjourney_job(hook, grid, file):
    one = hook.midjourney_action(grid, "upsample", index=2).job_id
    assert len(finished(hook, one).image_urls) == 1
    for arguments in (
        {"action": "pan", "direction": "left"},
        {"action": "outpaint", "zoom_ratio": 1.5},
        {"action": "inpaint", "mask": file, "prompt": "a hat"},
    ):
        job = finished(hook, hook.midjourney_action(one, **arguments).job_id)
        assert len(job.image_urls) == 4
    four = hook.midjourney_action(grid, "variation", index=4).job_id
    assert len(finished(hook, four).image_urls) == 4


def test_a_mask_for_midjourney_is_sent_within_the_request(hook, grid, file):
    one = hook.midjourney_action(grid, "upsample", index=2).job_id
    finished(hook, one)
    job = finished(hook, hook.midjourney_action(one, "inpaint", mask=file).job_id)
    mask = base64.b64decode(job.input["mask"])
    assert Image.open(io.BytesIO(mask)).size == (64, 48)


def test_an_action_that_the_parent_does_not_allow_is_refused(hook, grid):
    with pytest.raises(ParentJobError):
        hook.midjourney_action(grid, "pan", direction="left")


@pytest.mark.parametrize(
    "call",
    [
        lambda hook: hook.upscale_image("https://images.example/a.png", params={"factor": 2}),
        lambda hook: hook.edit_image("https://images.example/a.png", "a hat", mode="inpaint"),
        lambda hook: hook.remove_background("image.png"),
        lambda hook: hook.midjourney_action(LORA, "pan"),
    ],
)
def test_a_wrong_argument_is_refused_before_anything_is_sent(connected, hook, call):
    with pytest.raises(InvalidRequestError):
        call(hook)
    assert not connected.state.requests


def test_a_file_that_is_not_there_is_refused_before_anything_is_paid(connected, hook, tmp_path):
    with pytest.raises(UnreadableFileError):
        hook.remove_background(str(tmp_path / "none.png"))
    assert not connected.state.requests
