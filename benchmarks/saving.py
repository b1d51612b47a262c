"""What it costs to save images: a task with ``save_to`` beside a bare download to disk."""

from __future__ import annotations

import json
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import httpx

from benchmarks.apiframe import end
from benchmarks.processes import ROOT, environment
from benchmarks.tables import number, table

SIDE = 1024  # pixels; a PNG of noise has 3.1 MB then
ROUNDS = 5
START_SECONDS = 30.0
RATES = {"10 MB/s per connection": 10e6, "no limit": 0.0}  # bytes per second
WAYS = {
    "save": '`save_to`, `provenance="iptc"`',
    "save_unmarked": "`save_to`, `provenance=None`",
    "httpx": "`httpx` to disk, as many at once, nothing checked",
}


def report(images: int, scratch: Path) -> str:
    """Return the section of the report.

    :param images: how many images are saved.
    """
    rows, notes = [], []
    for pace, rate in RATES.items():
        measured: dict[str, list[dict[str, float]]] = {way: [] for way in WAYS}
        with _cdn(scratch, rate) as url:
            for _ in range(ROUNDS):  # in turn: what else the machine does falls on all of them
                for way in WAYS:
                    measured[way].append(_measure(way, url, images, scratch))
        median = {
            way: {name: statistics.median(each[name] for each in found) for name in found[0]}
            for way, found in measured.items()
        }
        for way, label in WAYS.items():
            found = median[way]
            rows.append(
                [
                    f"{pace}: {label}",
                    number(found["files"]),
                    number(found["megabytes"]),
                    number(found["seconds"], 2),
                    number(found["seconds"] / median["httpx"]["seconds"], 2),
                    number(found["cpu"], 2),
                    number(found["grown_mb"], 1),
                ]
            )
    notes = [
        f"Medians of {ROUNDS} fresh processes per row, in turn. The CDN is a process of its own on "
        "this machine, which paces each connection as the row says; eight connections at once.",
        "Saving checks that each image is whole, hashes and measures it, adds the AI mark, and "
        "renames it into its place. Memory: by how much the process's peak grew while it saved.",
    ]
    head = ("CDN and way", "Images", "MB", "Seconds", "Times `httpx`", "CPU, s", "Memory grew, MB")
    return "\n\n".join([table(head, rows), "\n".join(f"- {note}" for note in notes)])


def _measure(way: str, url: str, images: int, scratch: Path) -> dict[str, float]:
    folder = scratch / "images"
    folder.mkdir()
    try:
        done = subprocess.run(
            [sys.executable, "-m", "benchmarks.saver", way, url, str(images), str(folder)],
            cwd=ROOT,
            env=environment(scratch),
            capture_output=True,
            text=True,
        )
        if done.returncode:
            raise RuntimeError(f"saving failed: {done.stderr}")
    finally:
        shutil.rmtree(folder)
    figures: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    if figures["files"] != images:
        raise RuntimeError(f"{figures['files']} of {images} images were saved")
    return figures


@contextmanager
def _cdn(scratch: Path, rate: float) -> Iterator[str]:
    """Run a CDN in a process of its own and yield its URL."""
    process = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.cdn", str(SIDE), str(rate)],
        cwd=ROOT,
        env=environment(scratch),
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        url = process.stdout.readline().strip()
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            with suppress(httpx.TransportError):
                httpx.get(f"{url}/image.png", trust_env=False)
                break
        yield url
    finally:
        end(process)
