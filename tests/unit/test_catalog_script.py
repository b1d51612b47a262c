"""``make catalog`` and the tables of docs/models.md."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_apiframe.api.params.catalog import MODELS, TOOLS, Model
from airflow_provider_apiframe.api.params.families import FAMILIES, params_class
from airflow_provider_apiframe.api.validation import fields_of

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = ROOT / "scripts" / "catalog.py"
PAGE = ROOT / "docs" / "models.md"
TOOL_SCHEMAS = {
    "ImageUpscaleRequest": ["topaz-image-upscale", "clarity-upscale"],
    "ImageEditRequest": ["flux-fill-pro"],
    "ImageBackgroundRemoveRequest": ["bria-bg-remove", "851-bg-remove"],
}
ARGUMENTS: dict[str, dict[str, Any]] = {
    "prompt": {"maxLength": 2000},
    "mode": {"enum": ["inpaint", "outpaint"]},
    "outpaint": {
        "enum": [
            *("Zoom out 1.5x", "Zoom out 2x", "Make square"),
            *(f"{side} outpaint" for side in ("Left", "Right", "Top", "Bottom")),
        ]
    },
}

if not SCRIPT.is_file():
    pytest.skip("the scripts are not there", allow_module_level=True)


def catalog(*arguments: str) -> tuple[int, list[str]]:
    """Run the script, and return how it ended and what it said, without complaints."""
    code, said, complained = run(*arguments)
    assert not complained, complained
    return code, said


def run(*arguments: str) -> tuple[int, list[str], list[str]]:
    """Run the script, and return how it ended, what it said and what it complained of."""
    done = subprocess.run(
        [sys.executable, str(SCRIPT), *arguments],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    return done.returncode, done.stdout.splitlines(), done.stderr.splitlines()


def branch(model: Model) -> dict[str, Any]:
    """Return what an OpenAPI file that agrees with the table says of a model."""
    fields = fields_of(params_class(model.family))
    params = {name: {**field, **field["anyOf"][0]} for name, field in fields.items()}
    params |= {name: {"type": "string", **ARGUMENTS.get(name, {})} for name in model.arguments}
    key = FAMILIES[model.family].key
    required = sorted(model.required)
    return {
        "properties": {
            "model": {"enum": [model.id]},
            "prompt": {"maxLength": model.prompt_max},
            key: {"properties": params, "required": required},
        }
    }


@pytest.fixture
def document() -> dict[str, Any]:
    """An OpenAPI file that agrees with the table."""
    schemas = {"GenerateImageRequest": {"oneOf": [branch(model) for model in MODELS.values()]}}
    for name, models in TOOL_SCHEMAS.items():
        schemas[name] = {"oneOf": [branch(TOOLS[model]) for model in models]}
    return {"components": {"schemas": schemas}}


@pytest.fixture
def compared(document, tmp_path) -> Callable[[], tuple[int, list[str]]]:
    def compared() -> tuple[int, list[str]]:
        file = tmp_path / "openapi.json"
        file.write_text(json.dumps(document))
        return catalog("--openapi", str(file))

    return compared


def test_a_file_that_agrees_with_the_table_is_no_news(compared):
    code, said = compared()
    assert code == 0
    assert said[-1].endswith("openapi.json: no differences from the table of models")
    assert len(said) == 1


def test_models_that_are_new_or_gone_are_named(document, compared):
    branches = document["components"]["schemas"]["GenerateImageRequest"]["oneOf"]
    ids = [each["properties"]["model"]["enum"] for each in branches]
    ids[[id[0] for id in ids].index("dall-e-2")][0] = "dall-e-9"
    code, said = compared()
    assert code == 1
    assert said[:-1] == ["dall-e-9: new", "dall-e-2: gone"]


def test_what_is_different_in_a_model_is_named(document, compared):
    branches = document["components"]["schemas"]["GenerateImageRequest"]["oneOf"]
    models = {each["properties"]["model"]["enum"][0]: each["properties"] for each in branches}
    models["midjourney"]["prompt"]["maxLength"] = 4000
    lora = models["flux-lora"]["fluxLoraParams"]
    lora["required"] = []
    lora["properties"]["num_outputs"]["maximum"] = 8
    lora["properties"]["style"] = {"type": "string"}
    del lora["properties"]["seed"]
    models["dall-e-3"]["dalleParams"]["properties"]["style"]["enum"] = ["vivid", "loud"]
    models["reve-create"]["reve2Params"] = models["reve-create"].pop("reveParams")
    models["seedream-4"]["seedreamParams"]["properties"]["width"]["type"] = "number"
    del models["seedream-4"]["seedreamParams"]["properties"]["height"]["maximum"]
    del models["kling-image"]["klingImageParams"]["properties"]["negative_prompt"]["maxLength"]
    code, said = compared()
    assert code == 1
    assert set(said[:-1]) == {
        "midjourney: prompt: has up to 4000 characters, not 2000",
        "flux-lora: style: new",
        "flux-lora: seed: gone",
        "flux-lora: required: nothing, not loraId",
        "flux-lora: num_outputs: maximum is 8, not 4",
        "dall-e-3: style: enum is loud, vivid, not natural, vivid",
        "reve-create: reveParams: gone; there is reve2Params",
        "seedream-4: width: is number, not integer",
        "seedream-4: height: maximum is nothing, not 4096",
        "kling-image: negative_prompt: maxLength is nothing, not 2500",
    }


def test_what_is_different_in_an_argument_of_a_tool_is_named(document, compared):
    (edit,) = document["components"]["schemas"]["ImageEditRequest"]["oneOf"]
    edit["properties"]["fluxFillParams"]["properties"]["mode"]["enum"] = ["inpaint"]
    code, said = compared()
    assert code == 1
    assert said[:-1] == ["flux-fill-pro: mode: enum is inpaint, not inpaint, outpaint"]


def test_a_limit_that_is_ours_alone_is_no_news(document, compared):
    branches = document["components"]["schemas"]["GenerateImageRequest"]["oneOf"]
    models = {each["properties"]["model"]["enum"][0]: each["properties"] for each in branches}
    for model, name in (
        ("ideogram-v2", "seed"),
        ("ideogram-v2", "negative_prompt"),
        ("ideogram-v2", "style_type"),
        ("gpt-image-2", "input_images"),
    ):
        params = models[model][FAMILIES[MODELS[model].family].key]["properties"]
        params[name] = {"type": params[name]["type"]}
    assert compared()[0] == 0


def test_the_live_catalogue_is_asked_without_a_key(sandbox):
    code, said = catalog("--base-url", sandbox.url)
    assert (code, said[-1]) == (
        0,
        f"{sandbox.url}/v2/models?modality=image: no differences from the table of models",
    )
    assert sandbox.state.requests == {"models": 1}


def test_a_model_that_is_listed_for_the_first_time_is_news(sandbox):
    listed = {"models": [{"id": "foo-9", "label": "Foo", "modality": "image"}]}
    sandbox.faults.next("models", status=200, body=listed)
    code, said = catalog("--base-url", sandbox.url)
    assert code == 1
    assert f"{len(MODELS) + len(TOOLS)} models are not listed, and may work" in said[0]
    assert said[1] == "foo-9: new"


def test_what_cannot_be_read_is_one_line(tmp_path, sandbox):
    missing = tmp_path / "openapi.json"
    page = tmp_path / "page.html"
    page.write_text("<html>")
    others = [tmp_path / f"{number}.json" for number in range(3)]
    for file, other in zip(others, ({"openapi": "3.1.0"}, [], {"components": None}), strict=True):
        file.write_text(json.dumps(other))
    sandbox.faults.next("models", status=503)
    for option, value in (
        ("--openapi", missing),
        ("--openapi", page),
        *(("--openapi", file) for file in others),
        ("--write", missing),
        ("--write", page),
        ("--base-url", sandbox.url),
        ("--base-url", "127.0.0.1:8765"),
    ):
        code, said, complained = run(option, str(value))
        assert (code, said) == (2, [])
        assert len(complained) == 1
        assert f"{value}" in complained[0]
        assert " cannot be read: " in complained[0]


def test_the_tables_of_the_page_are_those_of_the_table_of_models(tmp_path):
    copy = tmp_path / "models.md"
    copy.write_text(PAGE.read_text())
    assert catalog("--write", str(copy)) == (0, [])
    assert copy.read_text() == PAGE.read_text(), "make catalog CATALOG='--write docs/models.md'"


@pytest.mark.parametrize("model", [*MODELS, *TOOLS])
def test_the_page_has_each_model_with_its_parameters(model):
    entry = {**MODELS, **TOOLS}[model]
    _, _, section = PAGE.read_text().partition(f"\n`{FAMILIES[entry.family].key}`: ")
    section = section.partition("\n##")[0]
    assert f"`{model}`" in section
    assert all(f"| `{name}` |" in section for name in entry.params)
