"""The command line, and a sandbox inside a process."""

from __future__ import annotations

import re
import subprocess
import sys

import httpx
import pytest

from airflow_provider_apiframe.sandbox.__main__ import main, parser
from airflow_provider_apiframe.sandbox.server import Sandbox
from airflow_provider_apiframe.sandbox.settings import Settings

COMMAND = [sys.executable, "-m", "airflow_provider_apiframe.sandbox", "--port", "0"]
SERVING = {"host", "port", "expose", "api_keys", "quiet"}


def test_every_option_has_a_flag_with_the_same_default():
    flags = vars(parser().parse_args([]))
    assert flags.keys() - SERVING == Settings.model_fields.keys()
    assert (
        Settings().changed({name: value for name, value in flags.items() if name not in SERVING})
        == Settings()
    )


def test_a_host_that_others_can_reach_needs_expose(capsys):
    with pytest.raises(SystemExit):
        main(["--host", "0.0.0.0"])
    assert "--expose" in capsys.readouterr().err


def test_an_option_out_of_range_is_explained(capsys):
    with pytest.raises(SystemExit):
        main(["--port", "0", "--fail-rate", "3"])
    assert "fail_rate must be a number from 0 to 1" in capsys.readouterr().err


def test_a_port_that_is_taken_is_explained(sandbox, capsys):
    with pytest.raises(SystemExit):
        main(["--port", sandbox.url.rpartition(":")[2]])
    assert "can't listen on 127.0.0.1" in capsys.readouterr().err


@pytest.fixture
def started():
    processes = []

    def start(*flags):
        process = subprocess.Popen([*COMMAND, *flags], stdout=subprocess.PIPE, text=True)
        processes.append(process)
        return process

    yield start
    for process in processes:
        process.kill()
        process.communicate()


def test_the_banner_says_how_to_connect(started):
    process = started("--api-key", "afk_more", "--credits", "7")
    banner = ""
    while "Ctrl+C" not in banner:
        banner += process.stdout.readline()
    url = re.search(r"http://127\.0\.0\.1:\d+", banner)[0]
    assert (
        "airflow connections add apiframe_default --conn-type apiframe "
        f"--conn-host {url} --conn-password afk_sandbox"
    ) in banner
    for key in ("afk_sandbox", "afk_more"):
        assert httpx.get(f"{url}/v2/me", headers={"X-API-Key": key}).json()["team"]["credits"] == 7


def test_a_quiet_sandbox_prints_its_url_and_stops_on_interrupt(started):
    process = started("--quiet")
    url = process.stdout.readline().strip()
    assert httpx.get(f"{url}/v2/models").status_code == 200
    process.send_signal(2)
    rest, _ = process.communicate(timeout=20)
    assert (rest, process.returncode) == ("", 0)


def test_the_sandbox_imports_nothing_of_airflow_or_of_the_rest_of_the_package():
    code = (
        "import sys, airflow_provider_apiframe; before = set(sys.modules);"
        "import airflow_provider_apiframe.sandbox.__main__;"
        "import airflow_provider_apiframe.sandbox.server;"
        "ours = [name for name in set(sys.modules) - before"
        " if name.startswith('airflow_provider_apiframe.') and '.sandbox' not in name];"
        "print('airflow' in sys.modules, ours)"
    )
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "False []"


def test_a_stopped_sandbox_answers_no_more():
    with Sandbox() as sandbox:
        assert httpx.get(f"{sandbox.url}/v2/models").status_code == 200
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"{sandbox.url}/v2/models")


def test_two_sandboxes_know_nothing_of_each_other(serve, connect):
    first, second = serve(), serve()
    connect(first).job_id()
    assert (first.state.jobs_created, second.state.jobs_created) == (1, 0)


def test_an_unknown_option_is_refused():
    with pytest.raises(ValueError, match="unknown option 'lateny'"):
        Sandbox(lateny=1)


def test_an_empty_key_is_refused():
    with pytest.raises(ValueError, match="KEY=USER"):
        Sandbox(api_keys=["=ana"])
