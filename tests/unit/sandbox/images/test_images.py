"""Sizes, headlines, formats, and what the CDN route serves."""

from __future__ import annotations

from io import BytesIO

import pytest
from PIL import Image

from airflow_provider_apiframe.sandbox.images.cache import KEPT, ImageCache
from airflow_provider_apiframe.sandbox.images.poster import Poster, draw, render
from airflow_provider_apiframe.sandbox.images.text_layout import (
    caption_block,
    font,
    headline_block,
    headline_of,
)
from airflow_provider_apiframe.sandbox.state.image_size import image_size

SALE = 'A "SUMMER SALE" poster with bold text, modern design'
LONG = ("a harbour at dawn with fishing boats and gulls, " * 50)[:2000]


def unknown(_):
    return None


def opened(data):
    return Image.open(BytesIO(data))


def image_of(api, clock, **params):
    job_id = api.job_id(SALE, fluxParams=params)
    clock.advance(10)
    [url] = api.job(job_id)["result"]["images"]
    return url, api.download(url)


@pytest.mark.parametrize(
    ("params", "size"),
    [
        ({}, (1024, 1024)),
        ({"aspect_ratio": "1:1", "resolution": "4 MP"}, (2048, 2048)),
        ({"aspect_ratio": "1:1", "resolution": "4MP"}, (2048, 2048)),
        ({"aspect_ratio": "9:16"}, (768, 1360)),
        ({"aspect_ratio": "21:9", "resolution": "4 MP"}, (2048, 880)),
        ({"aspect_ratio": "1:1", "resolution": "0.5 MP"}, (720, 720)),
        ({"aspect_ratio": "1:1", "resolution": "huge"}, (1024, 1024)),
        ({"aspect_ratio": "custom", "width": 300, "height": 501}, (300, 501)),
        ({"width": 300, "height": 501}, (300, 501)),
        ({"width": 300}, (300, 300)),
        ({"aspect_ratio": "1:1", "width": 300, "height": 501}, (1024, 1024)),
        ({"aspect_ratio": "custom"}, (1024, 1024)),
        ({"aspect_ratio": "1:" + "9" * 4000}, (64, 2048)),
    ],
)
def test_the_size_follows_ratio_and_resolution(params, size):
    assert image_size(params, unknown) == size


@pytest.mark.parametrize("ratio", ["1:1", "3:4", "4:3", "16:9", "9:16", "21:9", "2:3", "5:4"])
@pytest.mark.parametrize("megapixels", [0.5, 1, 2, 4])
def test_a_size_is_near_its_ratio_and_area_in_steps_of_16(ratio, megapixels):
    width, height = image_size({"aspect_ratio": ratio, "resolution": f"{megapixels:g} MP"}, unknown)
    across, down = map(int, ratio.split(":"))
    assert width % 16 == height % 16 == 0
    assert max(width, height) <= 2048
    assert width / height == pytest.approx(across / down, rel=0.02)
    if max(width, height) < 2048:
        assert width * height == pytest.approx(megapixels * 1024 * 1024, rel=0.03)


@pytest.mark.parametrize(
    ("params", "size"),
    [
        ({"aspect_ratio": "match_input_image"}, (640, 320)),
        ({"resolution": "match_input_image"}, (640, 320)),
        ({"aspect_ratio": "match_input_image", "resolution": "2 MP"}, (2048, 1024)),
        ({"aspect_ratio": "1:1", "resolution": "match_input_image"}, (448, 448)),
    ],
)
def test_an_image_can_match_its_input(params, size):
    sizes = {"https://x.test/a.png": (640, 320)}
    assert image_size({**params, "input_images": ["https://x.test/a.png"]}, sizes.get) == size
    assert image_size({**params, "input_images": ["https://x.test/b.png"]}, sizes.get)[0] in (
        1024,
        1456,
        1440,
        1448,
    )


@pytest.mark.parametrize(
    ("prompt", "headline"),
    [
        (SALE, "SUMMER SALE"),
        ("a sign with “Grüße” on it", "Grüße"),
        ("a mug 'Good Morning' that's blue", "Good Morning"),
        ("a poster with bold text reading Grand Opening, neon", "Grand Opening"),
        ("a cup saying hello. Soft light", "hello"),
        ("a banner with the text Now Hiring, blue", "Now Hiring"),
        ("a cat with text in red letters", "A cat with text in red"),
        ("it's a dog's life", "It's a dog's life"),
        ("a wide cinematic view of a harbour at dawn", "A wide cinematic view"),
        ("[fail: nope]", "Untitled"),
    ],
)
def test_the_headline_is_what_the_prompt_wants_written(prompt, headline):
    assert headline_of(prompt) == headline


def test_a_headline_has_an_end():
    assert len(headline_of('"' + "word " * 30 + '"')) <= 70


@pytest.mark.parametrize("text", ["SUMMER SALE", "x" * 70, "a"])
@pytest.mark.parametrize(("width", "height"), [(1000, 500), (240, 120), (50, 1500), (1500, 40)])
def test_a_headline_fits_its_box(text, width, height):
    block = headline_block(text, width, height, 400)
    assert block.height <= height
    assert all(
        font(block.size).getlength(line) + 2 * block.stroke <= width + 2 for line in block.lines
    )


@pytest.mark.parametrize(("width", "height"), [(1000, 500), (240, 120), (54, 1200)])
def test_a_long_caption_fits_its_box(width, height):
    block = caption_block(LONG, width, height, 30)
    assert block.height <= height
    assert all(font(block.size).getlength(line) <= width + 2 for line in block.lines)


def test_a_caption_keeps_every_word_where_there_is_room():
    assert " ".join(caption_block(LONG, 900, 600, 30).lines) == " ".join(LONG.split())


def test_a_caption_without_room_says_that_it_goes_on():
    assert caption_block(LONG, 200, 100, 30).lines[-1].endswith("…")


@pytest.mark.parametrize(
    "size",
    [(256, 256), (64, 2048), (2048, 64), (768, 1360), (1568, 672), (300, 256)],
    ids=lambda size: "x".join(map(str, size)),
)
@pytest.mark.parametrize(
    "prompt",
    [SALE, LONG, "x" * 2000, "\ud83d 日本 \x00", " "],
    ids=["sale", "long", "word", "odd", "blank"],
)
def test_every_size_and_prompt_can_be_drawn(size, prompt):
    poster = Poster(prompt, "flux-2-flex", *size, notes=("steps 30", "guidance 4.5"), seed=2**70)
    assert opened(render(poster)).size == size


@pytest.mark.parametrize("size", [(512, 512), (256, 256), (1024, 256), (256, 1024)], ids=str)
def test_no_letter_of_the_caption_reaches_the_edge_of_the_image(size):
    image = draw(Poster(LONG, "flux-2-flex", *size, seed=1))
    width, height = size
    paper = image.getpixel((width - 2, height - 2))
    for edge in (
        (width - 3, height // 2, width, height),
        (width * 3 // 4, height - 3, width, height),
    ):
        assert {color for _, color in image.crop(edge).getcolors()} == {paper}


def test_the_same_poster_is_the_same_image():
    poster = Poster(SALE, "flux-2-flex", 320, 320, seed=7)
    assert render(poster) == render(poster)


@pytest.mark.parametrize("other", [{"seed": 8}, {"prompt": "another"}, {"notes": ("steps 3",)}])
def test_another_poster_is_another_image(other):
    poster = {"prompt": SALE, "model": "flux-2-flex", "width": 320, "height": 320, "seed": 7}
    assert render(Poster(**poster)) != render(Poster(**{**poster, **other}))


@pytest.mark.parametrize(
    ("form", "name", "media"),
    [("png", "PNG", "image/png"), ("jpg", "JPEG", "image/jpeg"), ("webp", "WEBP", "image/webp")],
)
def test_the_cdn_serves_the_format_and_size_asked(api, clock, form, name, media):
    url, answer = image_of(
        api, clock, output_format=form, aspect_ratio="custom", width=320, height=256
    )
    assert url.endswith(f"-1.{form}")
    assert answer.headers["content-type"] == media
    image = opened(answer.content)
    assert (image.format, image.size) == (name, (320, 256))


@pytest.mark.parametrize("form", ["jpg", "webp"])
def test_a_lower_quality_makes_a_smaller_file(form):
    sizes = [
        len(render(Poster(SALE, "flux-2-flex", 320, 320, form, quality, 1)))
        for quality in (0, 50, 100)
    ]
    assert sizes == sorted(set(sizes))


@pytest.mark.parametrize("form", ["jpg", "webp"])
def test_a_quality_with_a_fraction_of_nothing_is_a_whole_number(api, clock, form):
    params = {"output_format": form, "width": 256, "height": 256, "seed": 1}
    _, answer = image_of(api, clock, output_quality=50.0, **params)
    assert answer.status_code == 200
    assert answer.content == image_of(api, clock, output_quality=50, **params)[1].content


def test_quality_does_nothing_to_png():
    low, high = (
        render(Poster(SALE, "flux-2-flex", 320, 320, "png", quality, 1)) for quality in (0, 100)
    )
    assert low == high


def test_the_cdn_needs_no_key(sandbox, api, connect, clock):
    url, _ = image_of(api, clock)
    stranger = connect(sandbox, key=None)
    assert stranger.get(url).status_code == 200
    head = stranger.head(url)
    assert (head.status_code, head.content) == (200, b"")
    assert int(head.headers["content-length"]) > 0


def test_there_is_no_image_before_the_job_is_done_or_under_another_name(sandbox, api, clock):
    job_id = api.job_id()
    assert api.download(f"/images/{job_id}-1.png").status_code == 404
    clock.advance(10)
    assert api.download(f"/images/{job_id}-1.png").status_code == 200
    for name in (f"{job_id}-2.png", f"{job_id}-1.jpg", f"{job_id}", "x.png"):
        assert api.download(f"/images/{name}").status_code == 404


def test_a_failed_job_has_no_image(api, clock):
    job_id = api.job_id("[fail: no]")
    clock.advance(10)
    assert api.download(f"/images/{job_id}-1.png").status_code == 404


def test_an_image_is_gone_after_its_retention(serve, connect, clock):
    api = connect(serve(retention=60))
    url, answer = image_of(api, clock)
    assert answer.status_code == 200
    clock.advance(60)
    assert api.download(url).status_code == 404
    assert api.jobs()["jobs"][0]["result"] is not None


def test_an_image_can_be_the_input_of_the_next(api, clock):
    url, _ = image_of(api, clock, width=640, height=320)
    _, answer = image_of(api, clock, aspect_ratio="match_input_image", input_images=[url])
    assert opened(answer.content).size == (640, 320)


def test_the_cache_keeps_a_bounded_number_of_images(sandbox, api, clock):
    for _ in range(KEPT + 2):
        api.job_id(fluxParams={"width": 256, "height": 256})
    clock.advance(10)
    images = ImageCache()
    first, *others = sandbox.state.jobs
    kept = images.image(first)
    assert images.image(first) is kept
    for job in others:
        images.image(job)
    assert images.image(first) is not kept


def test_plain_images_are_four_fields_and_differ_from_job_to_job(serve, connect, clock):
    sandbox = serve(plain_images=True)
    api = connect(sandbox)
    links = [image_of(api, clock, width=256, height=300, seed=seed)[0] for seed in range(20)]
    plain = [opened(api.download(link).content) for link in links]
    assert {image.size for image in plain} == {(256, 300)}
    assert all(len(image.getcolors(76_800)) <= 4 for image in plain)
    assert len({image.tobytes() for image in plain}) == 20


def test_a_sandbox_can_go_back_to_posters(serve, connect, clock):
    sandbox = serve(plain_images=True)
    api = connect(sandbox)
    url, plain = image_of(api, clock)
    sandbox.configure(plain_images=False)
    assert len(api.download(url).content) > 10 * len(plain.content)
