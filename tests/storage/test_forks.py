"""Workers fork: a file system that was used before a fork belongs to the parent alone."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import forking
from places import Place

SCRIPT = Path(__file__).parent / "forked_storage.py"


def test_both_processes_store_and_read_after_a_fork(place: Place):
    done = subprocess.run(
        [sys.executable, str(SCRIPT), place.url, *([place.conn_id] if place.conn_id else [])],
        env={**os.environ, "PYTHONPATH": str(Path(forking.__file__).parent)},
        capture_output=True,
        text=True,
        timeout=180,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    names = [f"{process}-{n}" for process in ("before", "parent", "child") for n in range(5)]
    assert json.loads(done.stdout.splitlines()[-1]) == {
        name: name.replace("-", " ") for name in names
    }
    assert {*place.objects()} == {f"{name}.png" for name in names}
