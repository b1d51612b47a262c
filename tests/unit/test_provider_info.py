from __future__ import annotations

import importlib
import importlib.metadata
import json
from contextlib import suppress
from pathlib import Path

import airflow
import jsonschema
import pytest
from airflow.providers.common.compat.sdk import (
    AirflowOptionalProviderFeatureException,
    conf,
    task,
)
from airflow.providers_manager import ProvidersManager

from airflow_provider_apiframe import __version__, get_provider_info
from airflow_provider_apiframe.api.settings import ClientOptions

INFO = get_provider_info()


def test_it_is_valid_for_this_airflow():
    schema = json.loads((Path(airflow.__file__).parent / "provider_info.schema.json").read_text())
    jsonschema.validate(INFO, schema)


@pytest.mark.parametrize(
    "module",
    [
        module
        for kind in ("hooks", "operators", "sensors", "triggers")
        for entry in INFO[kind]
        for module in entry["python-modules"]
    ],
)
def test_every_module_it_names_exists(module):
    # As Airflow's own providers say that this Airflow lacks something.
    with suppress(AirflowOptionalProviderFeatureException):
        importlib.import_module(module)


@pytest.mark.parametrize("decorator", INFO["task-decorators"], ids=lambda entry: entry["name"])
def test_airflow_finds_every_decorator(decorator):
    module, _, name = decorator["class-name"].rpartition(".")
    function = getattr(importlib.import_module(module), name)
    assert getattr(task, decorator["name"]) is function


def test_every_integration_it_names_is_declared():
    declared = {integration["integration-name"] for integration in INFO["integrations"]}
    assert {
        entry["integration-name"]
        for kind in ("hooks", "operators", "sensors", "triggers")
        for entry in INFO[kind]
    } == declared


def test_the_distribution_carries_its_name_and_version():
    assert importlib.metadata.version(INFO["package-name"]) == __version__


def test_airflow_finds_the_provider_and_its_connection_type():
    manager = ProvidersManager()
    assert manager.providers["airflow-provider-apiframe"].version == __version__
    hook = manager.hooks["apiframe"]
    assert (hook.hook_name, hook.package_name) == ("Apiframe", "airflow-provider-apiframe")


def test_airflow_finds_every_field_of_the_form():
    manager = ProvidersManager()
    if not manager.connection_form_widgets:
        pytest.skip("this Airflow draws the form with Flask-AppBuilder, which is not installed")
    fields = {
        name for name in manager.connection_form_widgets if name.startswith("extra__apiframe__")
    }
    assert fields == {f"extra__apiframe__{name}" for name in ClientOptions.model_fields}


def test_airflow_3_serves_the_form_through_its_api():
    service = pytest.importorskip("airflow.api_fastapi.core_api.services.ui.connections")
    meta = next(
        hook
        for hook in service.HookMetaService.hook_meta_data()
        if hook.connection_type == "apiframe"
    )
    assert meta.hook_name == "Apiframe"
    if not meta.extra_fields:
        pytest.skip("this Airflow draws the form with Flask-AppBuilder, which is not installed")
    assert list(meta.extra_fields) == list(ClientOptions.model_fields)
    assert meta.standard_fields.password.title == "API key"


@pytest.fixture
def provider_configuration() -> None:
    """As each command of Airflow begins; Airflow 3.2 and newer do it by themselves."""
    ProvidersManager().initialize_providers_configuration()


@pytest.mark.usefixtures("provider_configuration")
def test_airflow_finds_the_default_of_each_option():
    for section, described in INFO["config"].items():
        for name, option in described["options"].items():
            assert conf.get(section, name) == option["default"]
    assert conf.getint("apiframe", "triggerers") == 1


@pytest.mark.usefixtures("provider_configuration")
def test_airflow_takes_an_option_from_the_environment(monkeypatch):
    monkeypatch.setenv("AIRFLOW__APIFRAME__TRIGGERERS", "3")
    assert conf.getint("apiframe", "triggerers") == 3


def test_a_form_that_is_left_alone_stores_nothing():
    (connection_type,) = INFO["connection-types"]
    defaults = {field["schema"]["default"] for field in connection_type["conn-fields"].values()}
    assert defaults == {None}


def test_the_form_says_the_range_and_the_default_of_each_field():
    (connection_type,) = INFO["connection-types"]
    assert connection_type["conn-fields"]["max_retries"]["description"] == (
        "How often a request is retried after 408, 429, 5xx or a lost connection: a whole number, "
        "at least 0. Default: 4."
    )


def test_the_form_takes_a_number_or_nothing_for_the_limit_per_day():
    (connection_type,) = INFO["connection-types"]
    field = connection_type["conn-fields"]["max_credits_per_day"]
    assert field["schema"] == {"type": ["number", "null"], "default": None, "exclusiveMinimum": 0}
    assert field["description"].endswith("a number of credits above 0. Default: no limit.")


def test_the_form_shows_the_port_that_the_test_button_of_airflow_3_3_needs():
    (connection_type,) = INFO["connection-types"]
    assert "port" not in connection_type["ui-field-behaviour"]["hidden-fields"]


def test_the_examples_are_where_airflow_looks_for_them():
    package = Path(importlib.import_module("airflow_provider_apiframe").__file__).parent
    folder = next(
        folder
        for folder in (package / "example_dags", package.parent / "example_dags")
        if folder.is_dir()
    )
    assert len(list(folder.glob("example_*.py"))) == 9
