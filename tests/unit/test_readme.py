"""The README's tables say the ranges that the models check."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from airflow_provider_apiframe.api.params.flux import FluxParams
from airflow_provider_apiframe.api.settings import ClientOptions
from airflow_provider_apiframe.api.validation import fields_of

README = Path(__file__).resolve().parents[2] / "README.md"

if not README.is_file():
    pytest.skip("the README is not there", allow_module_level=True)


def row_of(name: str) -> str:
    rows = [line for line in README.read_text().splitlines() if line.startswith("|")]
    return next((row for row in rows if f"`{name}`" in row.split("|")[1]), "")


def bounds(field: dict) -> list[str]:
    schema = {**field, **field.get("anyOf", [{}])[0]}
    if "maximum" in schema and schema["maximum"] < 2**53 - 1:
        return [f"{schema['minimum']:g}\u2013{schema['maximum']:g}"]
    if "maxItems" in schema:
        return [f"up to {schema['maxItems']}"]
    return [
        f'"{choice}"' for choice in schema.get("enum", ()) if " " in choice or "MP" not in choice
    ]


@pytest.mark.parametrize("name", FluxParams.model_fields)
def test_the_readme_has_a_row_with_the_range_of_each_flux_param(name):
    field = fields_of(FluxParams)[name]
    default = re.findall(r"default (\S+)", field.get("description", ""))
    for piece in [*bounds(field), *default]:
        assert piece in row_of(name)
    assert row_of(name)


@pytest.mark.parametrize("name", ClientOptions.model_fields)
def test_the_readme_has_a_row_with_the_default_of_each_option_of_the_connection(name):
    default = fields_of(ClientOptions)[name]["default"]
    shown = str(default).lower() if isinstance(default, bool) else f"{default:.15g}"
    assert row_of(name).split("|")[-2].strip(" `") == shown
