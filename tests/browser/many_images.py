"""A run with 500 images, made in seconds: its tasks do not run, their results are posted."""

from __future__ import annotations

import hashlib
import io
from pathlib import Path
from typing import Any

from one_machine import OneMachine
from PIL import Image, ImageDraw
from waiting import wait_until

DAG_ID, TASK_ID = "many", "images"
COUNT = 500
SIDE = 1024  # pixels


def make_run(airflow: OneMachine, run_id: str) -> None:
    """Make the run, an image file for each of its tasks, and what they would have returned."""
    airflow.api.post("/pools", {"name": "closed", "slots": 0})
    airflow.api.start_run(DAG_ID, run_id, {})
    run = f"/dags/{DAG_ID}/dagRuns/{run_id}"
    wait_until(
        lambda: airflow.api.get(f"{run}/taskInstances", limit=1)["total_entries"] == COUNT,
        "the tasks are there",
        every=0.5,
    )
    folder = airflow.home / "posters"
    folder.mkdir()
    for number in range(COUNT):
        body = {
            "key": "return_value",
            "value": _result(folder, number),
            "map_index": number,
        }
        airflow.api.post(f"{run}/taskInstances/{TASK_ID}/xcomEntries", body)
    airflow.api.patch(f"{run}/taskInstances/{TASK_ID}", {"new_state": "success"})


def _result(folder: Path, number: int) -> dict[str, Any]:
    """Return what a task returns that made and saved an image."""
    image = Image.new("RGB", (SIDE, SIDE), f"hsl({number * 360 // COUNT}, 60%, 40%)")
    ImageDraw.Draw(image).text((SIDE // 3, SIDE // 3), str(number), fill="white", font_size=200)
    buffer = io.BytesIO()
    image.save(buffer, "JPEG")
    content = buffer.getvalue()
    file = folder / f"{number}.jpg"
    file.write_bytes(content)
    url = f"https://cdn.invalid/{number}.jpg"  # a link that is dead by now
    saved = {
        "url": url,
        "uri": f"file://{file}",
        "content_type": "image/jpeg",
        "bytes": len(content),
        "width": SIDE,
        "height": SIDE,
        "sha256": hashlib.sha256(content).hexdigest(),
    }
    return {
        "job_id": f"job-{number}",
        "model": "flux-2-flex",
        "status": "COMPLETED",
        "prompt": f"Poster number {number}",
        "image_urls": [url],
        "images": [saved],
        "credit_cost": 12,
        "created_at": "2026-11-26T10:00:00+00:00",
        "completed_at": "2026-11-26T10:00:12+00:00",
        "reused": False,
    }
