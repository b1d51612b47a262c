"""Every model and tool, against the vendor's OpenAPI file where it lies beside the repository: what
the vendor takes is sent as it was given, and what it refuses is refused before anything is sent."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from vendor_contract import Contract, image_models, tool_models
from vendor_values import URL, broken, params_of, some_params

from airflow_provider_apiframe.api.errors import InvalidRequestError
from airflow_provider_apiframe.api.params.catalog import BY_PATH, MODELS, TOOLS
from airflow_provider_apiframe.api.params.families import (
    FAMILIES,
    IMAGE_FIELDS,
    class_of_key,
    params_class,
)
from airflow_provider_apiframe.api.params.request import GenerateRequest, ImageRequest
from airflow_provider_apiframe.api.params.tools import (
    BackgroundRemoveRequest,
    EditRequest,
    UpscaleRequest,
)

pytest.importorskip("jsonschema")

GENERATING, WORKING = image_models(), tool_models()
CONTRACTS = {**GENERATING, **WORKING}
REQUESTS = {
    kind.path: kind
    for kind in (GenerateRequest, UpscaleRequest, EditRequest, BackgroundRemoveRequest)
}

if not CONTRACTS:
    pytest.skip("the vendor's OpenAPI file is not there", allow_module_level=True)

# Few of each, for there are many models: the families are the same for several of them.
SOME = settings(max_examples=15, suppress_health_check=[HealthCheck.too_slow])


def request_for(contract: Contract, params: dict[str, Any]) -> ImageRequest:
    """Ask for what the vendor calls *params*, some of which are arguments of their own here."""
    own = {name: value for name, value in params.items() if name in arguments_of(contract)}
    params = {name: value for name, value in params.items() if name not in own}
    prompt = {"prompt": "a mug"} if contract.model in MODELS else {}
    kind = REQUESTS[contract.path]
    return kind.parse(model=contract.model, params=params, **prompt, **own)


def arguments_of(contract: Contract) -> frozenset[str]:
    return (MODELS.get(contract.model) or TOOLS[contract.model]).arguments


def is_consistent(params: dict[str, Any]) -> dict[str, Any]:
    """Keep of a mask and an outpaint what the mode of an edit is about."""
    if "mode" not in params:
        return params
    needed, other = ("mask", "outpaint") if params["mode"] == "inpaint" else ("outpaint", "mask")
    fitting = {name: value for name, value in params.items() if name != other}
    return {needed: {"mask": URL, "outpaint": "Make square"}[needed], **fitting}


def test_the_table_has_the_vendors_models():
    assert (set(MODELS), set(TOOLS)) == (set(GENERATING), set(WORKING))
    assert len(MODELS) == 51


@pytest.mark.parametrize("model", CONTRACTS)
def test_the_table_says_what_the_vendor_says_of_a_model(model):
    contract, entry = CONTRACTS[model], {**MODELS, **TOOLS}[model]
    family = params_class(entry.family)
    assert BY_PATH[contract.path][model] is entry
    assert FAMILIES[entry.family].key == family.key == contract.key
    assert {*family.model_fields, *entry.arguments} == contract.params.keys()
    assert entry.params <= family.model_fields.keys()
    if entry.family != "flux":  # whose models the vendor's file does not tell apart
        assert entry.params == family.model_fields.keys()
    required = {name for name in arguments_of(contract) if is_required(contract, name)}
    assert entry.required | required == contract.required
    assert contract.body["properties"].get("prompt", {}).get("maxLength", 2000) == entry.prompt_max


def is_required(contract: Contract, name: str) -> bool:
    return REQUESTS[contract.path].model_fields[name].is_required()


@pytest.mark.parametrize("family", FAMILIES)
def test_what_the_vendor_calls_an_image_is_one_here(family):
    images = {
        name
        for contract in CONTRACTS.values()
        for name, schema in contract.params.items()
        if contract.key == FAMILIES[family].key
        and "uri" in (schema.get("format"), schema.get("items", {}).get("format"))
    }
    own = {name for model in TOOLS.values() if model.family == family for name in model.arguments}
    assert images - own == set(params_class(family).image_fields)
    assert images <= IMAGE_FIELDS


def test_an_object_of_parameters_is_known_by_its_name_in_the_body():
    assert [class_of_key(family.key) for family in FAMILIES.values()] == [
        params_class(name) for name in FAMILIES
    ]
    assert class_of_key("fooParams") is None


@pytest.mark.parametrize("model", CONTRACTS)
def test_what_the_vendor_takes_is_sent_as_it_was_given(model):
    from vendor_schemas import variant_validator

    contract = CONTRACTS[model]
    validator = variant_validator(contract.path.removeprefix("/v2/images/"), model)

    @SOME
    @given(params_of(contract))
    def check(params: dict[str, Any]) -> None:
        params = is_consistent(params)
        payload = request_for(contract, params).to_payload()
        sent = payload.pop(contract.key, {})
        rest = {"prompt": "a mug"} if model in MODELS else {}
        assert (sent, payload) == (params, {"model": model, **rest})
        assert (
            list(validator.iter_errors({**payload, **({contract.key: sent} if sent else {})})) == []
        )
        assert json.loads(json.dumps(sent)) == sent

    check()


@pytest.mark.parametrize("model", CONTRACTS)
def test_numbers_and_lists_may_come_as_text(model):
    contract = CONTRACTS[model]

    @SOME
    @given(params_of(contract))
    def check(params: dict[str, Any]) -> None:
        params = is_consistent(params)
        as_text = {
            name: value if isinstance(value, str) else json.dumps(value)
            for name, value in params.items()
        }
        payload = request_for(contract, as_text).to_payload()
        assert payload.get(contract.key, {}) == params

    check()


@pytest.mark.parametrize("model", CONTRACTS)
def test_a_broken_limit_is_an_error_that_names_the_parameter_before_anything_is_sent(model):
    contract = CONTRACTS[model]
    entry = {**MODELS, **TOOLS}[model]
    checked = 0
    for name in sorted({*entry.params, *entry.arguments}):
        for value in broken(name, contract.params[name]):
            params = is_consistent({**some_params(contract)}) | {name: value}
            with pytest.raises(InvalidRequestError) as caught:
                request_for(contract, params)
            assert name in caught.value.fields, (name, value)
            assert name in str(caught.value)
            checked += 1
    assert checked


@pytest.mark.parametrize(
    ("model", "name"),
    [(model, name) for model, contract in CONTRACTS.items() for name in sorted(contract.required)],
)
def test_a_parameter_that_the_vendor_requires_is_required(model, name):
    contract = CONTRACTS[model]
    params = is_consistent(some_params(contract))
    del params[name]
    with pytest.raises((InvalidRequestError, TypeError)) as caught:  # an argument without default
        request_for(contract, params)
    assert name in str(caught.value)


@pytest.mark.parametrize("model", CONTRACTS)
def test_a_name_of_no_model_is_refused(model):
    contract = CONTRACTS[model]
    with pytest.raises(InvalidRequestError, match=r"params: zzz=1: unknown parameter, known are "):
        request_for(contract, is_consistent(some_params(contract)) | {"zzz": 1})


@pytest.mark.parametrize("model", GENERATING)
def test_a_prompt_is_as_long_as_the_model_takes(model):
    most = GENERATING[model].body["properties"]["prompt"]["maxLength"]
    params = some_params(GENERATING[model])
    for prompt in ("x" * most, "\N{PILE OF POO}" * (most // 2)):
        GenerateRequest.parse(model=model, prompt=prompt, params=params)
    with pytest.raises(InvalidRequestError, match=f"1 to {most} characters, has {most + 1}"):
        GenerateRequest.parse(model=model, prompt="x" * (most + 1), params=params)


@given(st.data())
def test_every_path_has_models_of_its_own(data):
    path = data.draw(st.sampled_from(sorted(REQUESTS)))
    other = data.draw(st.sampled_from(sorted(set(REQUESTS) - {path})))
    model = data.draw(st.sampled_from(sorted(BY_PATH[other])))
    with pytest.raises(InvalidRequestError, match=f"is for POST {other}; for {path} there are "):
        REQUESTS[path].checked({"model": model}, None)
