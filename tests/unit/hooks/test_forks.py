"""Workers fork: what was opened before a fork belongs to the parent alone."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar

import forked_hook
import pytest


class Handler(BaseHTTPRequestHandler):
    """Responds with the job that was asked for, and keeps its connection open."""

    protocol_version = "HTTP/1.1"
    asked: ClassVar[list[tuple[str, int]]] = []  # job id, the client's port

    def do_GET(self) -> None:
        job_id = self.path.partition("?")[0].rpartition("/")[2]
        if job_id == "jobs":
            body = {"jobs": [], "pagination": {}}
        else:
            self.asked.append((job_id, self.client_address[1]))
            body = {"id": job_id, "status": "COMPLETED", "result": "https://example.com/1.png"}
            time.sleep(0.005)  # another request may come on the same connection meanwhile
        content = json.dumps(body).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *arguments: object) -> None:
        """Say nothing."""


@pytest.fixture
def server() -> Iterator[ThreadingHTTPServer]:
    Handler.asked.clear()
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


@pytest.mark.parametrize("way", forked_hook.WAYS)
def test_a_fork_opens_connections_of_its_own_and_both_get_what_they_asked_for(way, server):
    connection = {
        "conn_type": "apiframe",
        "host": f"http://127.0.0.1:{server.server_port}",
        "password": "afk_key",
        "extra": {"timeout": 10, "max_retries": 0, "requests_per_minute": 100_000},
    }
    done = subprocess.run(
        [sys.executable, forked_hook.__file__, way],
        env={
            **os.environ,
            "AIRFLOW_CONN_APIFRAME_DEFAULT": json.dumps(connection),
            "PYTHONPATH": str(Path(forked_hook.__file__).parent),
        },
        capture_output=True,
        text=True,
        timeout=180,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    results = json.loads(done.stdout.splitlines()[-1])
    names = [f"{process}-{n}" for process in ("parent", "child") for n in range(forked_hook.JOBS)]
    before = [f"before-{n}" for n in range(forked_hook.THREADS)]
    assert results == {name: name for name in before + names}
    ports = {
        process: {port for name, port in Handler.asked if name.startswith(process)}
        for process in ("before", "parent", "child")
    }
    assert ports["child"]
    assert not ports["child"] & (ports["before"] | ports["parent"])
