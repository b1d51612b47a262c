"""What is said of a parameter's name that the model does not have, and what is loaded to say it."""

from __future__ import annotations

import subprocess
import sys

import pytest

from airflow_provider_apiframe.api.errors import InvalidRequestError
from airflow_provider_apiframe.api.params.catalog import MODELS, TOOLS, models_taking, nearest_model
from airflow_provider_apiframe.api.params.families import FAMILIES, IMAGE_FIELDS, params_class
from airflow_provider_apiframe.api.params.request import GenerateRequest

URL = "https://images.example/a.png"


def refusal(model: str, /, **params: object) -> str:
    with pytest.raises(InvalidRequestError) as caught:
        GenerateRequest.parse(prompt="a mug", model=model, params=params)
    return str(caught.value)


@pytest.mark.parametrize(
    ("model", "given", "meant"),
    [
        ("nano-banana", "input_images", "image_input"),
        ("gpt-image-2", "image_input", "input_images"),
        ("gpt-image-2", "num_images", "number_of_images"),
        ("kling-image", "input_images", "image"),
        ("qwen-image", "image", "image_url"),
        ("imagen-4", "size", "image_size"),
        ("imagen-4", "aspectRatio", "aspect_ratio"),
        ("stable-diffusion-3", "format", "output_format"),
        ("flux-lora", "lora_id", "loraId"),
        ("flux-lora", "steps", "num_inference_steps"),
        ("flux-lora", "guidance", "guidance_scale"),
        ("flux-2-flex", "guidance_scale", "guidance"),
        ("seedream-4", "widht", "width"),
    ],
)
def test_the_name_that_is_meant_is_said(model, given, meant):
    assert f"{given}=1: unknown parameter, did you mean {meant!r}?" in refusal(model, **{given: 1})


def test_a_model_that_takes_images_nowhere_says_which_models_do():
    said = refusal("midjourney", input_images=[URL])
    assert said == (
        f"params: input_images=['{URL}']: unknown parameter, models that take it: flux-2-flex, "
        "flux-2-pro, flux-2-max, flux-2-dev, gpt-image-1.5, gpt-image-2"
    )


def test_of_many_models_the_first_are_named():
    said = refusal("imagen-4", seed=7)
    assert said.count("flux-") == 7
    assert said.endswith(f" and {len(models_taking('seed')) - 8} more")


@pytest.mark.parametrize("name", ["prompt", "model"])
def test_what_stands_beside_the_parameters_is_said_to(name):
    assert "is an argument of its own" in refusal("ideogram-v2", **{name: "x"})


def test_a_parameter_of_another_model_of_the_family_names_that_model():
    assert refusal("flux-2-pro", steps=3).endswith(
        "flux-2-pro does not take it; models that do: flux-2-flex"
    )


@pytest.mark.parametrize("model", ["ideogram-v3-turb", "Nano-Banana-Pro", "seedream5-pro"])
def test_a_misspelt_model_is_known_among_all(model):
    assert nearest_model(model) in MODELS


@pytest.mark.parametrize("model", [*MODELS, "my-own-model"])
def test_a_known_model_and_one_of_its_own_are_no_mistakes(model):
    assert nearest_model(model) is None


def test_every_family_has_models_and_its_images_are_known():
    assert {model.family for model in (*MODELS.values(), *TOOLS.values())} == FAMILIES.keys()
    images = {name for family in FAMILIES for name in params_class(family).image_fields}
    assert images <= IMAGE_FIELDS


def test_a_family_is_loaded_when_it_is_asked_for():
    code = (
        "import sys\n"
        "from airflow_provider_apiframe.api.params import tools\n"
        "from airflow_provider_apiframe.api.params.request import GenerateRequest\n"
        "GenerateRequest.parse(prompt='a mug', params={'seed': 7})\n"
        "loaded = lambda: {name.rpartition('.')[2] for name in sys.modules if '.params.' in name}\n"
        "assert not loaded() & {'seedream', 'upscale', 'midjourney'}, loaded()\n"
        "GenerateRequest.parse(prompt='a mug', model='seedream-4', params={'seed': 7})\n"
        "assert loaded() & {'seedream', 'upscale', 'midjourney'} == {'seedream'}, loaded()\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
