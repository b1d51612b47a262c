"""What POST /v2/images/generate accepts, and how it says no."""

from __future__ import annotations

import pytest

from airflow_provider_apiframe.sandbox.web.validation import InvalidRequest, validate_submission

FLUX = "fluxParams"


def details_of(body, dialect="both"):
    """What is wrong with a body; nothing if it is accepted."""
    try:
        validate_submission("generate", body, dialect)
    except InvalidRequest as error:
        return error.details
    return {}


def refused(params=None, dialect="both", **body):
    body = {"prompt": "a cat", "model": "flux-2-flex", **body}
    if params is not None:
        body[FLUX] = params
    return details_of(body, dialect)


@pytest.mark.parametrize(
    "params",
    [
        {},
        {"aspect_ratio": "9:16", "steps": 30, "guidance": 4.5, "output_format": "png", "seed": -5},
        {"width": 256, "height": 2048},
        {
            "steps": 30.0,
            "guidance": 10,
            "output_quality": 0,
            "prompt_upsampling": False,
            "raw": True,
            "go_fast": True,
        },
        {
            "input_images": ["https://x.test/a.png"] * 10,
            "image_prompt": "data:image/png;base64,AA==",
        },
        {"image_prompt_strength": 0.5, "resolution": "4MP"},
        {"resolution": "4 MP", "aspect_ratio": "match_input_image"},
        {"aspect_ratio": "custom", "width": 300, "height": 300},
    ],
)
def test_valid_parameters_are_accepted(params):
    assert refused(params) == {}


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"steps": "30"}, "Expected number, received string"),
        ({"steps": True}, "Expected number, received boolean"),
        ({"steps": None}, "Expected number, received null"),
        ({"steps": 0}, "Number must be greater than or equal to 1"),
        ({"steps": 51}, "Number must be less than or equal to 50"),
        ({"steps": 1.5}, "Expected integer, received float"),
        ({"guidance": 1.4}, "Number must be greater than or equal to 1.5"),
        ({"guidance": 10.1}, "Number must be less than or equal to 10"),
        ({"width": 255}, "Number must be greater than or equal to 256"),
        ({"height": 2049}, "Number must be less than or equal to 2048"),
        ({"output_quality": 101}, "Number must be less than or equal to 100"),
        ({"seed": "1"}, "Expected number, received string"),
        ({"prompt_upsampling": "true"}, "Expected boolean, received string"),
        (
            {"output_format": "jpeg"},
            "Invalid enum value. Expected 'jpg' | 'png' | 'webp', received 'jpeg'",
        ),
        ({"aspect_ratio": "16/9"}, "Invalid"),
        ({"aspect_ratio": "16:9\n"}, "Invalid"),
        ({"image_prompt": "cat.png"}, "Invalid url"),
        ({"image_prompt": "https://"}, "Invalid url"),
        ({"input_images": "https://x.test/a.png"}, "Expected array, received string"),
        (
            {"input_images": ["https://x.test/a.png"] * 11},
            "Array must contain at most 10 element(s)",
        ),
        ({"image_prompt_strength": 1.01}, "Number must be less than or equal to 1"),
    ],
)
def test_a_wrong_parameter_is_named_with_what_is_wrong(params, message):
    [name] = params
    assert refused(params) == {f"{FLUX}.{name}": [message]}


def test_a_wrong_input_image_is_named_by_its_place():
    assert refused({"input_images": ["https://x.test/a.png", "b.png"]}) == {
        f"{FLUX}.input_images.1": ["Invalid url"]
    }


def test_unknown_keys_are_refused_where_they_are():
    details = refused({"stepz": 1, "n": 2}, aspect_ratio="1:1")
    assert details == {
        FLUX: ["Unrecognized key(s) in object: 'stepz', 'n'"],
        "": ["Unrecognized key(s) in object: 'aspect_ratio'"],
    }


def test_all_that_is_wrong_is_said_at_once():
    assert refused({"steps": 0, "seed": "x"}, prompt="").keys() == {
        "prompt",
        f"{FLUX}.steps",
        f"{FLUX}.seed",
    }


@pytest.mark.parametrize("body", [None, [], "text", 3])
def test_the_body_must_be_an_object(body):
    assert details_of(body).keys() == {""}


def test_the_prompt_is_required():
    assert details_of({"model": "flux-2-flex"}) == {"prompt": ["Required"]}


@pytest.mark.parametrize(
    ("prompt", "fits"),
    [
        ("", False),
        ("a", True),
        ("a" * 2000, True),
        ("a" * 2001, False),
        ("😀" * 1000, True),
        ("😀" * 1000 + "a", False),
    ],
)
def test_a_prompt_has_1_to_2000_utf16_units(prompt, fits):
    assert (refused(prompt=prompt) == {}) is fits


@pytest.mark.parametrize("model", ["flux-schnell", "topaz-image-upscale", "Flux-2-Flex", None, 7])
def test_a_model_the_sandbox_does_not_serve_is_an_invalid_discriminator(model):
    details = refused(model=model)
    assert details.keys() == {"model"}
    assert details["model"][0].startswith("Invalid discriminator value. Expected 'flux-1.1-pro' | ")


@pytest.mark.parametrize(
    ("params", "openapi", "page", "both"),
    [
        ({"resolution": "1MP"}, True, False, True),
        ({"resolution": "1 MP"}, False, True, True),
        ({"resolution": "match_input_image"}, True, False, True),
        ({"resolution": "3 MP"}, False, False, False),
        ({"aspect_ratio": "match_input_image"}, False, True, True),
        ({"aspect_ratio": "custom"}, False, True, True),
        ({"aspect_ratio": "16:9"}, True, True, True),
    ],
)
def test_each_dialect_has_its_spellings(params, openapi, page, both):
    [name] = params
    for dialect, accepted in (("openapi", openapi), ("page", page), ("both", both)):
        details = refused(params, dialect)
        assert details.keys() == (set() if accepted else {f"{FLUX}.{name}"}), dialect


@pytest.mark.parametrize("model", ["flux-1.1-pro", "flux-1.1-pro-ultra", "flux-2-dev"])
def test_three_models_take_any_resolution(model):
    assert refused({"resolution": "huge"}, "openapi", model=model) == {}
    assert refused({"resolution": 4}, "openapi", model=model).keys() == {f"{FLUX}.resolution"}


@pytest.mark.parametrize(
    ("events", "fits"),
    [(["completed"], True), ([], False), (["started"], False), ("completed", False)],
)
def test_webhook_events_are_a_list_of_known_ones(events, fits):
    assert (refused(webhookUrl="https://x.test/hook?a=b", webhookEvents=events) == {}) is fits


def test_a_refusal_has_the_shape_of_the_validation_error(sandbox, api):
    answer = api.generate(fluxParams={"steps": "30"})
    assert answer.status_code == 400
    assert answer.json() == {
        "error": "Validation failed",
        "details": {"fluxParams.steps": ["Expected number, received string"]},
    }
    assert sandbox.state.jobs_created == 0


@pytest.mark.parametrize(
    ("content", "content_type"),
    [
        (b"{", "application/json"),
        (b"\xff", "application/json"),
        (
            b'{"prompt": "a", "model": "flux-2-flex", "fluxParams": {"guidance": NaN}}',
            "application/json",
        ),
        (b"[" * 100_000, "application/json"),
        (b'{"prompt": "a", "model": "flux-2-flex"}', "text/plain"),
    ],
)
def test_a_body_that_is_not_json_is_refused(api, content, content_type):
    answer = api.post(
        "/v2/images/generate", content=content, headers={"Content-Type": content_type}
    )
    assert answer.status_code == 400
    assert "JSON" in answer.json()["error"]
