"""The connection comes from a secrets backend or an environment variable, as on many hosts."""

from __future__ import annotations

import asyncio
import json
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, ClassVar

import pytest
from airflow.providers.common.compat.sdk import TaskDeferred
from airflow.secrets.base_secrets import BaseSecretsBackend

from airflow_provider_apiframe.api.errors import ConfigurationError
from airflow_provider_apiframe.hooks.apiframe import ApiframeHook
from airflow_provider_apiframe.hooks.connection import ConnectionNotFoundError
from airflow_provider_apiframe.operators.flux import FluxGenerateOperator
from airflow_provider_apiframe.sandbox.server import Sandbox
from airflow_provider_apiframe.triggers.job import ApiframeJobTrigger

KEY = "afk_5ec4e7c0ffee5ec4e7c0ffee5ec4e7c0ffee5ec4e7"
VARIABLE = "AIRFLOW_CONN_APIFRAME_DEFAULT"


class Vault(BaseSecretsBackend):
    """One that is away."""

    asked: ClassVar[list[str]] = []

    def get_connection(self, conn_id: str, *arguments: Any, **options: Any) -> Any:
        self.asked.append(conn_id)
        raise ConnectionError(f"vault: no response to {KEY}")


def forget_backends() -> None:
    """Make Airflow read its configuration anew; since 3.2 it keeps the backends it made."""
    with suppress(ImportError):
        from airflow.sdk.configuration import clear_secrets_backends_cache

        clear_secrets_backends_cache()


@pytest.fixture
def configure(monkeypatch: pytest.MonkeyPatch):
    """Call it to set the secrets backend, in a section of Airflow's configuration."""

    def configure(section: str, backend: str, **options: str) -> None:
        monkeypatch.delenv(VARIABLE, raising=False)
        name = "SECRETS__BACKEND" if section == "secrets" else "WORKERS__SECRETS_BACKEND"
        monkeypatch.setenv(f"AIRFLOW__{name}", backend)
        monkeypatch.setenv(f"AIRFLOW__{name}_KWARGS", json.dumps(options))
        forget_backends()

    yield configure
    monkeypatch.undo()
    forget_backends()


@pytest.fixture
def own_sandbox():
    with Sandbox(latency=0.05, api_keys=[KEY]) as sandbox:
        yield sandbox


def fields(sandbox: Sandbox) -> dict[str, Any]:
    return {"conn_type": "apiframe", "host": sandbox.url, "password": KEY}


def is_read_outside_of_tasks() -> bool:
    with suppress(ImportError):
        from airflow.sdk import __version__

        return not __version__.startswith("1.0.")
    return False


def from_a_file(section: str) -> Callable[..., None]:
    def provide(sandbox: Sandbox, configure: Any, monkeypatch: Any, tmp_path: Path) -> None:
        file = tmp_path / "connections.json"
        file.write_text(json.dumps({"apiframe_default": fields(sandbox)}))
        backend = "airflow.secrets.local_filesystem.LocalFilesystemBackend"
        configure(section, backend, connections_file_path=str(file))

    return provide


def from_a_variable_as_json(sandbox: Sandbox, configure: Any, monkeypatch: Any, path: Path) -> None:
    monkeypatch.setenv(VARIABLE, json.dumps(fields(sandbox)))


def from_a_variable_as_a_uri(
    sandbox: Sandbox, configure: Any, monkeypatch: Any, path: Path
) -> None:
    address = sandbox.url.removeprefix("http://")
    monkeypatch.setenv(VARIABLE, f"apiframe://:{KEY}@{address}/http")


@pytest.fixture(
    params=[
        from_a_file("secrets"),
        from_a_file("workers"),
        from_a_variable_as_json,
        from_a_variable_as_a_uri,
    ],
    ids=["secrets backend", "secrets backend of workers", "variable, JSON", "variable, URI"],
)
def connected_elsewhere(request, own_sandbox, configure, monkeypatch, tmp_path) -> Sandbox:
    if "workers" in request.node.name and not is_read_outside_of_tasks():
        pytest.skip("Airflow 2 has no [workers] secrets_backend; 3.0 reads it in tasks only")
    request.param(own_sandbox, configure, monkeypatch, tmp_path)
    return own_sandbox


def test_the_hook_reads_it_in_both_ways(connected_elsewhere):
    assert ApiframeHook().client.settings.api_key == KEY
    assert asyncio.run(ApiframeHook().async_settings()).api_key == KEY
    assert ApiframeHook().test_connection()[0] is True


def test_the_operator_reads_it(connected_elsewhere, ti):
    op = FluxGenerateOperator(task_id="poster", prompt="a poster", poll_interval=0.05)
    assert op.execute({"ti": ti})["status"] == "COMPLETED"
    assert KEY not in json.dumps(ti.xcoms)


def test_the_trigger_reads_it_on_its_event_loop(connected_elsewhere, ti):
    op = FluxGenerateOperator(task_id="poster", prompt="a poster", deferrable=True)
    with pytest.raises(TaskDeferred) as deferred:
        op.execute({"ti": ti})
    _, arguments = deferred.value.trigger.serialize()
    assert KEY not in json.dumps(arguments)

    async def event() -> Any:
        return await anext(ApiframeJobTrigger(**arguments).run())

    payload = asyncio.run(event()).payload
    assert payload["status"] == "finished"
    assert KEY not in json.dumps(payload)


# What cannot be read


def everything_of(error: BaseException) -> str:
    """The error as a log may show it: with all frames and their local variables."""
    shown = traceback.TracebackException.from_exception(error, capture_locals=True)
    return "".join(shown.format())


def errors_of_both_ways() -> list[ConfigurationError]:
    with pytest.raises(ConfigurationError) as caught:
        _ = ApiframeHook().client
    with pytest.raises(ConfigurationError) as caught_async:
        asyncio.run(ApiframeHook().async_settings())
    return [caught.value, caught_async.value]


@pytest.mark.parametrize(
    "value",
    [
        f'{{"conn_type": "apiframe", "password": "{KEY}"',
        f'{{"conn_type": "apiframe", "passwrd": "{KEY}"}}',
        f'{{"conn_type": "apiframe", "host": "{KEY}"}}',
        f'{{"conn_type": "apiframe", "password": "{KEY}", "extra": "x"}}',
        f'{{"conn_type": "apiframe", "password": "{KEY}", "extra": {{"timeout": "{KEY}"}}}}',
        f'["{KEY}"]',
        f"apiframe://:{KEY}@127.0.0.1:port",
        KEY,
    ],
)
def test_a_variable_that_cannot_be_used_is_named_without_what_is_in_it(value, monkeypatch):
    monkeypatch.setenv(VARIABLE, value)
    for error in errors_of_both_ways():
        assert "'apiframe_default'" in str(error)
        assert KEY not in everything_of(error)


@pytest.mark.parametrize(
    "content",
    [
        f'{{"apiframe_default": {{"conn_type": "apiframe", "password": "{KEY}"',
        f'{{"apiframe_default": {{"conn_type": "apiframe", "passwrd": "{KEY}"}}}}',
        f'{{"apiframe_default": {{"conn_type": "apiframe", "host": "{KEY}"}}}}',
    ],
)
def test_a_file_of_secrets_that_cannot_be_used_is_not_quoted(content, configure, tmp_path):
    file = tmp_path / "connections.json"
    file.write_text(content)
    backend = "airflow.secrets.local_filesystem.LocalFilesystemBackend"
    configure("secrets", backend, connections_file_path=str(file))
    for error in errors_of_both_ways():
        assert "'apiframe_default'" in str(error)
        assert KEY not in everything_of(error)


def test_a_backend_that_is_away_is_left_to_a_retry(configure):
    configure("secrets", f"{__name__}.Vault")
    Vault.asked.clear()
    for error in errors_of_both_ways():
        assert isinstance(error, ConnectionNotFoundError)
        assert error.transient
        assert KEY not in everything_of(error)
    assert Vault.asked == ["apiframe_default"] * 2


def test_a_trigger_waits_for_a_backend_that_is_away_until_its_deadline(configure):
    configure("secrets", f"{__name__}.Vault")
    trigger = ApiframeJobTrigger("j", "apiframe_default", time.time() + 0.1, 0.05)

    async def event() -> Any:
        return await anext(trigger.run())

    payload = asyncio.run(event()).payload
    assert payload["status"] == "timeout"
    assert "cannot read it just now" in payload["message"]
    assert KEY not in payload["message"]
