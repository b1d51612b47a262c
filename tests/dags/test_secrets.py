"""The API key stays in the connection: it is looked for in everything that a run leaves behind."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from airflow_provider_apiframe.sandbox.server import Sandbox

KEY = "afk_5ec4e7c0ffee5ec4e7c0ffee5ec4e7c0ffee5ec4e7"

SOURCE = """
    from airflow.providers.common.compat.sdk import DAG
    from airflow_provider_apiframe.hooks.apiframe import ApiframeHook
    from airflow_provider_apiframe.operators.flux import FluxGenerateOperator
    from airflow_provider_apiframe.sensors.job import ApiframeJobSensor

    with DAG("{dag_id}", schedule=None):
        waits = {{"poll_interval": 0.05, "timeout": 2}}
        FluxGenerateOperator(task_id="waiting", prompt="a {{{{ dag.dag_id }}}}", **waits)
        deferring = FluxGenerateOperator(task_id="deferring", prompt="b", deferrable=True, **waits)
        job_id = deferring.output["job_id"]
        ApiframeJobSensor(task_id="sensor", job_id=job_id, poke_interval=0.05, timeout=2)
"""

# What happens -> the faults that make it happen, and what the tasks' logs say of it, so that they
# are known to be searched.
FAULTS = {
    "nothing": ([], "Apiframe accepted job"),
    "the API echoes the key": (
        [("any", {"status": 401, "body": {"error": f"Invalid API key {KEY}"}, "times": 3})],
        "Invalid API key ***",
    ),
    "the details echo the key": (
        [
            (
                "generate",
                {
                    "status": 400,
                    "body": {"error": "bad", "details": {"fluxParams.x": [KEY]}},
                    "times": 3,
                },
            )
        ],
        "fluxParams.x: ***",
    ),
    "a proxy echoes the key": (
        [("generate", {"status": 202, "body": f"<html>{KEY}</html>", "times": 3})],
        "<html>***</html>",
    ),
    "a poll of the job echoes the key": (
        [("job", {"status": 200, "body": f"<html>{KEY}</html>", "times": 30})],
        "<html>***</html>",
    ),
    "a failed job echoes the key": (
        [
            (
                "job",
                {
                    "status": 200,
                    "body": {"id": "j", "status": "FAILED", "error": f"refused for {KEY}"},
                    "times": 30,
                },
            )
        ],
        "refused for ***",
    ),
    "no response comes": ([("any", {"drop": True, "times": 30})], "got no response"),
    "the connection is wrong": ([], "timeout=0"),
}


@pytest.mark.parametrize("what", FAULTS)
def test_the_key_is_in_no_log_xcom_rendered_field_or_exception(
    what, run_dag, connect, capfd, caplog
):
    faults, logged = FAULTS[what]
    with Sandbox(latency=0.05, api_keys=[KEY]) as sandbox:
        timeout = 0 if what == "the connection is wrong" else 10
        connect(password=KEY, host=sandbox.url, extra={"max_retries": 1, "timeout": timeout})
        for route, fault in faults:
            sandbox.faults.next(route, **fault)
        dag_id = "secrets_" + "".join(letter if letter.isalpha() else "_" for letter in what)
        run = run_dag(dag_id, SOURCE.format(dag_id=dag_id))
        assert sandbox.state.requests or not timeout  # the key was really used
    assert run.states("waiting") == ["success" if what == "nothing" else "failed"]
    printed = capfd.readouterr()
    # Airflow 3.0 logs what it sends to its own masker, at debug level and under `dags test` only.
    logs = "\n".join(
        line
        for line in f"{printed.out}{printed.err}{caplog.text}".splitlines()
        if "MaskSecret(" not in line
    )
    assert KEY not in logs
    # Tracebacks in boxes, as Airflow 3.0 draws them, break a long word over lines and color its
    # parts.
    unboxed = re.sub(r"\x1b\[[0-9;]*m|[\s│]", "", logs)
    assert logged.replace(" ", "") in unboxed
    assert KEY not in unboxed
    for file in Path(os.environ["AIRFLOW_HOME"]).rglob("*"):
        if file.is_file():
            assert KEY.encode() not in file.read_bytes(), file
