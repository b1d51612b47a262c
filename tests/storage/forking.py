"""Stores a file, forks, and stores and reads files in both processes at the same time.

As a command, so that nothing but this forks: ``python forking.py URL [CONN_ID]``. It prints as JSON
what each process read back of what it had stored, or its error.
"""

from __future__ import annotations

import json
import os
import select
import signal
import sys
import tempfile
from pathlib import Path

from airflow_provider_apiframe.hooks.object_store import local_copy, put, storage_path

FILES = 5
SECONDS = 60.0  # that the child may take


def store_and_read(folder: Path, url: str, conn_id: str | None, name: str) -> dict[str, str]:
    read = {}
    for n in range(FILES):
        own, back = folder / f"{name}-{n}", folder / f"{name}-{n}-back"
        own.write_text(f"{name} {n}")
        target = storage_path(f"{url}/{name}-{n}.png", conn_id)
        put(own, target, "image/png")
        local_copy(target, back)
        read[own.name] = back.read_text()
    return read


def main() -> None:
    url, conn_id = sys.argv[1], (sys.argv[2:] or [None])[0]
    folder = Path(tempfile.mkdtemp())
    read = store_and_read(folder, url, conn_id, "before")
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            told = store_and_read(folder, url, conn_id, "child")
        except BaseException as error:
            told = {"child": f"{type(error).__name__}: {error}"}
        os.write(writing, json.dumps(told).encode())
        os._exit(0)
    os.close(writing)
    try:
        read |= store_and_read(folder, url, conn_id, "parent")
        if select.select([reading], [], [], SECONDS)[0]:
            read |= json.loads(os.read(reading, 1024 * 1024))
    finally:
        os.kill(child, signal.SIGKILL)  # ended already, or it hangs
        os.waitpid(child, 0)
    print(json.dumps(read))


if __name__ == "__main__":
    main()
