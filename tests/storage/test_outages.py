"""Object stores and workers that go away while an image is saved, and large images."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import textwrap
from pathlib import Path

from PIL import Image

MIB = 1024 * 1024
SUPPORT = Path(__file__).parents[1] / "support"
# Noise, so that it has its megabytes in any format.
LARGE = {"width": 2048, "height": 2048, "output_format": "png"}

SAVE = textwrap.dedent(
    """
    import json, re, sys
    from pathlib import Path

    from task_lives import Task

    def peak():
        return int(re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())[1])

    arguments = json.loads(sys.argv[1])
    Task(None, **{**arguments, "prompt": "warm up", "flux_params": None}).run()
    before = peak()
    result = Task(None, run_id="r2", **arguments).run()
    print(json.dumps([before, peak()]))
    """
)


def noise(mib: int) -> bytes:
    """Return a PNG of about so many MiB."""
    height = mib * MIB // (3 * 4096)
    file = io.BytesIO()
    pixels = os.urandom(3 * 4096 * height)
    Image.frombytes("RGB", (4096, height), pixels).save(file, "PNG", compress_level=0)
    return file.getvalue()


def test_memory(place, connected):
    body = noise(50)
    connected.faults.next("image", status=503)  # of warm-up
    connected.faults.next("image", times=4, body=body, content_type="image/png")
    arguments = {
        "save_to": f"{place.url}/",
        "save_conn_id": place.conn_id,
        "prompt": "a poster [images: 4]",
    }
    done = subprocess.run(
        [sys.executable, "-c", SAVE, json.dumps(arguments)],
        env={**os.environ, "PYTHONPATH": str(SUPPORT)},
        capture_output=True,
        text=True,
    )
    print(done.stdout[-300:], done.stderr[-3000:])
    before, after = json.loads(done.stdout.splitlines()[-1])
    print("MEM", place.url[:4], before // 1024, after // 1024)
    print(sorted(place.objects().values()))
