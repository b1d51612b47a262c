"""The parameters of any model: their two names, the families, and models that are not known."""

from __future__ import annotations

import json
import sys
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_apiframe.api.errors import InvalidRequestError
from airflow_provider_apiframe.api.params import catalog, families
from airflow_provider_apiframe.api.params.base import ModelParams
from airflow_provider_apiframe.api.params.catalog import Model
from airflow_provider_apiframe.api.params.families import Family
from airflow_provider_apiframe.api.params.flux import FluxParams
from airflow_provider_apiframe.api.params.other import MAX_BYTES, OtherParams
from airflow_provider_apiframe.api.params.request import GenerateRequest

NEW = "foo-9"


class BarParams(ModelParams):
    """A family with a needed parameter, a number of images and none of Flux's names."""

    key = "barParams"
    image_fields = ("picture",)

    picture: str | None = None
    num_outputs: int | None = None
    style: str | None = None


@pytest.fixture
def bar(monkeypatch):
    """The catalogue with another family, whose module is loaded like that of any other."""
    names = frozenset(BarParams.model_fields)
    model = Model("bar-1", "bar", names, required=frozenset({"style"}), prompt_max=3000)
    monkeypatch.setitem(catalog.MODELS, "bar-1", model)
    monkeypatch.setitem(families.FAMILIES, "bar", Family("barParams", "bar"))
    module = f"{families.__name__.rpartition('.')[0]}.bar"
    monkeypatch.setitem(sys.modules, module, SimpleNamespace(BarParams=BarParams))
    yield
    families.params_class.cache_clear()


def parsed(**arguments: Any) -> GenerateRequest:
    return GenerateRequest.parse(**{"prompt": "a mug", **arguments})


def refusal(**arguments: Any) -> str:
    with pytest.raises(InvalidRequestError) as caught:
        parsed(**arguments)
    return str(caught.value)


FORMS = [{"steps": 30, "seed": 7}, '{"steps": 30, "seed": 7}', FluxParams(steps=30, seed=7)]


@pytest.mark.parametrize("form", FORMS, ids=["mapping", "text", "object"])
def test_params_and_flux_params_make_the_same_request(form):
    assert parsed(params=form).to_payload() == parsed(flux_params=form).to_payload()


@pytest.mark.parametrize("name", ["params", "flux_params"])
@pytest.mark.parametrize(("value", "said"), [({"steps": 99}, ": steps=99: must"), (5, "=5: must")])
def test_an_error_says_the_name_that_was_given(name, value, said):
    assert refusal(**{name: value}).startswith(f"{name}{said}")


def test_both_names_at_once_are_refused():
    assert "another name of params" in refusal(params={"seed": 1}, flux_params={"seed": 1})


def test_a_model_of_another_family_has_its_own_checks_and_its_own_name_in_the_body(bar):
    request = parsed(model="bar-1", params={"style": "bold", "num_outputs": "3"})
    assert request.to_payload() == {
        "prompt": "a mug",
        "model": "bar-1",
        "barParams": {"style": "bold", "num_outputs": 3},
    }
    assert (request.outputs, request.seed, request.output_format) == (3, None, None)


def test_a_parameter_that_a_model_needs_must_be_set(bar):
    assert refusal(model="bar-1") == "params: style: is not set, and bar-1 needs it"


def test_flux_params_of_a_model_that_is_no_flux_model_are_refused(bar):
    text = refusal(model="bar-1", flux_params={"style": "bold"})
    assert text.startswith("flux_params={'style': 'bold'}: ")
    assert "as params (ImageGenerateOperator)" in text


@pytest.mark.parametrize("model", ["flux-2-flex", NEW])
def test_a_parameter_of_another_family_names_the_models_that_take_it(bar, model):
    text = refusal(model=model, flux_params={"picture": "https://a.example/1.png"})
    assert "unknown parameter, models that take it: bar-1" in text


def test_a_name_that_several_families_have_is_looked_up_in_the_models_own(bar, monkeypatch):
    taking = Model("bar-2", "bar", frozenset({"steps"}))
    monkeypatch.setitem(catalog.MODELS, "bar-2", taking)
    text = refusal(model="flux-2-pro", params={"steps": 3})
    assert text.endswith("does not take it; models that do: flux-2-flex")


@pytest.mark.parametrize(("model", "length"), [("flux-2-flex", 2000), ("bar-1", 3000), (NEW, 2000)])
def test_a_prompt_may_be_as_long_as_its_model_takes(bar, model, length):
    params = {"style": "bold"} if model == "bar-1" else None
    parsed(model=model, prompt="x" * length, params=params)
    assert f"1 to {length}" in refusal(model=model, prompt="x" * (length + 1), params=params)


def test_with_flux_params_an_unknown_model_is_taken_for_a_flux_model():
    request = parsed(model=NEW, flux_params={"steps": "30"})
    assert request.to_payload()["fluxParams"] == {"steps": 30}
    assert "steps=99" in refusal(model=NEW, flux_params={"steps": 99})


def test_with_params_an_unknown_model_takes_one_object_by_its_name_in_the_body():
    values = {"style": "bold", "nested": {"list": [1, 2.5, True, None]}, "seed": 3, "n": 4}
    request = parsed(model=NEW, params={"fooParams": values})
    assert request.to_payload() == {"prompt": "a mug", "model": NEW, "fooParams": values}
    assert (request.outputs, request.seed, request.output_format) == (4, 3, None)
    assert parsed(model=NEW, params=json.dumps({"fooParams": values})) == request


@pytest.mark.parametrize(
    "params", [{"fluxParams": {"steps": "30"}}, FluxParams(steps=30)], ids=["mapping", "object"]
)
def test_the_object_of_a_known_family_gets_that_familys_checks(params):
    assert parsed(model=NEW, params=params).to_payload()["fluxParams"] == {"steps": 30}
    assert refusal(model=NEW, params={"fluxParams": {"steps": 99}}).startswith("params: steps=99")


@pytest.mark.parametrize("params", [None, {}, "{}"])
def test_an_unknown_model_may_have_no_params(params):
    assert parsed(model=NEW, params=params).to_payload() == {"prompt": "a mug", "model": NEW}


@pytest.mark.parametrize(
    "params",
    [
        {"style": "bold"},
        {"fooParams": "bold"},
        {"fooParams": {}, "barParams": {}},
        {"model": {"a": 1}},
        {"webhookUrl": {"a": 1}},
        {7: {}},
    ],
)
def test_other_params_of_an_unknown_model_are_refused(params):
    assert '{"fooParams": {...}}' in refusal(model=NEW, params=params)


def test_a_model_that_is_just_misspelt_is_named():
    assert "did you mean 'flux-2-flex'" in refusal(model="flux-2-flexx", params={"steps": 3})


def test_a_text_that_is_too_long_for_a_model_id_is_refused_and_cut_short():
    for params in (None, {"steps": 3}):
        text = refusal(model="a mug " * 1000, params=params)
        assert "model='a mug a mug" in text
        assert "(6000 characters): must be a model id such as flux-2-flex" in text
        assert len(text) < 300
    parsed(model="m" * 100)


DEEP: Any = {}
for _ in range(8):
    DEEP = {"a": DEEP}


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        (DEEP, "nested more than 8 levels"),
        ({"a": "x" * MAX_BYTES}, "at most 100000 bytes"),
        ({"a": float("nan")}, "not finite"),
        ({"a": 10**5000}, "not finite"),
        ({"a": {1: 2}}, "must be text"),
        ({"a": {1, 2}}, "must be JSON, not set"),
        ({"a": b"x"}, "must be JSON, not bytes"),
    ],
)
def test_what_is_no_json_or_too_much_of_it_is_refused(values, reason):
    text = refusal(model=NEW, params={"fooParams": values})
    assert text.startswith("params['fooParams']=")
    assert reason in text


def test_eight_levels_are_taken():
    assert parsed(model=NEW, params={"fooParams": DEEP["a"]}).params.value("a") == DEEP["a"]["a"]


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.text(), st.lists, max_leaves=8))
def test_what_is_sent_is_what_was_given(value):
    sent = OtherParams.of("fooParams", {"a": value}, name="params").to_payload()
    assert sent == {"a": value}


@pytest.mark.parametrize(("count", "outputs"), [(-3, 1), ("4", 4), (True, 1), (2, 2)])
def test_only_a_number_above_one_counts_as_more_images(count, outputs):
    assert parsed(model=NEW, params={"fooParams": {"n": count}}).outputs == outputs


def test_an_unknown_models_job_is_known_again():
    request = parsed(model=NEW, params={"fooParams": {"a": 1}})
    assert request.paired_images({**request.to_payload(), "webhookUrl": None}) == []
    assert request.paired_images({**request.to_payload(), "fooParams": {"a": 2}}) is None
