"""Stores a file, forks, and stores and reads files in both processes at the same time.

``python forked_storage.py URL [CONN_ID]`` prints as JSON what each process read back of what it had
stored.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path

from forking import in_both_processes

from airflow_provider_apiframe.hooks.object_store import local_copy, put, storage_path

FILES = 5


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
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        results = store_and_read(folder, url, conn_id, "before")
        results |= in_both_processes(lambda name: store_and_read(folder, url, conn_id, name))
    print(json.dumps(results))


if __name__ == "__main__":
    main()
