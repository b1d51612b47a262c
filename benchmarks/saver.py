"""Fetches images in one way, in a process of its own, and prints what that took as JSON.

``python -m benchmarks.saver WAY URL COUNT FOLDER``; the ways are in ``WAYS``.
"""

from __future__ import annotations

import asyncio
import json
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path

import httpx

from airflow_provider_apiframe.api.client import ApiframeClient
from airflow_provider_apiframe.api.models import Job
from airflow_provider_apiframe.delivery.naming import SaveTo
from airflow_provider_apiframe.delivery.storage import MAX_THREADS, ImageStorage, Provenance

NAMES = {"dag_id": "d", "run_id": "r", "task_id": "t", "map_index": -1, "ds": "2026-01-01"}


def save(urls: list[str], folder: Path, provenance: Provenance | None = "iptc") -> None:
    """Save the images as a task with ``save_to`` does."""
    with ApiframeClient(api_key="afk_benchmarks") as client:
        storage = ImageStorage(
            client, SaveTo.parse(f"file://{folder}/"), NAMES, provenance=provenance
        )
        storage.save(Job(id="job", status="COMPLETED", result=urls))


def save_unmarked(urls: list[str], folder: Path) -> None:
    """Save them with ``provenance=None``."""
    save(urls, folder, provenance=None)


def httpx_to_disk(urls: list[str], folder: Path) -> None:
    """Fetch as many at once as we do, with httpx, and check nothing."""
    folder.mkdir()

    async def fetch_all() -> None:
        slots = asyncio.Semaphore(MAX_THREADS)

        async def fetch(number: int, url: str) -> None:
            async with slots, client.stream("GET", url) as response:
                with (folder / f"{number}.png").open("wb") as file:
                    async for piece in response.aiter_raw():
                        file.write(piece)

        async with httpx.AsyncClient(timeout=60, trust_env=False) as client:
            await asyncio.gather(*(fetch(number, url) for number, url in enumerate(urls)))

    asyncio.run(fetch_all())


WAYS: dict[str, Callable[[list[str], Path], None]] = {
    "save": save,
    "save_unmarked": save_unmarked,
    "httpx": httpx_to_disk,
}


def main(way: str, url: str, count: int, folder: Path) -> None:
    """Fetch one image first, so that nothing is imported during the measurement; then all."""
    WAYS[way]([f"{url}/warm-up.png"], folder / "warm-up")
    before = resource.getrusage(resource.RUSAGE_SELF)
    begun = time.monotonic()
    WAYS[way]([f"{url}/{number}.png" for number in range(count)], folder / "measured")
    seconds = time.monotonic() - begun
    after = resource.getrusage(resource.RUSAGE_SELF)
    files = [file for file in (folder / "measured").rglob("*") if file.is_file()]
    figures = {
        "seconds": seconds,
        "cpu": after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime,
        "grown_mb": (after.ru_maxrss - before.ru_maxrss) / 1024,
        "files": len(files),
        "megabytes": sum(file.stat().st_size for file in files) / 1e6,
    }
    print(json.dumps(figures))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), Path(sys.argv[4]))
