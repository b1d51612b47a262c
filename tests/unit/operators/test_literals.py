"""Checks while a DAG is read, for any kind of request."""

from __future__ import annotations

from typing import Any, ClassVar

import pytest
from airflow.providers.common.compat.sdk import DAG

from airflow_provider_apiframe.api.params.request import ImageRequest
from airflow_provider_apiframe.exceptions import InvalidParameterError
from airflow_provider_apiframe.literals import check_literals
from airflow_provider_apiframe.operators.flux import FluxGenerateOperator


class SharpenRequest(ImageRequest):
    """A kind of request of its own."""

    path: ClassVar[str] = "/v2/images/sharpen"
    image_fields = ("image",)

    image: str
    strength: int = 1

    @property
    def model(self) -> str:
        return "sharpen-1"

    @property
    def prompt(self) -> None:
        return None

    @property
    def params(self) -> None:
        return None

    def _body(self) -> dict[str, Any]:
        return {"model": self.model, "image": self.image, "strength": self.strength}


def refusal(**arguments: Any) -> str:
    with pytest.raises(InvalidParameterError) as caught:
        check_literals(task_id="poster", **arguments)
    return str(caught.value)


def test_wrong_arguments_of_the_request_and_of_the_task_are_told_in_one_error():
    text = refusal(prompt="", model="flux-2-flex", params={"steps": 99}, timeout=0)
    for piece in ("task 'poster': ", "prompt=''", "params: steps=99", "timeout=0"):
        assert piece in text


def test_another_kind_of_request_has_its_own_fields_checked():
    text = refusal(request_type=SharpenRequest, image=5, strength="much", timeout=0)
    for piece in ("image=5: must be text", "strength='much'", "timeout=0"):
        assert piece in text
    check_literals(request_type=SharpenRequest, strength="{{ params.strength }}", prompt="")


def test_an_image_with_a_template_inside_waits_for_it():
    images = [["{{ ds }}"], {"url": "{{ ds }}"}]
    for image in images:
        check_literals(request_type=SharpenRequest, image=image, strength=3)


def test_a_kind_without_parameters_swaps_its_images_and_knows_its_jobs_again():
    request = SharpenRequest(image="/a.png", strength=3)
    sent = request.replacing({"/a.png": "https://up.example/1"})
    assert (request.paths, sent.paths) == (["/a.png"], [])
    assert request.paired_images(sent.to_payload()) == [("/a.png", "https://up.example/1")]
    assert request.paired_images({**sent.to_payload(), "strength": 4}) is None
    assert (request.outputs, request.seed, request.output_format) == (1, None, None)


@pytest.mark.parametrize("name", ["params", "flux_params"])
def test_what_stands_beside_a_template_is_checked_under_either_name(name):
    params = {"seed": "{{ params.seed }}", "input_images": [{"url": "{{ ds }}"}], "steps": 99}
    text = refusal(params_name=name, prompt="a mug", model="flux-2-flex", **{name: params})
    assert text == f"task 'poster': {name}: steps=99: must be a whole number from 1 to 50 " + (
        "(default 30)"
    )


UNKNOWN = {"prompt": "a mug", "model": "foo-9"}


@pytest.mark.parametrize(
    "params",
    [
        {"fooParams": "{{ params.foo }}"},
        {"fooParams": {"style": "{{ params.style }}", "n": 3}},
        {"fooParams": {"deep": [{"style": "{{ params.style }}"}]}},
        {"fluxParams": {"steps": "{{ params.steps }}", "seed": 3}},
        "{{ params.all }}",
    ],
)
def test_templates_in_the_object_of_an_unknown_model_are_waited_for(params):
    check_literals(params=params, **UNKNOWN)


def test_what_stands_beside_a_template_in_that_object_is_checked():
    params = {"fluxParams": {"steps": "{{ params.steps }}", "seed": "x"}}
    assert "seed='x'" in refusal(params=params, **UNKNOWN)


def test_params_of_a_model_that_is_not_known_yet_wait_for_it():
    check_literals(prompt="a mug", model="{{ params.model }}", params={"style": "bold"})


def test_the_params_that_airflow_gives_every_task_are_not_the_models():
    with DAG("d"):
        one = FluxGenerateOperator(task_id="one", prompt="a mug", params={"steps": 99})
        FluxGenerateOperator.partial(task_id="many", params={"steps": 99}).expand(prompt=["a"])
    assert one.params["steps"] == 99
