"""What we send and read, against the vendor's OpenAPI file where it lies beside the repository."""

from __future__ import annotations

import email
import io
import json
import re
from typing import Any

import pytest
from flux_strategies import FLUX_MODELS, model_and_params
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from vendor_contract import OPENAPI, image_models, schemas

from airflow_provider_apiframe.api.endpoints import Call, upload
from airflow_provider_apiframe.api.errors import InsufficientCreditsError, InvalidRequestError
from airflow_provider_apiframe.api.image_file import MAX_UPLOAD_BYTES, ImageFile
from airflow_provider_apiframe.api.models import (
    Account,
    Job,
    JobAccepted,
    JobPage,
    ModelList,
    UploadedFile,
)
from airflow_provider_apiframe.api.params.flux import FluxParams, respell
from airflow_provider_apiframe.api.params.request import GenerateRequest
from airflow_provider_apiframe.api.responses import Response, error_from_response, parse_response
from airflow_provider_apiframe.api.settings import ClientSettings

jsonschema = pytest.importorskip("jsonschema")

if not OPENAPI.is_file():
    pytest.skip("the vendor's OpenAPI file is not there", allow_module_level=True)

PATHS: dict[str, Any] = json.loads(OPENAPI.read_text())["paths"]
SCHEMAS = schemas()
SETTINGS = ClientSettings(api_key="afk_0123456789")

BRANCHES = {
    model: contract.body for model, contract in image_models().items() if model in FLUX_MODELS
}
VALIDATORS = {model: jsonschema.Draft202012Validator(branch) for model, branch in BRANCHES.items()}
PROMPTS = st.text(min_size=1, max_size=60).filter(str.strip)
WEBHOOKS = st.just({}) | st.fixed_dictionaries(
    {"webhook_url": st.just("https://hooks.example/a?b=c")},
    optional={
        "webhook_events": st.lists(
            st.sampled_from(["progress", "completed", "failed"]), min_size=1, max_size=3
        )
    },
)


def refused_params(model: str, wire: dict[str, Any]) -> list[str]:
    """Return the fluxParams that the vendor's schema refuses; any other refusal fails the test."""
    errors = list(VALIDATORS[model].iter_errors(wire))
    assert all(len(error.absolute_path) >= 2 for error in errors), errors
    return sorted({str(error.absolute_path[1]) for error in errors})


@pytest.mark.parametrize("model", FLUX_MODELS)
def test_we_know_every_flux_param_of_the_vendor_and_no_other(model):
    assert (
        BRANCHES[model]["properties"]["fluxParams"]["properties"].keys()
        == FluxParams.model_fields.keys()
    )


@given(model_and_params(dialects=("openapi",)), PROMPTS, WEBHOOKS)
def test_every_request_in_the_vendors_spelling_fits_the_vendors_schema(drawn, prompt, webhook):
    model, params = drawn
    wire = GenerateRequest.parse(
        prompt=prompt, model=model, flux_params=params, **webhook
    ).to_payload()
    assert list(VALIDATORS[model].iter_errors(wire)) == []


@given(model_and_params(dialects=("openapi", "page")))
def test_a_request_in_the_docs_spelling_fits_the_vendors_schema_once_respelled(drawn):
    model, params = drawn
    wire = GenerateRequest.parse(prompt="x", model=model, flux_params=params).to_payload()
    refused = refused_params(model, wire)
    if not refused:
        return
    other = respell(wire["fluxParams"], refused)
    if other is None:  # match_input_image cannot move to a resolution that is set to something else
        assert params["aspect_ratio"] == "match_input_image"
        assert "resolution" in params
        return
    assert refused_params(model, {**wire, "fluxParams": other}) == []


NEAR_RANGES = (
    st.integers(-2, 2050)
    | st.floats(-2, 12)
    | st.sampled_from(["1:1", "1MP", "jpg", "jpeg", "", "x", "16:9:1", "1:x"])
)


@settings(suppress_health_check=[HealthCheck.filter_too_much])
@given(st.sampled_from(sorted(FluxParams.model_fields.keys() - {"width", "height"})), NEAR_RANGES)
def test_what_the_vendors_schema_refuses_is_refused_before_it_is_sent(name, value):
    try:
        sent = FluxParams.parse({name: value}, model=None).to_payload()
    except InvalidRequestError:
        return
    assert (
        refused_params("flux-2-flex", {"prompt": "x", "model": "flux-2-flex", "fluxParams": sent})
        == []
    )


def shaped(schema: dict[str, Any]) -> st.SearchStrategy[Any]:
    """Draw JSON values of the vendor's shape."""
    if "$ref" in schema:
        return shaped(SCHEMAS[schema["$ref"].rpartition("/")[2]])
    if "anyOf" in schema:
        return st.one_of([shaped(choice) for choice in schema["anyOf"]])
    if "enum" in schema:
        return st.sampled_from(schema["enum"])
    kinds = schema.get("type", [])
    return st.one_of(
        [_of_kind(kind, schema) for kind in ([kinds] if isinstance(kinds, str) else kinds)]
        or [ANYTHING]
    )


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3)
    ),
    max_leaves=5,
)
FORMATS = {
    "uuid": st.uuids().map(str),
    "uri": st.just("https://cdn.example/uploads/a.png"),
    "date-time": st.datetimes().map(lambda moment: f"{moment.isoformat(timespec='milliseconds')}Z"),
}


def _of_kind(kind: str, schema: dict[str, Any]) -> st.SearchStrategy[Any]:
    if kind == "object":
        fields = {name: shaped(inner) for name, inner in schema.get("properties", {}).items()}
        required = {name: fields.pop(name) for name in schema.get("required", [])}
        return st.fixed_dictionaries(required, optional=fields)
    if kind == "array":
        return st.lists(shaped(schema["items"]), max_size=3)
    bounds = schema.get("minimum"), schema.get("maximum")
    return {
        "null": st.none(),
        "boolean": st.booleans(),
        "integer": st.integers(*bounds),
        "number": st.integers(*bounds) | st.floats(*bounds, allow_nan=False, allow_infinity=False),
        "string": FORMATS.get(schema.get("format", ""), st.text(min_size=1, max_size=20)),
    }[kind]


def snake(name: str) -> str:
    return re.sub(r"(?=[A-Z])", "_", name).lower()


@pytest.mark.parametrize(
    ("model", "schema"),
    [
        (JobAccepted, "JobAccepted"),
        (Job, "Job"),
        (JobPage, "JobList"),
        (Account, "Me"),
        (ModelList, "ModelCatalog"),
        (UploadedFile, "Upload"),
    ],
)
@given(data=st.data())
def test_every_response_of_the_vendors_shape_is_read(model, schema, data):
    response = data.draw(shaped(SCHEMAS[schema]))
    read = parse_response(
        Call("/v2", model), Response(200, {}, json.dumps(response).encode()), SETTINGS
    )
    plain = {
        name
        for name, value in response.items()
        if not isinstance(value, dict | list) and snake(name) in model.model_fields
    }
    expected = {name: response[name] for name in plain}
    if model is Job and (expected.get("creditCost") or 0) < 0:
        expected["creditCost"] = None  # the shape allows it, and no limit may grow by it
    assert {name: getattr(read, snake(name)) for name in plain} == expected


def test_an_upload_is_sent_as_the_vendor_wants_it():
    form = PATHS["/v2/uploads"]["post"]["requestBody"]["content"]["multipart/form-data"]["schema"]
    call = next(upload(ImageFile.read(io.BytesIO(b"GIF89a"), "a.gif")))
    assert (call.method, call.path) == ("POST", "/v2/uploads")
    head = f"content-type: {call.headers(SETTINGS)['Content-Type']}\r\n\r\n".encode()
    parts = email.message_from_bytes(head + call.content).get_payload()
    assert [part.get_param("name", header="content-disposition") for part in parts] == [
        *form["required"]
    ]
    assert parts[0].get_payload(decode=True) == b"GIF89a"
    said = PATHS["/v2/uploads"]["post"]["description"]
    assert f"max {MAX_UPLOAD_BYTES // 1024**2} MB image" in said


@given(shaped(SCHEMAS["InsufficientCredits"]))
def test_both_numbers_of_the_vendors_402_are_read(response):
    error = error_from_response(
        Call("/v2", JobAccepted, body={}),
        Response(402, {}, json.dumps(response).encode()),
        SETTINGS,
    )
    assert isinstance(error, InsufficientCreditsError)
    assert (error.required, error.available) == (
        response["creditsRequired"],
        response["creditsAvailable"],
    )


@given(st.dictionaries(st.text(max_size=9), st.lists(st.text(max_size=9), max_size=3), max_size=3))
def test_the_fields_of_the_vendors_400_are_read(details):
    response = {"error": "Validation failed", "details": details}
    jsonschema.validate(response, SCHEMAS["ValidationError"])
    error = error_from_response(
        Call("/v2", JobAccepted, body={}),
        Response(400, {}, json.dumps(response).encode()),
        SETTINGS,
    )
    assert isinstance(error, InvalidRequestError)
    assert error.fields == details
