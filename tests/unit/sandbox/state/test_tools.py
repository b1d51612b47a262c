"""Upscale, edit and removal of the background: what they make of their image, and their price."""

from __future__ import annotations

import io

import pytest
from PIL import Image

from airflow_provider_apiframe.sandbox.state.edit_plan import OUTPAINTS, canvas, plan_upscale
from airflow_provider_apiframe.sandbox.state.input_images import InputImages
from airflow_provider_apiframe.sandbox.state.models import MODELS, topaz_cost

RED, BLUE = (255, 0, 0), (0, 0, 255)
ELSEWHERE = "https://images.example/a.png"
PARAMS = {
    "topaz-image-upscale": ("upscale", "topazUpscaleParams"),
    "clarity-upscale": ("upscale", "clarityUpscaleParams"),
    "flux-fill-pro": ("edit", "fluxFillParams"),
    "bria-bg-remove": ("background-remove", "briaBgRemoveParams"),
    "851-bg-remove": ("background-remove", "lab851BgRemoveParams"),
}
ZOOM = {"prompt": "a wide beach", "mode": "outpaint", "outpaint": "Zoom out 2x"}
# With what each of the tools is content beside its image.
NEEDED = {model: ZOOM if model == "flux-fill-pro" else {} for model in PARAMS}


def upload(api, size=(100, 50), color=RED):
    file = io.BytesIO()
    Image.new("RGB", size, color).save(file, "PNG")
    return uploaded(api, file.getvalue())


def uploaded(api, content):
    return api.post("/v2/uploads", files={"file": content}).json()["url"]


def submit(api, model, image, **params):
    kind, name = PARAMS[model]
    body = {"model": model, name: {"image": image, **NEEDED[model], **params}}
    return api.submit(kind, **body)


def result(api, clock, model, image, **params):
    answer = submit(api, model, image, **params)
    assert answer.status_code == 202, answer.text
    clock.advance(10)
    job = api.job(answer.json()["jobId"])
    assert job["status"] == "COMPLETED", job
    return job


def opened(api, url):
    answer = api.download(url)
    assert answer.status_code == 200
    image = Image.open(io.BytesIO(answer.content))
    image.load()
    return image


def image_of(api, clock, model, image, **params):
    [url] = result(api, clock, model, image, **params)["result"]["images"]
    return opened(api, url)


@pytest.mark.parametrize(
    ("model", "params", "size"),
    [
        ("topaz-image-upscale", {"upscale_factor": 4}, (400, 200)),
        ("topaz-image-upscale", {"upscale_factor": 1}, (100, 50)),
        ("clarity-upscale", {"scale_factor": 8}, (800, 400)),
        ("clarity-upscale", {}, (200, 100)),
    ],
)
def test_an_upscale_is_its_image_in_more_pixels(model, params, size, api, clock):
    image = image_of(api, clock, model, upload(api), **params)
    assert image.size == size
    assert image.getcolors() == [(size[0] * size[1], RED)]


def test_an_upscale_ends_at_the_largest_size_drawn(api, clock):
    image = image_of(api, clock, "clarity-upscale", upload(api, (1000, 500)), scale_factor=8)
    assert image.size == (4096, 2048)


def test_an_upscale_of_a_made_image_shows_that_image(api, clock):
    job_id = api.job_id(fluxParams={"width": 256, "height": 256})
    clock.advance(10)
    [url] = api.job(job_id)["result"]["images"]
    image = image_of(api, clock, "topaz-image-upscale", url, upscale_factor=2)
    expected = opened(api, url).resize((512, 512))
    assert image.convert("RGB").tobytes() == expected.convert("RGB").tobytes()


def test_topaz_costs_by_output_and_all_others_have_one_price(api, clock):
    assert [topaz_cost(*size) for size in ((1, 1), (2048, 2048), (2049, 2048), (4096, 4096))] == [
        2,
        4,
        5,
        16,
    ]
    image = upload(api, (1000, 1000))
    costs = [
        result(api, clock, model, image, **params)["creditCost"]
        for model, params in (
            ("topaz-image-upscale", {"upscale_factor": 1}),
            ("topaz-image-upscale", {"upscale_factor": 4}),
            ("clarity-upscale", {"scale_factor": 1}),
            ("clarity-upscale", {"scale_factor": 4}),
        )
    ]
    assert costs == [2, 16, MODELS["clarity-upscale"].price, MODELS["clarity-upscale"].price]


def test_no_upscale_costs_more_than_the_catalog_says(serve, sandbox):
    inputs = InputImages(sandbox.state.uploads, sandbox.state.linked_image, sandbox.url)
    for factor in (1, 2, 4, 6):
        params = {"image": ELSEWHERE, "upscale_factor": factor}
        body = {"model": "topaz-image-upscale", "topazUpscaleParams": params}
        assert plan_upscale(body, inputs).cost <= MODELS["topaz-image-upscale"].price


@pytest.mark.parametrize("kind", ["expired", "unknown", "no image", "unknown image"])
def test_an_upscale_of_what_nobody_can_read_is_refused_before_it_is_paid(kind, api, clock, sandbox):
    url = {
        "expired": lambda: upload(api),
        "unknown": lambda: f"{sandbox.cdn_url}/uploads/no.png",
        "no image": lambda: uploaded(api, b"\x89PNG\r\n\x1a\nnothing"),
        "unknown image": lambda: f"{sandbox.cdn_url}/images/no-1.png",
    }[kind]()
    if kind == "expired":
        clock.advance(3600)
    refused = submit(api, "topaz-image-upscale", url)
    assert refused.status_code == 400
    assert refused.json() == {
        "error": "Validation failed",
        "details": {"topazUpscaleParams.image": ["Could not read the input image"]},
    }
    assert (sandbox.state.jobs_created, sandbox.state.credits) == (0, 5000)


@pytest.mark.parametrize("model", ["flux-fill-pro", "bria-bg-remove", "851-bg-remove"])
def test_an_edit_of_what_nobody_can_read_fails_and_is_refunded(model, api, clock, sandbox):
    answer = submit(api, model, f"{sandbox.cdn_url}/uploads/no.png")
    assert answer.status_code == 202
    assert sandbox.state.credits_spent == MODELS[model].price
    clock.advance(10)
    job = api.job(answer.json()["jobId"])
    assert (job["status"], job["error"]) == ("FAILED", "Input image could not be fetched")
    assert (job["creditCost"], sandbox.state.credits) == (0, 5000)


@pytest.mark.parametrize("model", PARAMS)
def test_an_image_from_elsewhere_is_taken_as_it_is(model, api, clock):
    assert image_of(api, clock, model, ELSEWHERE).width >= 1024


@pytest.mark.parametrize("model", PARAMS)
def test_a_repeated_key_gets_the_first_job_though_its_image_is_gone(model, api, clock, sandbox):
    kind, name = PARAMS[model]
    body = {"model": model, name: {"image": upload(api), **NEEDED[model]}}
    first = api.submit(kind, key="k1", **body).json()["jobId"]
    paid = sandbox.state.credits
    clock.advance(3600)
    again = api.submit(kind, key="k1", **body)
    assert (again.status_code, again.json()["jobId"]) == (202, first)
    assert (sandbox.state.jobs_created, sandbox.state.credits) == (1, paid)
    other = {**body, name: {**body[name], "image": ELSEWHERE}}
    assert api.submit(kind, key="k1", **other).status_code == 409


def test_a_key_is_one_for_all_kinds_of_submissions(api):
    assert api.generate(key="k1").status_code == 202
    body = {"model": "bria-bg-remove", "briaBgRemoveParams": {"image": ELSEWHERE}}
    assert api.submit("background-remove", key="k1", **body).status_code == 409


@pytest.mark.parametrize(
    ("outpaint", "size", "inside", "outside"),
    [
        ("Zoom out 1.5x", (600, 300), (300, 150), (20, 20)),
        ("Zoom out 2x", (800, 400), (400, 200), (20, 20)),
        ("Make square", (400, 400), (200, 200), (200, 20)),
        ("Left outpaint", (600, 200), (590, 100), (100, 100)),
        ("Right outpaint", (600, 200), (10, 100), (500, 100)),
        ("Top outpaint", (400, 300), (200, 290), (200, 50)),
        ("Bottom outpaint", (400, 300), (200, 10), (200, 250)),
    ],
)
def test_an_outpaint_draws_around_its_image(outpaint, size, inside, outside, api, clock):
    url = upload(api, (400, 200))
    image = image_of(api, clock, "flux-fill-pro", url, outpaint=outpaint, output_format="png")
    assert image.size == size
    assert image.getpixel(inside) == RED
    # What is drawn around it is no plain color.
    kept = sum(count for count, color in image.getcolors(600 * 400) if color == RED)
    assert kept == pytest.approx(400 * 200, rel=0.02)
    assert image.getpixel(outside) != RED


def test_a_large_outpaint_ends_at_the_largest_size_drawn():
    assert canvas((4096, 1024), 2, 2, 0.5, 0.5) == ((4096, 1024), (1024, 256, 2048, 512))
    for place in OUTPAINTS.values():
        (width, height), (left, top, inner_width, inner_height) = place((4000, 3000))
        assert max(width, height) <= 4096
        assert 0 <= left <= left + inner_width <= width
        assert 0 <= top <= top + inner_height <= height


def test_an_inpaint_draws_the_white_parts_of_the_mask_anew(api, clock):
    mask = Image.new("L", (400, 200), 0)
    mask.paste(255, (0, 0, 200, 200))
    file = io.BytesIO()
    mask.save(file, "PNG")
    params = {"mode": "inpaint", "mask": uploaded(api, file.getvalue()), "output_format": "png"}
    image = image_of(api, clock, "flux-fill-pro", upload(api, (400, 200)), **params)
    assert image.size == (400, 200)
    right = image.crop((200, 0, 400, 200))
    assert right.getcolors() == [(200 * 200, RED)]
    left = image.crop((0, 0, 200, 200))
    assert sum(count for count, color in left.getcolors(40_000) if color == RED) < 1000


@pytest.mark.parametrize(
    ("params", "missing"),
    [({"mode": "inpaint"}, "mask"), ({"mode": "outpaint", "mask": ELSEWHERE}, "outpaint")],
)
def test_an_edit_needs_what_its_mode_says(params, missing, api, sandbox):
    body = {"image": ELSEWHERE, "prompt": "a hat", **params}
    refused = api.submit("edit", model="flux-fill-pro", fluxFillParams=body)
    assert refused.status_code == 400
    assert refused.json()["details"] == {f"fluxFillParams.{missing}": ["Required"]}
    assert sandbox.state.jobs_created == 0


def test_a_background_is_removed_to_nothing(api, clock):
    image = image_of(api, clock, "bria-bg-remove", upload(api))
    assert (image.format, image.mode, image.size) == ("PNG", "RGBA", (100, 50))
    assert image.getpixel((50, 25)) == (*RED, 255)
    assert image.getpixel((0, 0))[3] == 0


@pytest.mark.parametrize(
    ("params", "middle", "corner"),
    [
        ({}, (*BLUE, 255), (*BLUE, 0)),
        ({"reverse": True}, (*BLUE, 0), (*BLUE, 255)),
        ({"background_type": "map"}, (255, 255, 255), (0, 0, 0)),
        ({"background_type": "white"}, BLUE, (255, 255, 255)),
        ({"background_type": "green"}, BLUE, (0, 177, 64)),
        ({"background_type": "blur"}, BLUE, BLUE),
    ],
)
def test_a_background_can_become_other_things(params, middle, corner, api, clock):
    image = image_of(api, clock, "851-bg-remove", upload(api, color=BLUE), **params)
    assert (image.getpixel((50, 25)), image.getpixel((0, 0))) == (middle, corner)


def test_a_jpg_has_white_where_there_is_nothing(api, clock):
    [url] = result(api, clock, "851-bg-remove", upload(api), format="jpg")["result"]["images"]
    image = opened(api, url)
    assert (url[-4:], image.format) == (".jpg", "JPEG")
    assert min(image.getpixel((0, 0))) > 250


def test_the_prompt_of_an_edit_can_steer_its_job(api, clock, sandbox):
    params = {"image": ELSEWHERE, **ZOOM, "prompt": "a hat [fail: no]"}
    job_id = api.accepted("edit", model="flux-fill-pro", fluxFillParams=params)
    clock.advance(10)
    assert api.job(job_id)["error"] == "no"
    assert sandbox.state.credits == 5000


@pytest.mark.parametrize("model", PARAMS)
def test_a_fault_can_meet_a_tool_alone(model, api, sandbox):
    kind, _ = PARAMS[model]
    sandbox.faults.next(kind.replace("-", "_"), status=503)
    assert api.generate().status_code == 202
    assert submit(api, model, ELSEWHERE).status_code == 503
    assert submit(api, model, ELSEWHERE).status_code == 202
    assert sandbox.state.requests[kind.replace("-", "_")] == 2
