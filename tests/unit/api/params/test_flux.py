"""What may stand in fluxParams: values, names, models, rules between them, two spellings."""

from __future__ import annotations

import json
import math

import pytest
from flux_strategies import RANGES, flux_params, model_and_params
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_apiframe.api.errors import InvalidRequestError
from airflow_provider_apiframe.api.params.flux import FluxParams, respell

URL = "https://images.example/a.png"
MANY = [f"https://images.example/{number}.png" for number in range(10)]

ALLOWED = {
    "aspect_ratio": '"W:H" such as "16:9", "match_input_image" or "custom"',
    "output_format": '"jpg", "png" or "webp"',
    "output_quality": "a whole number from 0 to 100",
    "seed": "a whole number",
    "width": "a whole number of pixels from 256 to 2048",
    "height": "a whole number of pixels from 256 to 2048",
    "resolution": '"0.5 MP", "1 MP", "2 MP", "4 MP" (with or without the space) or '
    '"match_input_image"',
    "input_images": "a list of up to 10 http(s) URLs, storage paths, absolute local paths or "
    "results of earlier tasks",
    "steps": "a whole number from 1 to 50 (default 30)",
    "guidance": "a number from 1.5 to 10 (default 4.5)",
    "prompt_upsampling": "true or false",
    "image_prompt": "an http(s) URL, storage path, absolute local path or result of an earlier "
    "task",
    "image_prompt_strength": "a number from 0 to 1",
    "raw": "true or false",
    "go_fast": "true or false",
}

GOOD = [
    *[
        ("aspect_ratio", value, value)
        for value in ("16:9", "1:1", "21:9", "1024:768", "match_input_image", "custom")
    ],
    *[("output_format", value, value) for value in ("jpg", "png", "webp")],
    *[("output_quality", value, int(value)) for value in (0, 100, "80")],
    *[("seed", value, int(value)) for value in (0, -1, 2**31, "7", 12.0)],
    *[(side, value, int(value)) for side in ("width", "height") for value in (256, 2048, "512")],
    *[
        ("resolution", value, value)
        for value in ("0.5 MP", "1 MP", "2 MP", "4 MP", "0.5MP", "1MP", "2MP", "4MP")
    ],
    ("resolution", "match_input_image", "match_input_image"),
    *[("input_images", value, list(value)) for value in ([], [URL], (URL,), MANY)],
    ("input_images", json.dumps(MANY), MANY),
    ("input_images", repr(MANY), MANY),
    ("input_images", f'\n["{URL}"]', [URL]),
    *[("steps", value, int(value)) for value in (1, 50, "30", 30.0)],
    *[("guidance", value, float(value)) for value in (1.5, 10, "4.5", 4)],
    *[
        (flag, value, True)
        for flag in ("prompt_upsampling", "raw", "go_fast")
        for value in (True, "true", "True")
    ],
    *[
        (flag, value, False)
        for flag in ("prompt_upsampling", "raw", "go_fast")
        for value in (False, "false", "False")
    ],
    ("image_prompt", URL, URL),
    *[("image_prompt_strength", value, float(value)) for value in (0, 1, "0.25")],
]

BAD = [
    *[
        ("aspect_ratio", value)
        for value in (
            "",
            "16x9",
            "16:9 ",
            "16:9\n",
            "0:1",
            "1:0",
            "-1:2",
            "16:9:1",
            "wide",
            1.5,
            True,
        )
    ],
    ("aspect_ratio", "1\u0666:9"),  # an Arabic digit: the API's \d knows 0 to 9 only
    *[("output_format", value) for value in ("jpeg", "PNG", "gif", "", 1)],
    *[("output_quality", value) for value in (-1, 101, 50.5, "high", "", True, math.inf)],
    *[("seed", value) for value in ("abc", "", 1.5, True, [1], math.nan, 2**53, -(2**53))],
    *[
        (side, value)
        for side in ("width", "height")
        for value in (255, 2049, 0, -512, "wide", 512.5, True)
    ],
    *[("resolution", value) for value in ("3 MP", "1mp", "1  MP", "1 MP ", "MP", 1, "0.5")],
    *[
        ("input_images", value)
        for value in (
            "[1]",
            ["ftp://"],
            ["https://"],
            ["HTTPS://a/b.png"],
            ["file://a/b.png"],
            ["data:image/png;base64,AA"],
            [""],
            [None],
            [b"a.png"],
            7,
        )
    ],
    *[("steps", value) for value in (0, 51, 1.5, "many", "", "1e1", False, math.inf)],
    *[
        ("guidance", value)
        for value in (1.4999, 10.0001, "strong", math.nan, math.inf, True, "nan")
    ],
    *[
        (flag, value)
        for flag in ("prompt_upsampling", "raw", "go_fast")
        for value in ("maybe", "", 2, [True])
    ],
    *[("image_prompt", value) for value in ("https://", "https:///a", "", 7)],
    *[("image_prompt_strength", value) for value in (-0.0001, 1.0001, "half", True, math.nan)],
]

EVERY = {"aspect_ratio", "output_format", "output_quality", "seed", "width", "height"}
TAKES = {
    "flux-2-flex": EVERY | {"resolution", "input_images", "steps", "guidance", "prompt_upsampling"},
    "flux-2-pro": EVERY | {"resolution", "input_images", "prompt_upsampling"},
    "flux-2-max": EVERY | {"resolution", "input_images"},
    "flux-2-dev": EVERY | {"input_images", "go_fast"},
    "flux-1.1-pro": EVERY | {"image_prompt", "image_prompt_strength", "prompt_upsampling"},
    "flux-1.1-pro-ultra": EVERY
    | {"image_prompt", "image_prompt_strength", "prompt_upsampling", "raw"},
}
EXAMPLES = {
    "aspect_ratio": "1:1",
    "output_format": "png",
    "output_quality": 90,
    "seed": 1,
    "width": 512,
    "height": 512,
    "resolution": "1 MP",
    "input_images": [URL],
    "steps": 20,
    "guidance": 3.0,
    "prompt_upsampling": True,
    "image_prompt": URL,
    "image_prompt_strength": 0.5,
    "raw": True,
    "go_fast": True,
}


def refusal(values, model="flux-2-flex", **templated) -> InvalidRequestError:
    with pytest.raises(InvalidRequestError) as caught:
        FluxParams.parse(values, model=model, **templated)
    return caught.value


@pytest.mark.parametrize(("name", "value", "sent"), GOOD)
def test_a_good_value_is_sent_in_its_own_type(name, value, sent):
    wire = FluxParams(**{name: value}).as_dict()
    assert wire == {name: sent}
    assert type(wire[name]) is type(sent)


@pytest.mark.parametrize(("name", "value"), BAD)
def test_a_bad_value_is_refused_with_parameter_value_and_what_is_allowed(name, value):
    error = refusal({name: value}, model=None)
    assert str(error).startswith(f"flux_params: {name}={value!r}: must be ")
    assert ALLOWED[name] in str(error)
    assert list(error.fields) == [name]


def test_every_wrong_parameter_is_named_in_one_error():
    error = refusal({"steps": 99, "guidance": 0, "colour": "red", "seed": 1})
    assert set(error.fields) == {"steps", "guidance", "colour"}
    assert all(piece in str(error) for piece in ("steps=99", "guidance=0", "colour='red'"))


def test_a_long_value_is_cut_and_its_length_told():
    text = str(refusal({"input_images": [URL] * 11}))
    assert "... (11 items)" in text
    assert len(text) < 240


def test_an_error_of_a_parameter_is_also_a_value_error():
    assert isinstance(refusal({"steps": 0}), ValueError)


@pytest.mark.parametrize(
    "values", [{"steps": 51}, {"stepz": 5}, {"stepz": None}, {"width": "wide"}]
)
def test_direct_construction_is_refused_in_the_same_way(values):
    with pytest.raises(InvalidRequestError, match=f"flux_params: {next(iter(values))}="):
        FluxParams(**values)


@pytest.mark.parametrize(
    ("typo", "meant"),
    [
        ("step", "steps"),
        ("Guidance", "guidance"),
        ("aspectRatio", "aspect_ratio"),
        ("ASPECT_RATIO", "aspect_ratio"),
        ("output_fromat", "output_format"),
        ("input_image", "input_images"),
        ("prompt_upsample", "prompt_upsampling"),
        ("hight", "height"),
    ],
)
def test_a_typo_is_answered_with_the_name_that_was_meant(typo, meant):
    assert f"{typo}=1: unknown parameter, did you mean {meant!r}?" in str(refusal({typo: 1}))


def test_a_name_like_no_other_is_answered_with_the_names_the_model_takes():
    text = str(refusal({"colour": "red"}, model="flux-2-max"))
    assert text.endswith(
        "known are aspect_ratio, output_format, output_quality, seed, width, height, resolution, "
        "input_images"
    )


@pytest.mark.parametrize("model", ["flux-2-flex", "flux-2-max"])
def test_a_name_the_model_does_not_take_is_never_suggested(model):
    text = str(refusal({"negative_prompt": "blur"}, model=model))
    assert "image_prompt" not in text


@pytest.mark.parametrize("name", [1, ("a", "b"), None])
def test_a_name_that_is_no_text_is_refused(name):
    assert "unknown parameter" in str(refusal({name: 1}))


@pytest.mark.parametrize("model", TAKES)
def test_a_model_takes_its_own_parameters_and_no_others(model):
    def takes(name):
        alone = {name: EXAMPLES[name]}
        values = alone | ({"width": 512, "height": 512} if name in ("width", "height") else {})
        try:
            FluxParams.parse(values, model=model)
        except InvalidRequestError:
            return False
        return True

    assert {name for name in EXAMPLES if takes(name)} == TAKES[model]


def test_a_parameter_of_other_models_is_refused_with_their_names():
    text = str(refusal({"steps": 20}, model="flux-2-pro"))
    assert text == "flux_params: steps=20: flux-2-pro does not take it; models that do: flux-2-flex"
    assert "models that do: flux-1.1-pro, flux-1.1-pro-ultra" in str(refusal({"image_prompt": URL}))


def test_a_model_that_is_not_known_gets_the_general_checks_only():
    assert (
        FluxParams.parse(dict(EXAMPLES, aspect_ratio="custom"), model="flux-3").as_dict().keys()
        == EXAMPLES.keys()
    )
    assert "steps=99" in str(refusal({"steps": 99}, model="flux-3"))


@pytest.mark.parametrize(
    ("model", "most"),
    [("flux-2-dev", 5), ("flux-2-pro", 8), ("flux-2-max", 8), ("flux-2-flex", 10)],
)
def test_a_model_takes_so_many_reference_images(model, most):
    assert FluxParams.parse({"input_images": MANY[:most]}, model=model).input_images == MANY[:most]
    allowed = f"up to {most}"
    assert allowed in str(refusal({"input_images": [*MANY, URL][: most + 1]}, model=model))


@pytest.mark.parametrize(
    ("model", "most"), [(model, 1440 if model == "flux-1.1-pro" else 2048) for model in TAKES]
)
def test_a_model_paints_up_to_so_many_pixels_a_side(model, most):
    FluxParams.parse({"width": most, "height": most}, model=model)
    error = refusal({"width": most + 1, "height": 512}, model=model)
    assert list(error.fields) == ["width"]
    assert str(most) in str(error)


MATCH = "match_input_image"


@pytest.mark.parametrize(
    "values",
    [
        {"width": 512, "height": 768},
        {"aspect_ratio": "custom", "width": 512, "height": 768},
        {"aspect_ratio": "16:9", "resolution": "1 MP"},
        {"aspect_ratio": MATCH, "input_images": [URL]},
        {"resolution": MATCH, "input_images": [URL]},
        {"aspect_ratio": MATCH, "resolution": "1 MP", "input_images": [URL]},
        {"aspect_ratio": "16:9", "width": None, "height": None},
    ],
)
def test_parameters_that_go_together_are_taken(values):
    assert FluxParams.parse(values, model="flux-2-flex").as_dict() == {
        k: v for k, v in values.items() if v is not None
    }


@pytest.mark.parametrize(
    ("values", "wrong", "piece"),
    [
        (
            {"aspect_ratio": "16:9", "width": 512, "height": 512},
            {"width", "height"},
            "\"custom\" or none, not with '16:9'",
        ),
        (
            {"aspect_ratio": "16:9", "height": 512},
            {"height"},
            "\"custom\" or none, not with '16:9'",
        ),
        (
            {"aspect_ratio": MATCH, "width": 512, "height": 512, "input_images": [URL]},
            {"width", "height"},
            f"not with '{MATCH}'",
        ),
        ({"width": 512}, {"width"}, "width=512: goes with height, which is not set"),
        ({"height": 512}, {"height"}, "height=512: goes with width, which is not set"),
        ({"aspect_ratio": "custom", "width": 512}, {"width"}, "goes with height"),
        (
            {"aspect_ratio": "custom"},
            {"aspect_ratio"},
            '"custom" goes with width and height, which are not set',
        ),
        ({"aspect_ratio": MATCH}, {"aspect_ratio"}, "goes with input_images, which is not set"),
        ({"resolution": MATCH}, {"resolution"}, "goes with input_images, which is not set"),
        ({"resolution": MATCH, "input_images": []}, {"resolution"}, "goes with input_images"),
    ],
)
def test_parameters_that_do_not_go_together_are_refused(values, wrong, piece):
    error = refusal(values)
    assert set(error.fields) == wrong
    assert piece in str(error)


@pytest.mark.parametrize("model", ["flux-1.1-pro", "flux-1.1-pro-ultra"])
def test_match_input_image_is_not_explained_with_a_parameter_the_model_refuses(model):
    text = str(refusal({"aspect_ratio": MATCH}, model=model))
    assert "input_images, which is not set" not in text
    assert model in text


@pytest.mark.parametrize(
    ("values", "templated"),
    [
        ({"steps": "{{ steps }}"}, ["steps"]),
        ({"width": "{{ w }}", "height": 512}, ["width"]),
        ({"aspect_ratio": "custom", "width": "{{ w }}", "height": "{{ h }}"}, ["width", "height"]),
        ({"aspect_ratio": "{{ ratio }}", "width": 512, "height": 512}, ["aspect_ratio"]),
        ({"aspect_ratio": MATCH, "input_images": "{{ images }}"}, ["input_images"]),
        ({"resolution": MATCH, "input_images": "{{ images }}"}, ["input_images"]),
        ({"resolution": "{{ mp }}", "seed": 7}, ["resolution"]),
    ],
)
def test_a_templated_value_is_left_out_and_rules_that_need_it_wait(values, templated):
    params = FluxParams.parse(values, model="flux-2-flex", templated=templated)
    assert params.as_dict() == {
        name: value for name, value in values.items() if name not in templated
    }


@pytest.mark.parametrize(
    ("values", "templated", "model", "piece"),
    [
        (
            {"stepz": "{{ steps }}"},
            ["stepz"],
            "flux-2-flex",
            "stepz='{{ steps }}': unknown parameter, did you mean 'steps'?",
        ),
        ({"steps": "{{ steps }}"}, ["steps"], "flux-2-pro", "flux-2-pro does not take it"),
        ({"steps": "{{ steps }}", "guidance": 99}, ["steps"], "flux-2-flex", "guidance=99"),
        (
            {"aspect_ratio": "1:1", "width": "{{ w }}", "height": 512},
            ["width"],
            "flux-2-flex",
            "not with '1:1'",
        ),
        (
            {"aspect_ratio": "{{ ratio }}", "width": 512},
            ["aspect_ratio"],
            "flux-2-flex",
            "goes with height",
        ),
    ],
)
def test_what_is_wrong_whatever_the_templated_value_is_told_at_once(
    values, templated, model, piece
):
    assert piece in str(refusal(values, model=model, templated=templated))


def test_none_means_not_set():
    assert (
        FluxParams.parse(dict.fromkeys(TAKES["flux-2-flex"]), model="flux-2-flex").to_payload()
        == {}
    )
    assert FluxParams.parse({"steps": None}, model="flux-2-pro").to_payload() == {}


def test_values_that_look_empty_are_sent():
    values = {"seed": 0, "output_quality": 0, "prompt_upsampling": False}
    assert FluxParams.parse(values, model="flux-2-flex").to_payload() == values


@pytest.mark.parametrize("given", [{}, {"aspect_ratio": "custom"}])
def test_width_and_height_are_sent_with_custom(given):
    size = {"width": 512, "height": 768}
    assert FluxParams.parse(size | given, model="flux-2-flex").to_payload() == size | {
        "aspect_ratio": "custom"
    }


def test_custom_is_implied_on_the_wire_only():
    params = FluxParams.parse({"width": 512, "height": 768}, model="flux-2-flex")
    assert params.as_dict() == {"width": 512, "height": 768}


@given(model_and_params())
def test_any_valid_set_is_sent_as_it_was_given(drawn):
    model, values = drawn
    implied = {"aspect_ratio": "custom"} if "width" in values else {}
    assert FluxParams.parse(values, model=model).to_payload() == values | implied


@given(model_and_params())
def test_what_is_sent_reads_back_as_the_same(drawn):
    model, values = drawn
    wire = FluxParams.parse(values, model=model).to_payload()
    assert FluxParams.parse(json.loads(json.dumps(wire)), model=model).to_payload() == wire


@given(model_and_params())
def test_values_given_as_text_are_sent_in_their_own_type(drawn):
    model, values = drawn
    assert (
        FluxParams.parse(
            {name: str(value) for name, value in values.items()}, model=model
        ).as_dict()
        == values
    )


@given(data=st.data(), name=st.sampled_from(sorted(RANGES)))
def test_any_number_out_of_range_is_refused(data, name):
    low, high = RANGES[name]
    whole = st.integers(max_value=math.ceil(low) - 1) | st.integers(min_value=math.floor(high) + 1)
    broken = st.floats(max_value=low, exclude_max=True) | st.floats(
        min_value=high, exclude_min=True
    )
    assert list(refusal({name: data.draw(whole | broken)}, model=None).fields) == [name]


@pytest.mark.parametrize(
    ("sent", "refused", "other"),
    [
        ({"resolution": "1 MP", "seed": 1}, ["resolution"], {"resolution": "1MP", "seed": 1}),
        ({"resolution": "0.5MP"}, ["resolution"], {"resolution": "0.5 MP"}),
        (
            {"aspect_ratio": "custom", "width": 512, "height": 512},
            ["aspect_ratio"],
            {"width": 512, "height": 512},
        ),
        (
            {"aspect_ratio": MATCH, "input_images": [URL]},
            ["aspect_ratio"],
            {"resolution": MATCH, "input_images": [URL]},
        ),
        (
            {"resolution": MATCH, "input_images": [URL]},
            ["resolution"],
            {"aspect_ratio": MATCH, "input_images": [URL]},
        ),
        (
            {"aspect_ratio": "custom", "width": 512, "height": 512, "resolution": "4 MP"},
            ["aspect_ratio", "resolution"],
            {"width": 512, "height": 512, "resolution": "4MP"},
        ),
    ],
)
def test_a_refused_spelling_is_said_in_the_other_spelling(sent, refused, other):
    assert respell(sent, refused) == other


@pytest.mark.parametrize(
    ("sent", "refused"),
    [
        ({"resolution": "1 MP"}, []),
        ({"aspect_ratio": "16:9"}, ["aspect_ratio"]),
        ({"steps": 30}, ["steps"]),
        ({"resolution": "1 MP", "steps": 30}, ["resolution", "steps"]),
        ({"resolution": "1 MP"}, ["aspect_ratio"]),
        ({"resolution": "huge"}, ["resolution"]),
        ({"aspect_ratio": MATCH, "resolution": "1 MP"}, ["aspect_ratio"]),
        ({"aspect_ratio": "1:1", "resolution": MATCH}, ["resolution"]),
        ({}, ["resolution"]),
    ],
)
def test_what_has_no_other_spelling_is_not_respelled(sent, refused):
    assert respell(sent, refused) is None


SPELLED = st.sampled_from(["resolution", "aspect_ratio"])


@given(params=flux_params("flux-2-flex"), name=SPELLED)
def test_respelling_twice_gives_back_the_original(params, name):
    other = respell(params, [name])
    if (
        other is None or params.get(name) == "custom"
    ):  # "custom" has no counterpart in the other spelling
        return
    moved = name if name in other else next(iter(other.keys() - params.keys()))
    assert respell(other, [moved]) == params


@given(params=flux_params("flux-2-flex"), refused=st.sets(SPELLED, min_size=1))
def test_respelling_leaves_alone_what_was_not_refused(params, refused):
    other = respell(params, sorted(refused))
    if other is not None:
        kept = params.keys() - refused
        assert {name: other[name] for name in kept} == {name: params[name] for name in kept}


@given(params=flux_params("flux-2-flex"), refused=st.sets(SPELLED, min_size=1))
def test_respelling_does_not_touch_what_it_was_given(params, refused):
    before = json.dumps(params)
    respell(params, sorted(refused))
    assert json.dumps(params) == before


@pytest.mark.parametrize(
    ("model", "other"), [("flux-2-dev", None), ("flux-2-flex", {"resolution": "match_input_image"})]
)
def test_nothing_moves_to_a_parameter_that_the_model_does_not_take(model, other):
    assert respell({"aspect_ratio": "match_input_image"}, ["aspect_ratio"], model=model) == other


def test_a_typo_is_named_even_when_it_holds_nothing():
    with pytest.raises(InvalidRequestError, match="did you mean 'steps'"):
        FluxParams.parse({"stepz": None}, model="flux-2-flex")


def test_a_parameter_of_another_model_may_be_named_as_long_as_it_is_not_set():
    assert FluxParams.parse({"steps": None}, model="flux-2-pro").as_dict() == {}


def nested(depth: int) -> list:
    value: list = []
    for _ in range(depth):
        value = [value]
    return value


def endless() -> dict:
    value: dict = {}
    value["again"] = value
    return value


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("seed", 10**5000),
        ("seed", "1" * 5000),
        ("steps", 10**5000),
        ("input_images", nested(100_000)),
        ("input_images", "[" * 100_000),
        ("input_images", [URL] * 100_000),
        ("guidance", endless()),
        ("image_prompt", f"{URL}\ud800"),
        ("output_format", "\ud800"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_huge_deep_or_broken_value_is_refused_in_a_short_error(name, value):
    error = refusal({name: value})
    assert list(error.fields) == [name]
    assert len(str(error).encode()) < 350


@pytest.mark.parametrize(
    "name",
    ["\ud800", "x" * 100_000, "two\nlines", 10**5000, ("a",) * 1000],
    ids=["surrogate", "long text", "two lines", "huge number", "long tuple"],
)
def test_a_name_that_cannot_be_shown_is_refused_in_a_short_error(name):
    text = str(refusal({name: 1}))
    assert "unknown parameter" in text
    assert len(text.encode()) < 400
    assert "\n" not in text
