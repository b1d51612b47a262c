"""What editors and type checkers are told of the decorators is what they take."""

from __future__ import annotations

import inspect
import subprocess
import sys
from typing import get_overloads

import pytest

from airflow_provider_apiframe.decorators.flux import flux_task
from airflow_provider_apiframe.decorators.image import image_task
from airflow_provider_apiframe.literals import TaskArguments
from airflow_provider_apiframe.operators.base import ApiframeOperator

SHARED = {*inspect.signature(ApiframeOperator.__init__).parameters} - {"self"}


@pytest.mark.parametrize(
    ("decorator", "own"),
    [(flux_task, {"model", "flux_params"}), (image_task, {"model", "params"})],
)
def test_the_signature_of_a_decorator_has_every_argument_of_its_operator(decorator, own):
    with_arguments = get_overloads(decorator)[-1]
    assert {*inspect.signature(with_arguments).parameters} == own | SHARED
    assert TaskArguments.model_fields.keys() - SHARED <= {"webhook_url", "webhook_events"}


def test_a_type_checker_finds_what_is_wrong_in_a_dag_file(tmp_path):
    pytest.importorskip("mypy", reason="mypy is not installed")
    file = tmp_path / "a_dag.py"
    file.write_text("""
from airflow_provider_apiframe.decorators.flux import flux_task
from airflow_provider_apiframe.decorators.image import image_task

@flux_task
def bare(what: str) -> str:
    return what

@flux_task(flux_params={"seed": 7}, save_to="s3://bucket/", retries=3)
def poster(what: str) -> dict[str, object]:
    return {"prompt": what}

@image_task(model="seedream-4.5", params={"seed": 7})
def banner(what: str) -> str:
    return what

bare("a mug")
poster.override(task_id="other").expand(what=["a mug"])
banner("a mug")

poster(7)  # line 21
@flux_task(timeout="long")  # line 22
def late() -> str:
    return "a mug"
@flux_task
def number() -> int:  # lines 25, 26
    return 7
image_task(params={})  # line 28
""")
    arguments = ["--follow-imports=silent", "--cache-dir", str(tmp_path), str(file)]
    done = subprocess.run(
        [sys.executable, "-m", "mypy", *arguments], capture_output=True, text=True, cwd=tmp_path
    )
    wrong = {int(line.split(":")[1]) for line in done.stdout.splitlines() if ": error:" in line}
    assert wrong in ({21, 22, 25, 28}, {21, 22, 26, 28}), done.stdout + done.stderr
