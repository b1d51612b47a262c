"""Midjourney's actions: which parent they need, and what they make of it."""

from __future__ import annotations

from io import BytesIO

import httpx
import pytest
from PIL import Image

from airflow_provider_apiframe.sandbox.state.models import MODELS

NOBODY = "3f2504e0-4f89-41d3-9a0c-0305e82c3301"
ON_A_GRID = [{"action": "upsample", "index": 2}, {"action": "variation", "index": 4}]
ON_ONE_IMAGE = [
    {"action": "inpaint", "mask": "AAAA", "prompt": "a hat"},
    {"action": "outpaint", "zoomRatio": 1.5},
    {"action": "pan", "direction": "left"},
]


def grid_job(api, clock, **body):
    job_id = api.job_id("a cat", model="midjourney", **body)
    clock.advance(10)
    return job_id


def act(api, parent, **body):
    return api.submit("midjourney/action", parentJobId=parent, **body)


def done(api, clock, parent, **body):
    answer = act(api, parent, **body)
    assert answer.status_code == 202, answer.text
    clock.advance(10)
    return api.job(answer.json()["jobId"])


@pytest.fixture(autouse=True)
def plain_images(sandbox):
    """Posters take a while to draw, and what is asked here shows in plain images as well."""
    sandbox.configure(plain_images=True)


@pytest.fixture
def parents(api, clock):
    """A parent with four images of 2048 x 128 pixels, and one with an upsampled image."""
    grid = grid_job(api, clock, midjourneyParams={"aspect_ratio": "16:1"})
    return {"grid": grid, "one": done(api, clock, grid, action="upsample", index=1)["id"]}


def opened(api, url):
    return Image.open(BytesIO(api.download(url).content))


def test_an_upsample_makes_one_image_of_the_chosen_one(api, clock, parents):
    job = done(api, clock, parents["grid"], action="upsample", index=3)
    assert job["result"].keys() == {"images"}
    [url] = job["result"]["images"]
    chosen = opened(api, api.job(parents["grid"])["result"]["images"][2])
    upsampled = opened(api, url)
    assert (chosen.size, upsampled.size) == ((2048, 128), (4096, 256))
    assert upsampled.tobytes() == chosen.resize((4096, 256)).tobytes()


@pytest.mark.parametrize("body", [ON_A_GRID[1], *ON_ONE_IMAGE], ids=lambda body: body["action"])
def test_every_other_action_makes_four_images_that_can_be_acted_on(body, api, clock, parents):
    parent = parents["grid"] if body["action"] == "variation" else parents["one"]
    job = done(api, clock, parent, **body)
    assert len(job["result"]["images"]) == 4
    assert opened(api, job["result"]["gridUrl"]).size[0] >= 1024
    assert act(api, job["id"], action="upsample", index=4).status_code == 202


def test_an_action_costs_its_price_and_is_of_the_model_midjourney(api, clock, parents):
    model = MODELS["midjourney"]
    jobs = [done(api, clock, parents["grid"], **body) for body in ON_A_GRID]
    assert [job["creditCost"] for job in jobs] == [model.lowest_price, model.price]
    assert {job["model"] for job in jobs} == {"midjourney"}
    assert jobs[0]["input"] == {"parentJobId": parents["grid"], **ON_A_GRID[0]}


@pytest.mark.parametrize(
    ("body", "box", "size"),
    [
        ({"action": "outpaint", "zoomRatio": 2}, (1024, 64, 3072, 192), (4096, 256)),
        ({"action": "pan", "direction": "up"}, (0, 128, 4096, 384), (4096, 384)),
        ({"action": "pan", "direction": "down"}, (0, 0, 4096, 256), (4096, 384)),
        # Half as wide again would be 6144 pixels, so all of it is smaller.
        ({"action": "pan", "direction": "left"}, (1365, 0, 4096, 171), (4096, 171)),
        ({"action": "pan", "direction": "right"}, (0, 0, 2731, 171), (4096, 171)),
    ],
)
def test_a_wider_view_has_the_parents_image_in_it(body, box, size, api, clock, parents):
    job = done(api, clock, parents["one"], **body)
    wide = opened(api, job["result"]["images"][0])
    [url] = api.job(parents["one"])["result"]["images"]
    inner = opened(api, url).resize((box[2] - box[0], box[3] - box[1]))
    assert wide.size == size
    assert wide.crop(box).tobytes() == inner.tobytes()


@pytest.mark.parametrize("body", ON_ONE_IMAGE, ids=lambda body: body["action"])
def test_what_works_on_one_image_is_refused_on_four(body, api, clock, parents):
    assert act(api, parents["grid"], **body).status_code == 409


@pytest.mark.parametrize("body", ON_A_GRID, ids=lambda body: body["action"])
def test_what_works_on_four_images_is_refused_on_one(body, api, clock, parents):
    refused = act(api, parents["one"], **body)
    assert refused.status_code == 409
    assert refused.json() == {
        "error": f"The action '{body['action']}' is not available for the parent job"
    }


def test_nothing_is_paid_for_an_action_without_a_usable_parent(serve, connect, clock):
    sandbox = serve(api_keys=["afk_other=other"])
    api = connect(sandbox)
    done_job = grid_job(api, clock)
    running = api.job_id(model="midjourney")
    flux = api.job_id("[takes: 0]")
    paid = sandbox.state.credits
    codes = [
        act(client, parent, action="upsample", index=1).status_code
        for client, parent in (
            (api, NOBODY),
            (connect(sandbox, "afk_other"), done_job),
            (api, running),
            (api, flux),
        )
    ]
    assert codes == [404, 404, 409, 409]
    assert sandbox.state.credits == paid


def test_a_parent_that_failed_or_whose_images_are_gone_is_refused(serve, connect, clock):
    api = connect(serve(retention=60))
    failed = api.job_id("[fail: no]", model="midjourney")
    gone = grid_job(api, clock)
    assert act(api, gone, action="upsample", index=1).status_code == 202
    clock.advance(60)
    for parent in (failed, gone):
        assert act(api, parent, action="upsample", index=1).status_code == 409


def test_a_repeated_action_is_not_paid_again_though_its_parent_is_gone(serve, connect, clock):
    sandbox = serve(retention=60)
    api = connect(sandbox)
    parent = grid_job(api, clock)
    body = {"parentJobId": parent, "action": "variation", "index": 1}
    first = api.submit("midjourney/action", key="k1", **body).json()["jobId"]
    paid = sandbox.state.credits
    clock.advance(100)
    again = api.submit("midjourney/action", key="k1", **body)
    assert (again.json()["jobId"], sandbox.state.credits) == (first, paid)


def test_an_action_that_fails_is_refunded(sandbox, api, clock, parents):
    paid = sandbox.state.credits
    sandbox.configure(fail_rate=1)
    job = done(api, clock, parents["grid"], action="variation", index=1)
    assert (job["status"], sandbox.state.credits) == ("FAILED", paid)


def test_a_fault_can_meet_actions_alone(sandbox, api, parents):
    sandbox.faults.next("midjourney_action", drop=True, applied=False)
    assert api.generate().status_code == 202
    with pytest.raises(httpx.RemoteProtocolError, match="disconnected"):
        act(api, parents["grid"], action="upsample", index=1)
    assert act(api, parents["grid"], action="upsample", index=1).status_code == 202
