"""``make demo``: run the marketing example for real and leave the images in ``demo-output/``.

Without APIFRAME_API_KEY the sandbox plays Apiframe and nothing is paid; with it the images are real
and cost credits.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

from PIL import Image, ImageDraw, ImageFont

from airflow_provider_apiframe.api.client import ApiframeClient
from airflow_provider_apiframe.api.errors import ApiframeError
from airflow_provider_apiframe.api.settings import (
    DEFAULT_BASE_URL,
    ClientSettings,
)
from airflow_provider_apiframe.sandbox.server import Sandbox

ROOT = Path(__file__).resolve().parent.parent
OUTPUT = ROOT / "demo-output"
LOG = OUTPUT / "airflow.log"
AIRFLOW_HOME = (
    Path(sys.prefix) / "airflow-demo"
)  # gone, database and all, when the environment is made anew
AIRFLOW = [sys.executable, "-m", "airflow"]
DAG_ID = "example_marketing_assets"

SANDBOX_LATENCY = 0.8  # seconds per image; Flux itself takes about 15
MARK = b"digitalsourcetype/trainedAlgorithmicMedia"  # IPTC's word for made by AI
ACCEPTED = re.compile(r"Apiframe accepted job \S+")
DELIVERED = re.compile(r"Job \S+ made \S+ for (\S+) credits")


def main() -> int:
    """Run the demo; 0 if all images were made."""
    started = time.monotonic()
    with apiframe() as settings:
        with ApiframeClient(settings) as client:
            before = client.get_account()
        print(f"{before.describe()}, at {settings.base_url}", flush=True)
        shutil.rmtree(OUTPUT, ignore_errors=True)
        OUTPUT.mkdir()
        environment = airflow_environment(settings)
        with LOG.open("w") as log:
            prepared = AIRFLOW_HOME / "prepared"
            if not prepared.exists():
                say(started, "preparing Airflow's database")
                subprocess.run(
                    [*AIRFLOW, "db", "migrate"], env=environment, stdout=log, stderr=log, check=True
                )
                prepared.touch()
            say(started, f"airflow dags test {DAG_ID}")
            code = run_dag(environment, log, started)
    if code:
        print(f"\nThe DAG run failed. Airflow's log: {LOG}", file=sys.stderr)
        return code
    (manifest,) = OUTPUT.glob("*/manifest.json")
    images = json.loads(manifest.read_text())["images"]
    sheet = contact_sheet(manifest.parent, images)
    credits = sum(image["credit_cost"] or 0 for image in images)
    print(f"\n{len(images)} images in {time.monotonic() - started:.0f} s for {credits} credits, in")
    print(f"{manifest.parent.relative_to(ROOT)}/:")
    for image in images:
        for name in (image["file"], *image["variants"].values()):
            print(f"  {description(manifest.parent / name)}")
    print(
        f"\nLook at {sheet.relative_to(ROOT)}, or open "
        f"{(manifest.parent / 'contact-sheet.html').relative_to(ROOT)} "
        f"(log: {OUTPUT.name}/{LOG.name})"
    )
    return 0


def description(path: Path) -> str:
    """Return name, format, size and mark of an image, read from the file itself."""
    with Image.open(path) as image:
        mark = "marked as made by AI" if MARK in path.read_bytes() else "NOT MARKED"
        size = f"{image.width} x {image.height}"
        kilobytes = path.stat().st_size / 1024
        return f"{path.name:<40} {image.format:<5} {size:>11} {kilobytes:6.0f} KB  {mark}"


@contextlib.contextmanager
def apiframe() -> Iterator[ClientSettings]:
    """Yield how to reach the API: the real one if there is a key for it, the sandbox otherwise."""
    if key := os.environ.get("APIFRAME_API_KEY"):
        base_url = os.environ.get("APIFRAME_BASE_URL", DEFAULT_BASE_URL)
        print(f"APIFRAME_API_KEY is set: six images are made by {base_url} and COST CREDITS.")
        if os.environ.get("APIFRAME_DEMO_YES") != "1" and not agreed():
            sys.exit("Nothing was submitted. APIFRAME_DEMO_YES=1 answers the question in scripts.")
        yield ClientSettings(api_key=key, base_url=base_url, name="APIFRAME_API_KEY")
    else:
        print("APIFRAME_API_KEY is not set: the sandbox plays Apiframe, nothing is paid.")
        with Sandbox(latency=SANDBOX_LATENCY) as sandbox:
            yield ClientSettings(api_key=sandbox.api_key, base_url=sandbox.url, name="the sandbox")


def agreed() -> bool:
    """Ask whether the images may be paid for; a script that cannot answer says no."""
    try:
        return input("Pay for them? [y/N] ").strip().lower() in ("y", "yes")
    except EOFError:
        return False


def airflow_environment(settings: ClientSettings) -> dict[str, str]:
    """Return an environment in which Airflow knows only this demo."""
    own = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("AIRFLOW", "_AIRFLOW"))
    }
    connection = {"conn_type": "apiframe", "password": settings.api_key, "host": settings.base_url}
    return own | {
        "AIRFLOW_HOME": str(AIRFLOW_HOME),
        "AIRFLOW__CORE__DAGS_FOLDER": str(ROOT / "example_dags"),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__LOGGING__LOGGING_LEVEL": "INFO",
        "AIRFLOW_CONN_APIFRAME_DEFAULT": json.dumps(connection),
        "PYTHONUNBUFFERED": "1",
    }


def run_dag(environment: dict[str, str], log: TextIO, started: float) -> int:
    """Run the DAG, print a line for each step of each image; return the exit code."""
    conf = json.dumps({"output": f"{OUTPUT}/"})
    command = [*AIRFLOW, "dags", "test", DAG_ID, "--conf", conf]
    process = subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    submitted = done = 0
    assert process.stdout is not None
    for line in process.stdout:
        log.write(line)
        if ACCEPTED.search(line):
            submitted += 1
            say(started, f"image {submitted} is submitted")
        elif match := DELIVERED.search(line):
            done += 1
            say(started, f"image {done} is ready ({match[1]} credits)")
    return process.wait()


def say(started: float, text: str) -> None:
    """Print one line of progress with the seconds since the start."""
    print(f"  {time.monotonic() - started:5.1f} s  {text}", flush=True)


def contact_sheet(folder: Path, images: list[dict[str, str]]) -> Path:
    """Put all images on one sheet, with their prompts below."""
    cell, caption, gap, columns = 360, 54, 16, min(3, len(images))
    rows = -(-len(images) // columns)
    sheet = Image.new(
        "RGB", (gap + columns * (cell + gap), gap + rows * (cell + caption + gap)), "#f4f1ec"
    )
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(size=14)
    for index, image in enumerate(images):
        left = gap + index % columns * (cell + gap)
        top = gap + index // columns * (cell + caption + gap)
        with Image.open(folder / image["file"]) as file:
            file.thumbnail((cell, cell))
            sheet.paste(
                file.convert("RGB"),
                (left + (cell - file.width) // 2, top + (cell - file.height) // 2),
            )
        for number, text in enumerate(wrapped(image["prompt"], draw, font, cell)[:3]):
            draw.text((left, top + cell + 4 + number * 16), text, fill="#333333", font=font)
    path = OUTPUT / "contact-sheet.png"
    sheet.save(path)
    return path


def wrapped(
    text: str, draw: ImageDraw.ImageDraw, font: ImageFont.FreeTypeFont, width: int
) -> list[str]:
    """Break *text* into lines that fit into *width* pixels."""
    lines = [""]
    for word in text.split():
        longer = f"{lines[-1]} {word}".strip()
        if draw.textlength(longer, font=font) <= width:
            lines[-1] = longer
        else:
            lines.append(word)
    return lines


if __name__ == "__main__":
    try:
        sys.exit(main())
    except ApiframeError as error:
        sys.exit(f"The demo could not start: {error}")
