"""``make bench-batch``: many images in one batch, beside as many mapped tasks, on a real Airflow.

The report is also put into ``docs/performance.md``. The sandbox plays Apiframe; nothing is paid.
"""

from __future__ import annotations

import argparse
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
# In place of this folder, so that its modules are those of the package.
sys.path[:1] = [
    str(ROOT),
    *(f"{ROOT}/tests/{name}" for name in ("support", "lifecycle", "cluster")),
]

from benchmarks.batch_airflow import LocalAirflow  # noqa: E402
from benchmarks.batch_report import comparison, large_batch  # noqa: E402
from benchmarks.batch_run import run  # noqa: E402
from benchmarks.conditions import conditions  # noqa: E402
from benchmarks.processes import allow_many_files  # noqa: E402
from benchmarks.tables import between_markers  # noqa: E402

PAGE = ROOT / "docs" / "performance.md"
PACKAGES = ("apache-airflow", "airflow-provider-apiframe", "SQLAlchemy", "httpx", "requests")
WARM_UP = 4  # images, as in batch_dags/mapped_tasks.py
WARM_UP_LATENCY = 1.0
IDLE_SECONDS = 30.0


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    flags = argparse.ArgumentParser(
        prog="python benchmarks/batch.py",
        description=__doc__,
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    flags.add_argument(
        "--images",
        type=int,
        default=1000,
        metavar="N",
        help="images of one batch and, after it, of as many mapped tasks; 0 for neither",
    )
    flags.add_argument(
        "--requests",
        type=int,
        default=0,
        metavar="N",
        help="images of one more batch, which is reported alone; 0 for none",
    )
    flags.add_argument(
        "--latency", type=float, default=15.0, metavar="S", help="seconds an image takes"
    )
    flags.add_argument("--page", type=Path, help="file that the report goes to", default=PAGE)
    flags.add_argument("--keep", action="store_true", help="keep the files of Airflow")
    return flags


def main(arguments: Sequence[str]) -> int:
    """Measure and report; return the exit status."""
    chosen = parser().parse_args(arguments)
    for name in ("batch", "large batch"):  # a page without the places fails now
        between_markers(chosen.page.read_text(), "", name)
    allow_many_files()
    # As Ctrl+C does: so that what was started is ended too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("ended"))
    under = conditions(" ".join(["python benchmarks/batch.py", *arguments]), PACKAGES)
    airflow = LocalAirflow(max(chosen.images, WARM_UP))
    print(f"Airflow is in {airflow.home}", file=sys.stderr, flush=True)
    try:
        airflow.start()
        for dag_id in ("one_batch", "mapped_warm_up"):
            run(airflow, dag_id, f"{dag_id}_first", WARM_UP, WARM_UP_LATENCY)
        if chosen.images:
            idle = _idle_cpu(airflow)
            batch, mapped = (
                run(airflow, dag_id, dag_id, chosen.images, chosen.latency)
                for dag_id in ("one_batch", "mapped_tasks")
            )
            version = airflow.query("SHOW server_version")[0][0]
            report = comparison(batch, mapped, chosen.latency, idle, version)
            _publish(chosen.page, "batch", f"{under}\n\n{report}")
        if chosen.requests:
            large = run(airflow, "one_batch", "large_batch", chosen.requests, chosen.latency)
            report = large_batch(large, chosen.latency)
            _publish(chosen.page, "large batch", f"{under}\n\n{report}")
    finally:
        airflow.close(keep_files=chosen.keep)
    return 0


def _publish(page: Path, name: str, report: str) -> None:
    """Print a report, and put it into the page at once: what comes after it may fail."""
    print(report, end="\n\n", flush=True)
    page.write_text(between_markers(page.read_text(), report, name))


def _idle_cpu(airflow: LocalAirflow) -> float:
    """Return how many CPU seconds all of Airflow takes in a second without any work."""
    before = sum(airflow.cpu_seconds().values())
    time.sleep(IDLE_SECONDS)
    return (sum(airflow.cpu_seconds().values()) - before) / IDLE_SECONDS


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
