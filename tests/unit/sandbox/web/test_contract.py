"""The sandbox against the vendor's OpenAPI file, where that is at hand."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from vendor_contract import OPENAPI

from airflow_provider_apiframe.sandbox.web.schemas.flux import BODIES
from airflow_provider_apiframe.sandbox.web.validation import (
    InvalidRequest,
    validate_submission,
)

pytest.importorskip("jsonschema")
from vendor_schemas import document, validator, variant_validator

pytestmark = pytest.mark.skipif(
    not OPENAPI.exists(), reason="the vendor's OpenAPI file is not at hand"
)


def accepts(body):
    try:
        validate_submission("generate", body, "openapi")
    except InvalidRequest:
        return False
    return True


def fits(name, answer):
    validator(name).validate(answer.json())
    return True


FLUX = sorted(BODIES.keys() - {"flux-lora"})  # those with fluxParams
RATIOS = ["1:1", "16:9", "1:", "custom", "match_input_image"]
RESOLUTIONS = ["1MP", "4MP", "3MP", "1 MP"]
words = st.sampled_from(
    ["", "30", "jpg", "jpeg", "png", "https://x.test/a.png", "a.png", *RATIOS, *RESOLUTIONS]
)
numbers = st.one_of(
    st.integers(-2, 60),
    st.sampled_from(
        [255, 256, 2048, 2049, 100, 101, 1.5, 1.49, 10, 10.01, 30.0, 0.5, 1e300, -1, 2**70]
    ),
)
values = st.one_of(
    words,
    numbers,
    st.booleans(),
    st.none(),
    st.lists(st.one_of(words, numbers), max_size=12),
    st.just({}),
)
TYPICAL = {
    "aspect_ratio": words,
    "width": st.integers(250, 2060),
    "height": st.integers(250, 2060),
    "resolution": words,
    "input_images": st.lists(words, max_size=12),
    "image_prompt": words,
    "image_prompt_strength": st.floats(-0.5, 1.5),
    "steps": st.integers(-1, 52),
    "guidance": st.floats(1, 11),
    "output_format": words,
    "output_quality": st.integers(-1, 102),
    "seed": numbers,
    "prompt_upsampling": st.booleans(),
    "raw": st.booleans(),
    "go_fast": st.booleans(),
}
params = st.one_of(
    st.fixed_dictionaries({}, optional=TYPICAL),
    st.fixed_dictionaries(
        {}, optional=dict.fromkeys([*TYPICAL, "safety_tolerance", "Steps"], values)
    ),
    values,
)
bodies = st.fixed_dictionaries(
    {},
    optional={
        "prompt": st.one_of(
            st.just("a cat"), st.sampled_from(["", "a" * 2000, "a" * 2001]), values
        ),
        "fluxParams": params,
        "webhookUrl": words,
        "webhookEvents": st.one_of(
            st.lists(st.sampled_from(["progress", "completed", "failed", "done"]), max_size=3),
            values,
        ),
        "imagenParams": st.just({}),
    },
)


@settings(max_examples=600, deadline=None)
@given(body=bodies, model=st.sampled_from(FLUX))
def test_the_openapi_dialect_accepts_what_the_vendor_accepts(body, model):
    body = {**body, "model": model}
    assert accepts(body) == variant_validator("generate", model).is_valid(body)


@settings(max_examples=300, deadline=None)
@given(
    one=st.sampled_from(sorted(TYPICAL)).flatmap(
        lambda name: st.tuples(st.just(name), st.one_of(TYPICAL[name], values))
    )
)
def test_each_parameter_alone_is_judged_as_by_the_vendor(one):
    name, value = one
    for model in FLUX:
        body = {"prompt": "a cat", "model": model, "fluxParams": {name: value}}
        assert accepts(body) == variant_validator("generate", model).is_valid(body)


@pytest.mark.parametrize(
    "body",
    [
        None,
        [],
        "text",
        {},
        {"prompt": "a"},
        {"model": "flux-2-flex"},
        {"prompt": "a", "model": "flux-9"},
    ],
)
def test_a_body_without_prompt_or_known_model_is_refused_by_both(body):
    assert not accepts(body)
    assert not validator("GenerateImageRequest").is_valid(body)


@pytest.mark.parametrize("ending", ["", "[fail: no]", "[cancel]", "[stuck]"])
def test_jobs_have_the_vendors_shape_at_every_moment(api, clock, ending):
    job_id = api.job_id(f"a cat {ending}", webhookUrl="http://203.0.113.7/hook")
    for _ in range(4):
        assert fits("Job", api.get(f"/v2/jobs/{job_id}"))
        assert fits("JobList", api.get("/v2/jobs", params={"include_models": "true"}))
        clock.advance(4)


def test_submissions_have_the_vendors_shape(api):
    assert fits("JobAccepted", api.generate(key="k1"))
    assert fits("JobAccepted", api.generate(key="k1"))
    assert fits("ErrorResponse", api.generate("other", key="k1"))
    assert fits("ValidationError", api.generate(""))
    assert fits("ValidationError", api.get("/v2/jobs", params={"limit": 0}))


def test_an_empty_balance_has_the_vendors_shape(serve, connect):
    answer = connect(serve(credits=3)).generate()
    assert answer.status_code == 402
    assert fits("InsufficientCredits", answer)


def test_account_and_catalog_have_the_vendors_shape(sandbox, api, connect):
    assert fits("Me", api.get("/v2/me"))
    assert fits("ModelCatalog", api.get("/v2/models"))
    assert fits("ErrorResponse", connect(sandbox, key=None).get("/v2/me"))
    assert fits("ErrorResponse", api.get("/v2/jobs/42"))


def test_the_responses_to_uploads_are_the_vendors(api):
    taken = api.post("/v2/uploads", files={"file": b"OggS"})
    refused = api.post("/v2/uploads", files={"file": b"<html>"})
    responses = document()["paths"]["/v2/uploads"]["post"]["responses"]
    assert {str(taken.status_code), str(refused.status_code)} <= responses.keys()
    assert fits("Upload", taken)
    assert fits("ValidationError", refused)
