"""How many images a model makes, in which size and format, and what they cost."""

from __future__ import annotations

from io import BytesIO

import pytest
from PIL import Image

from airflow_provider_apiframe.sandbox.state.image_size import image_size, input_urls
from airflow_provider_apiframe.sandbox.state.models import MODELS

LORA = "3f2504e0-4f89-41d3-9a0c-0305e82c3301"


def made(api, clock, **body):
    job_id = api.job_id(**body)
    clock.advance(10)
    return api.job(job_id)


def opened(answer):
    assert answer.status_code == 200
    return Image.open(BytesIO(answer.content))


@pytest.mark.parametrize(
    ("model", "params", "count"),
    [
        ("flux-lora", {"fluxLoraParams": {"loraId": LORA, "num_outputs": 4}}, 4),
        ("flux-lora", {"fluxLoraParams": {"loraId": LORA}}, 1),
        ("gpt-image-1.5", {"gptImageParams": {"number_of_images": 10}}, 10),
        ("gpt-image-2", {"gptImage2Params": {"number_of_images": 2.0}}, 2),
        ("kling-image", {"klingImageParams": {"n": 3}}, 3),
        ("qwen-image", {"qwenImageParams": {"num_images": 2}}, 2),
    ],
)
def test_each_image_asked_for_is_made_and_paid(model, params, count, api, clock, sandbox):
    job = made(api, clock, model=model, **params)
    assert len(job["result"]["images"]) == count
    assert job["creditCost"] == count * MODELS[model].price
    assert sandbox.state.credits == 5000 - job["creditCost"]


def test_images_that_cannot_all_be_paid_are_not_begun(serve, connect):
    price = MODELS["gpt-image-2"].price
    api = connect(serve(credits=3 * price))
    refused = api.generate(model="gpt-image-2", gptImage2Params={"number_of_images": 4})
    assert refused.status_code == 402
    assert refused.json()["creditsRequired"] == 4 * price


def test_midjourney_makes_four_images_and_their_grid_for_one_price(api, clock):
    job = made(api, clock, model="midjourney", midjourneyParams={"aspect_ratio": "16:9"})
    assert len(job["result"]["images"]) == 4
    assert job["result"]["gridUrl"] == f"{job['result']['images'][0][:-6]}-grid.png"
    assert job["creditCost"] == MODELS["midjourney"].price
    images = [opened(api.download(url)) for url in job["result"]["images"]]
    grid = opened(api.download(job["result"]["gridUrl"]))
    assert {image.size for image in [*images, grid]} == {(1360, 768)}
    # The cells of the grid are the images, at half their sides.
    for image, corner in zip(images, [(0, 0), (680, 0), (0, 384), (680, 384)], strict=True):
        cell = grid.crop((*corner, corner[0] + 680, corner[1] + 384))
        means = zip(
            cell.resize((1, 1)).getpixel((0, 0)),
            image.resize((1, 1)).getpixel((0, 0)),
            strict=True,
        )
        assert all(abs(one - other) <= 3 for one, other in means)


def test_no_other_model_has_a_grid(api, clock):
    job = made(api, clock)
    assert job["result"].keys() == {"images"}
    assert api.download(f"/images/{job['id']}-grid.png").status_code == 404


def test_a_prompt_can_ask_for_images_whatever_the_model(api, clock):
    job = made(api, clock, prompt="a cat [images: 2]", model="midjourney")
    assert len(job["result"]["images"]) == 2


@pytest.mark.parametrize(
    ("model", "params", "extension", "form"),
    [
        ("gpt-image-2", {"gptImage2Params": {"output_format": "jpeg"}}, "jpeg", "JPEG"),
        ("imagen-4", {"imagenParams": {"output_format": "jpg"}}, "jpg", "JPEG"),
        ("nano-banana", {"nanoBananaParams": {"output_format": "webp"}}, "webp", "WEBP"),
        ("reve-create", {}, "png", "PNG"),
    ],
)
def test_an_image_has_the_format_of_its_family(model, params, extension, form, api, clock):
    [url] = made(api, clock, model=model, **params)["result"]["images"]
    answer = api.download(url)
    assert url.endswith(f".{extension}")
    assert opened(answer).format == form
    assert answer.headers["content-type"] == f"image/{form.lower()}"


@pytest.mark.parametrize(
    ("params", "size"),
    [
        ({"aspect_ratio": "1:1", "resolution": "512px"}, (512, 512)),
        ({"aspect_ratio": "1:1", "resolution": "2K"}, (2048, 2048)),
        ({"aspect_ratio": "1:1", "resolution": "4K"}, (4096, 4096)),
        ({"aspect_ratio": "16:9", "resolution": "4K"}, (4096, 2304)),
        ({"aspect_ratio": "1:1", "image_size": "1K"}, (1024, 1024)),
        ({"image_size": "portrait_16_9"}, (576, 1024)),
        ({"size": "2K"}, (2048, 2048)),
        ({"size": "1280x720"}, (1280, 720)),
        ({"resolution": "9999x10"}, (4096, 64)),
        ({"width": 4096, "height": 512}, (4096, 512)),
        ({"aspect_ratio": "as you like"}, (1024, 1024)),
        ({"aspect_ratio": "16x9"}, (1360, 768)),
    ],
)
def test_the_size_follows_the_words_of_all_families(params, size):
    assert image_size(params, lambda _: None) == size


def test_an_image_of_4096_pixels_is_drawn_in_full(api, clock):
    params = {"width": 4096, "height": 512, "output_format": "jpg"}
    [url] = made(api, clock, model="seedream-4", seedreamParams=params)["result"]["images"]
    assert opened(api.download(url)).size == (4096, 512)


def test_input_images_are_found_under_all_names_what_is_drawn_from_first():
    params = {
        "mask": "m",
        "image_url": "u",
        "image": "i",
        "style_reference_images": ["s1", "s2"],
        "image_input": ["n"],
        "input_images": None,
        "negative_prompt": "no",
    }
    assert input_urls(params) == ["n", "i", "u", "s1", "s2", "m"]
