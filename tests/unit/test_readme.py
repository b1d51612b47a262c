"""The README's tables say the ranges that the models check, and its tasks survive a lost try."""

from __future__ import annotations

import ast
import re
import textwrap
from pathlib import Path

import pytest

from airflow_provider_apiframe import get_provider_info
from airflow_provider_apiframe.api.params.flux import FluxParams
from airflow_provider_apiframe.api.settings import ClientOptions
from airflow_provider_apiframe.api.validation import fields_of

README = Path(__file__).resolve().parents[2] / "README.md"
TASK = re.compile(
    r"(FluxGenerateOperator|Image\w+Operator|MidjourneyActionOperator|ApiframeJobSensor"
    r"|review_images|task\.flux|task\.image)(\.partial)?$"
)

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
    shown = str(default).lower() if isinstance(default, bool) else f"{default or 0:.15g}"
    if default is None:
        shown = "no limit"
    assert row_of(name).split("|")[-2].strip(" `") == shown


@pytest.mark.parametrize(
    ("section", "option"),
    [
        (section, option)
        for section, described in get_provider_info()["config"].items()
        for option in described["options"]
    ],
)
def test_the_readme_has_a_row_with_the_default_of_each_option_of_airflows_configuration(
    section, option
):
    default = get_provider_info()["config"][section]["options"][option]["default"]
    assert row_of(f"[{section}] {option}").split("|")[-2].strip(" `") == default


def source() -> str:
    """What the package is made of, each text on one line and without the values in it."""
    folder = README.parent / "airflow_provider_apiframe"
    files = [path.read_text() for path in folder.rglob("*.py") if "sandbox" not in path.parts]
    joined = re.sub(r'"\s*\n\s*f?"', "", "\n".join(files))
    return re.sub(r"\s+", " ", re.sub(r"\{[^{}]*\}", "{}", joined))


def test_the_messages_that_the_errors_page_quotes_are_the_packages():
    page = (README.parent / "docs" / "errors.md").read_text()
    rows = [line.split("|")[1] for line in page.splitlines() if line.startswith("| *")]
    quotes = [quote for row in rows for quote in re.findall(r"\*([^*]+)\*", row)]
    said = source()
    for quote in quotes:
        for piece in re.split(r"…|'[^']*'|\d+|steps=", quote):  # values stand between them
            assert piece.strip(" .:=") in said, quote
    assert len(quotes) > 20


def task_calls() -> list[tuple[str, ast.Call]]:
    """The calls that make a task of this provider, in the documents and the examples."""
    documents = [README, *README.parent.glob("docs/**/*.md")]
    found = [
        (f"{path.name}, a snippet", ast.parse(textwrap.dedent(snippet)))
        for path in documents
        for snippet in re.findall(r"```python\n(.*?)```", path.read_text(), re.S)
    ]
    examples = sorted(README.parent.glob("example_dags/*.py"))
    found += [(path.name, ast.parse(path.read_text())) for path in examples]
    calls = [
        (name, node)
        for name, tree in found
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
    ]
    return [(name, call) for name, call in calls if TASK.match(ast.unparse(call.func))]


def test_every_task_that_the_documents_and_examples_show_has_retries():
    calls = task_calls()
    assert len(calls) > 6
    assert not [
        f"{name}: {ast.unparse(call)}"
        for name, call in calls
        if "retries" not in {keyword.arg for keyword in call.keywords}
    ]
