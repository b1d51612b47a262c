"""The environment of the measured processes, and what they use."""

from __future__ import annotations

import json
import os
import resource
import threading
import time
from pathlib import Path
from types import TracebackType
from typing import Self

import psutil

ROOT = Path(__file__).resolve().parent.parent
CONNECTION = "apiframe_default"
HTTP_CONNECTION = "apiframe_over_http"
OPEN_FILES = 16_384  # a connection for each of 2,000 jobs, on either side
SAMPLE_SECONDS = 0.05


def environment(scratch: Path, *, url: str = "", api_key: str = "") -> dict[str, str]:
    """Return an environment in which Airflow knows only these benchmarks.

    :param scratch: folder for what Airflow writes.
    :param url: the sandbox that the two connections lead to.
    :param api_key: its key.
    """
    # Without bytecode every process would compile Airflow anew, which no deployment does.
    left_out = (
        "AIRFLOW",
        "_AIRFLOW",
        "PYTHONDONTWRITEBYTECODE",
        "HTTP_PROXY",
        "HTTPS_PROXY",
        "ALL_PROXY",
    )
    own = {
        name: value for name, value in os.environ.items() if not name.upper().startswith(left_out)
    }
    return own | {
        "AIRFLOW_HOME": str(scratch / "airflow"),
        "AIRFLOW__CORE__DAGS_FOLDER": str(scratch / "dags"),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__LOGGING__LOGGING_LEVEL": "WARNING",
        f"AIRFLOW_CONN_{CONNECTION.upper()}": json.dumps(
            {"conn_type": "apiframe", "host": url, "password": api_key}
        ),
        f"AIRFLOW_CONN_{HTTP_CONNECTION.upper()}": json.dumps(
            {"conn_type": "http", "host": url, "extra": {"X-API-Key": api_key}}
        ),
    }


def allow_many_files() -> None:
    """Raise the limit of open files, as far as the system lets this process.

    It holds for the processes that this one starts, too.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = OPEN_FILES if hard == resource.RLIM_INFINITY else min(OPEN_FILES, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


class PeakMemory:
    """Watches the resident memory of another process, from this one so that it costs that nothing.

    :param pid: the process.
    :ivar before: bytes at the start.
    :ivar peak: bytes at the highest, sampled every 50 ms.
    """

    def __init__(self, pid: int) -> None:
        self._process = psutil.Process(pid)
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self.before = self.peak = self._process.memory_info().rss

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._done.set()
        self._thread.join()

    def _watch(self) -> None:
        try:
            while not self._done.wait(SAMPLE_SECONDS):
                self.peak = max(self.peak, self._process.memory_info().rss)
        except psutil.Error:  # the process has ended; what it used until then is known
            return


class CpuShare:
    """The share of one core that another process used since this was made.

    :param pid: the process.
    """

    def __init__(self, pid: int) -> None:
        self._process = psutil.Process(pid)
        self._seconds, self._since = self._used(), time.monotonic()

    def _used(self) -> float:
        times = self._process.cpu_times()
        return float(times.user + times.system)

    def now(self) -> float:
        """Return the share until now; 1 is a whole core."""
        return (self._used() - self._seconds) / (time.monotonic() - self._since)
