from __future__ import annotations

import importlib.metadata
import subprocess
import sys

import pytest

from airflow_provider_apiframe import get_provider_info
from airflow_provider_apiframe.plugins.gallery import GalleryPlugin, external_views

OLD = ()
NEW = ("nav", "dag", "dag_run", "task", "task_instance", "asset", "base")


def test_airflow_finds_the_plugin_in_one_way_only():
    (point,) = [
        point
        for point in importlib.metadata.entry_points(group="airflow.plugins")
        if point.name == "apiframe"
    ]
    assert point.load() is GalleryPlugin
    # Where providers are not loaded lazily, a plugin that both name is an import error in the UI.
    assert "plugins" not in get_provider_info()


def test_an_airflow_that_knows_no_tab_on_assets_gets_none():
    assert [tab["destination"] for tab in external_views(OLD)] == ["dag_run", "task_instance"]
    assert [tab["destination"] for tab in external_views(NEW)][2:] == ["asset"]


def test_the_tab_of_a_task_instance_is_for_our_tasks_where_airflow_can_tell():
    old, new = external_views(OLD)[1], external_views(NEW)[1]
    assert "applies_to" not in old
    assert new["applies_to"] == {"task.template_fields": ["apiframe_conn_id"]}


@pytest.mark.parametrize("known", [OLD, NEW])
def test_each_tab_has_a_route_of_its_own_and_addresses_under_any_base_path(known):
    tabs = external_views(known)
    assert len({tab["url_route"] for tab in tabs}) == len(tabs)
    for tab in tabs:
        for address in (tab["href"], tab["icon"], tab["icon_dark_mode"]):
            assert address.startswith("apiframe/")


def test_loading_the_plugin_loads_no_library_of_the_web():
    code = (
        "import sys; from airflow.providers.common.compat.sdk import AirflowPlugin; "
        "before = set(sys.modules); import airflow_provider_apiframe.plugins.gallery; "
        "new = set(sys.modules) - before; "
        "print([name for name in new if not name.startswith('airflow_provider_apiframe')])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"
