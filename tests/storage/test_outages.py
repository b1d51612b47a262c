"""Stores and workers that go away while an image is saved, and images that are large."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import textwrap
import threading
from pathlib import Path

import pytest
from PIL import Image
from places import Place
from ports import free_port
from relay import Relay
from saving import SMALL, not_saved, saves_without_paying, task

MIB = 1024 * 1024
PUT_LIMIT = 12_000  # bytes: more than the requests before a put have, less than the small image has

ENVIRONMENT = {"PYTHONPATH": str(Path(__file__).parents[1] / "support")}

RUN = """
import json, sys
from task_lives import Task

Task(None, **json.loads(sys.argv[1])).run()
"""

RUN_AND_STOP_HALF_WAY = textwrap.dedent(
    """
    import shutil, threading
    from pathlib import Path

    def copy_half(source, target):
        content = Path(source).read_bytes()
        Path(target).write_bytes(content[: len(content) // 2])
        print("half-way", flush=True)
        threading.Event().wait()

    shutil.copyfile = copy_half
    """
)

RUN_AND_MEASURE = textwrap.dedent(
    """
    import json, re, sys
    from pathlib import Path
    from task_lives import Task

    def peak():
        return int(re.search(r"VmHWM:\\s+(\\d+) kB", Path("/proc/self/status").read_text())[1])

    arguments = json.loads(sys.argv[1])
    Task(None, **arguments).run()
    print(peak(), flush=True)
    sys.stdin.readline()
    Task(None, **{**arguments, "run_id": "large", "prompt": "a poster [images: 4]"}).run()
    print(peak())
    """
)


def run_elsewhere(script: str, place: Place, **options) -> subprocess.Popen[str]:
    """Start a process that saves to *place*."""
    arguments = {
        "save_to": f"{place.url}/",
        "save_conn_id": place.conn_id,
        "flux_params": SMALL,
    }
    return subprocess.Popen(
        [sys.executable, "-c", script, json.dumps(arguments)],
        env={**os.environ, **ENVIRONMENT},
        stdout=subprocess.PIPE,
        text=True,
        **options,
    )


def line_of(process: subprocess.Popen[str], is_it) -> str:
    """Return the first line of a process's output that *is_it* is true of."""
    found = next((line for line in process.stdout if is_it(line.strip())), None)
    assert found, f"the process ended with {process.wait()}"
    return found.strip()


@pytest.fixture
def no_pauses(monkeypatch) -> None:
    """Let gcsfs try again at once, for which it takes half a minute else."""
    import gcsfs.retry

    monkeypatch.setattr(gcsfs.retry, "min", lambda *_: 0.01, raising=False)


def test_a_server_that_is_not_there_loses_nothing(bucket, store, connected, no_pauses, monkeypatch):
    url = f"http://127.0.0.1:{free_port()}"
    # The filesystems of connections are kept, by their ids.
    conn_id = f"nobody_{bucket.conn_id}"
    monkeypatch.setenv(f"AIRFLOW_CONN_{conn_id.upper()}", store.connection(url=url))
    life = task(bucket, save_conn_id=conn_id)
    error = not_saved(life)
    life.arguments["save_conn_id"] = bucket.conn_id
    saves_without_paying(life, error.job_id, connected)
    assert len(bucket.objects()) == 1


def test_a_server_that_is_killed_in_the_middle_of_a_put_loses_nothing(
    bucket, store, connected, no_pauses, monkeypatch
):
    with Relay(store.port, PUT_LIMIT, at_limit=store.kill) as relay:
        conn_id = f"dying_{bucket.conn_id}"
        monkeypatch.setenv(f"AIRFLOW_CONN_{conn_id.upper()}", store.connection(url=relay.url))
        life = task(bucket, save_conn_id=conn_id)
        error = not_saved(life)
    store.start()
    assert bucket.objects() == {}
    life.arguments["save_conn_id"] = bucket.conn_id
    saves_without_paying(life, error.job_id, connected)
    assert len(bucket.objects()) == 1


def test_a_worker_that_is_killed_in_the_middle_of_a_put_leaves_no_half_object(
    bucket, store, connected, monkeypatch
):
    half_way = threading.Event()
    with Relay(store.port, PUT_LIMIT, at_limit=half_way.set) as relay:
        conn_id = f"stopping_{bucket.conn_id}"
        monkeypatch.setenv(f"AIRFLOW_CONN_{conn_id.upper()}", store.connection(url=relay.url))
        with run_elsewhere(RUN, Place(bucket.url, conn_id)) as worker:
            assert half_way.wait(120)
            worker.kill()
    assert bucket.objects() == {}
    task(bucket).run()
    assert len(bucket.objects()) == connected.state.jobs_created == 1


def test_a_worker_that_is_killed_while_it_writes_a_file_leaves_no_half_image(folder, connected):
    with run_elsewhere(RUN_AND_STOP_HALF_WAY + RUN, folder) as worker:
        line_of(worker, "half-way".__eq__)
        worker.kill()
    (stray,) = folder.objects()
    assert stray.endswith(".part")
    (image,) = task(folder).run()["images"]
    assert folder.objects() == {image["uri"].removeprefix(f"{folder.url}/"): image["bytes"]}
    assert connected.state.jobs_created == 1


def noise(size: int) -> bytes:
    """Return a PNG of about *size* bytes."""
    width = 4096
    height = size // (3 * width)
    file = io.BytesIO()
    image = Image.frombytes("RGB", (width, height), os.urandom(3 * width * height))
    image.save(file, "PNG", compress_level=0)
    return file.getvalue()


@pytest.mark.skipif(sys.platform != "linux", reason="the peak is read from /proc")
def test_large_images_pass_through_little_memory(place, connected):
    with run_elsewhere(RUN_AND_MEASURE, place, stdin=subprocess.PIPE) as worker:
        before = int(line_of(worker, str.isdigit))
        body = noise(50 * MIB)
        connected.faults.next("image", times=4, body=body, content_type="image/png")
        worker.stdin.write("go\n")
        worker.stdin.flush()
        after = int(line_of(worker, str.isdigit))
    assert sum(size > 50 * MIB for size in place.objects().values()) == 4
    assert (after - before) * 1024 < 80 * MIB
