"""What each model and tool accepts, against the vendor's OpenAPI file where that is at hand."""

from __future__ import annotations

import pytest
from vendor_contract import OPENAPI

from airflow_provider_apiframe.sandbox.state.models import MODELS
from airflow_provider_apiframe.sandbox.web.schemas.flux import RESOLUTIONS, ListedResolutionBody
from airflow_provider_apiframe.sandbox.web.schemas.requests import KINDS, adapter
from airflow_provider_apiframe.sandbox.web.validation import InvalidRequest, validate_submission

pytest.importorskip("jsonschema")

at_hand = pytest.mark.skipif(
    not OPENAPI.exists(), reason="the vendor's OpenAPI file is not at hand"
)
PARENT = "3f2504e0-4f89-41d3-9a0c-0305e82c3301"
CHOICES = [(kind, choice) for kind, each in KINDS.items() for choice in each.bodies]


def accepts(kind, body, dialect="openapi"):
    try:
        return validate_submission(kind, body, dialect) == body
    except InvalidRequest:
        return False


@at_hand
@pytest.mark.parametrize(("kind", "choice"), CHOICES)
def test_every_limit_of_a_model_is_the_vendors(kind, choice):
    from vendor_schemas import bodies, variant_validator

    vendor = variant_validator(kind, choice)
    judged = [(body, vendor.is_valid(body)) for body in bodies(kind, choice)]
    assert [body for body, valid in judged if accepts(kind, body) is not valid] == []
    # The first body is valid, and there are refusals to compare.
    assert judged[0][1]
    assert sum(valid for _, valid in judged) >= 5
    assert sum(not valid for _, valid in judged) >= 50


def listed_values(schema):
    """What a JSON schema lists of each field, those of the objects in it under their own names."""
    fields = [schema, *schema.get("$defs", {}).values()]
    named = [item for each in fields for item in each.get("properties", {}).items()]
    listed = {name: set(field["enum"]) for name, field in named if "enum" in field}
    inner = [field for _, field in named if field.get("type") == "object"]
    return listed | {name: values for each in inner for name, values in listed_values(each).items()}


@at_hand
@pytest.mark.parametrize(("kind", "choice"), CHOICES)
def test_a_model_lists_the_values_that_the_vendor_lists(kind, choice):
    from vendor_schemas import discriminator, variants

    vendors = listed_values(variants(kind)[choice])
    del vendors[discriminator(kind)]  # a plain text in the schemas: it has chosen among them
    body = KINDS[kind].bodies[choice]
    ours = listed_values(adapter(body).json_schema())
    if body is ListedResolutionBody:  # a check of its own, as the dialect says what it lists
        ours["resolution"] = set(RESOLUTIONS["openapi"])
    assert ours == vendors


@at_hand
def test_the_sandbox_serves_the_vendors_models_and_no_others():
    from vendor_schemas import REQUESTS, variants

    assert {kind: set(each.bodies) for kind, each in KINDS.items()} == {
        kind: set(variants(kind)) for kind in REQUESTS
    }


def test_each_model_has_a_price_and_each_price_a_model():
    with_model = [each for each in KINDS.values() if each.discriminator == "model"]
    assert set(MODELS) == {model for each in with_model for model in each.bodies}


@pytest.mark.parametrize(
    ("kind", "body", "details"),
    [
        (
            "upscale",
            {"model": "topaz-image-upscale", "topazUpscaleParams": {"upscale_factor": 3}},
            {
                "topazUpscaleParams.image": ["Required"],
                "topazUpscaleParams.upscale_factor": ["Invalid input"],
            },
        ),
        ("edit", {"model": "flux-fill-pro"}, {"fluxFillParams": ["Required"]}),
        (
            "midjourney/action",
            {"action": "upsample", "parentJobId": "j-1", "index": 1},
            {"parentJobId": ["Invalid uuid"]},
        ),
        (
            "midjourney/action",
            {"action": "variation", "parentJobId": PARENT, "index": True},
            {"index": ["Invalid input"]},
        ),
        (
            "midjourney/action",
            {"action": "describe"},
            {
                "action": [
                    "Invalid discriminator value. Expected "
                    "'upsample' | 'variation' | 'inpaint' | 'outpaint' | 'pan'"
                ]
            },
        ),
        (
            "generate",
            {"model": "midjourney", "prompt": "a cat", "fluxParams": {}},
            {"": ["Unrecognized key(s) in object: 'fluxParams'"]},
        ),
        (
            "generate",
            {"model": "wan-image-2.7", "prompt": "a" * 5001},
            {"prompt": ["String must contain at most 5000 character(s)"]},
        ),
    ],
)
def test_a_refusal_is_in_the_words_of_zod(kind, body, details):
    with pytest.raises(InvalidRequest) as refused:
        validate_submission(kind, body, "both")
    assert refused.value.details == details
