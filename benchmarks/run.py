"""``make bench``: measure what this provider costs, and print a report.

The report is also put into ``docs/performance.md`` if that is there.

The sandbox plays Apiframe. Everything runs on this machine, nothing is paid.
"""

from __future__ import annotations

import argparse
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[0] = str(ROOT)  # in place of this folder, so that its modules are those of the package

from benchmarks import imports, request_rate, saving, waiting, worker_seconds  # noqa: E402
from benchmarks.conditions import conditions  # noqa: E402
from benchmarks.processes import allow_many_files  # noqa: E402
from benchmarks.tables import between_markers  # noqa: E402

PAGE = ROOT / "docs" / "performance.md"
PACKAGES = (
    "apache-airflow",
    "airflow-provider-apiframe",
    "apache-airflow-providers-http",
    "apache-airflow-providers-openai",
    "httpx",
    "aiohttp",
    "requests",
)


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    flags = argparse.ArgumentParser(
        prog="python benchmarks/run.py",
        description=__doc__,
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    flags.add_argument(
        "--sizes",
        type=int,
        nargs="+",
        default=[1, 20, 200, 2000],
        metavar="N",
        help="jobs that wait at once",
    )
    flags.add_argument(
        "--mixed",
        type=int,
        default=200,
        metavar="N",
        help="jobs of different lengths that wait at once, 0 for none",
    )
    flags.add_argument(
        "--latency", type=float, default=15.0, metavar="S", help="seconds a job takes"
    )
    flags.add_argument("--repeats", type=int, default=1, help="how often each wait is measured")
    flags.add_argument(
        "--starts",
        type=int,
        default=5,
        metavar="N",
        help="how often an import and an empty task are measured",
    )
    flags.add_argument(
        "--minute",
        type=float,
        default=60.0,
        metavar="S",
        help="seconds in which requests are counted",
    )
    flags.add_argument(
        "--images", type=int, default=50, metavar="N", help="images that are saved at once"
    )
    flags.add_argument(
        "--quick", action="store_true", help="a small run that only shows that all works; no page"
    )
    flags.add_argument(
        "--page", type=Path, default=PAGE, help="file that the report goes to, if it exists"
    )
    return flags


def main(arguments: Sequence[str]) -> int:
    """Measure and report; return the exit status."""
    chosen = parser().parse_args(arguments)
    if chosen.quick:
        chosen.sizes, chosen.mixed, chosen.images = [5], 0, 2
        chosen.latency, chosen.starts, chosen.minute = 1.0, 1, 4.0
    page: Path | None = None if chosen.quick or not chosen.page.exists() else chosen.page
    if page:
        between_markers(
            page.read_text(), ""
        )  # a page without a place for the report fails now, not after the run
    allow_many_files()
    signal.signal(
        signal.SIGTERM, lambda *_: sys.exit("ended")
    )  # as Ctrl+C does: so that what was started is ended too
    since = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="apiframe-benchmarks-") as folder:
        scratch = Path(folder)
        parts: dict[str, Callable[[Path], str]] = {
            "Waiting for an image": partial(
                waiting.report, chosen.sizes, chosen.mixed, chosen.latency, chosen.repeats
            ),
            "Requests a minute": partial(request_rate.report, chosen.sizes, chosen.minute),
            "Import time": partial(imports.report, chosen.starts),
            "Saving images": partial(saving.report, chosen.images),
            "Worker seconds": partial(worker_seconds.report, chosen.latency, chosen.starts),
        }

        def measured(title: str) -> str:
            own = scratch / title.replace(" ", "-")
            own.mkdir()
            return f"## {title}\n\n{parts[title](own)}"

        try:
            if chosen.quick:  # its figures are worth nothing, so its parts may disturb each other
                with ThreadPoolExecutor(len(parts)) as at_once:
                    sections = list(at_once.map(measured, parts))
            else:
                sections = [measured(title) for title in parts]
        except waiting.LostImages as lost:
            print(f"FAILED, no report is written: {lost}", file=sys.stderr)
            return 1
    took = f"The run took {(time.monotonic() - since) / 60:.1f} minutes."
    command = " ".join(["python benchmarks/run.py", *arguments])
    report = "\n\n".join([f"{conditions(command, PACKAGES)} {took}", *sections])
    print(report)
    if page:
        page.write_text(between_markers(page.read_text(), report))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
