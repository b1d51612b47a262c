"""``make ui``: Airflow with its UI on this machine, the sandbox, the examples and a finished run.

One API server, the scheduler with the LocalExecutor, a triggerer and the DAG processor, on SQLite.
Ctrl+C ends all of it.
"""

from __future__ import annotations

import argparse
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / "tests" / folder) for folder in ("support", "lifecycle")]

from one_machine import OneMachine  # noqa: E402
from ports import free_port  # noqa: E402
from waiting import wait_until  # noqa: E402

from airflow_provider_apiframe.sandbox.server import Sandbox  # noqa: E402

LATENCY = (6.0, 15.0)  # seconds per image, so that there is progress to see
FIRST_LATENCY = (0.5, 1.5)  # the finished run need not be waited for
DAG_ID = "example_marketing_assets"
RUN_ID = "summer_campaign"
RUN_PAGE = f"/dags/{DAG_ID}/runs/{RUN_ID}"
CAMPAIGN = {
    "headline": "SUMMER SALE",
    "products": ["running shoe", "sunscreen bottle"],
    "channels": {"feed": "1:1", "story": "9:16"},
}


def main() -> None:
    """Start everything, print where it is, and wait for Ctrl+C."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--port", type=int, help="of the UI; any free one by default")
    arguments = parser.parse_args()
    # To end it by its process id does the same as Ctrl+C.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    started = time.monotonic()
    print("Starting Airflow; this takes about half a minute ...", flush=True)
    try:
        with airflow_with_a_run(arguments.port) as (airflow, sandbox):
            print(_banner(airflow, sandbox, time.monotonic() - started), flush=True)
            while True:
                time.sleep(3600)
    except KeyboardInterrupt:
        print("\nAll of it has ended.", flush=True)


@contextmanager
def airflow_with_a_run(port: int | None = None) -> Iterator[tuple[OneMachine, Sandbox]]:
    """Start everything, and end it afterwards; the files stay only when Airflow does not start.

    :param port: of the UI; any free one by default.
    """
    airflow = OneMachine(ROOT / "example_dags", port=port)
    keep_files = True
    try:
        with Sandbox(port=free_port(), latency=FIRST_LATENCY) as sandbox:
            airflow.start()
            airflow.api.add_connection("apiframe_default", sandbox.url, sandbox.api_key)
            conf = {**CAMPAIGN, "output": f"{airflow.home}/images/"}
            airflow.api.start_run(DAG_ID, RUN_ID, conf)
            wait_until(lambda: airflow.api.run_ended(DAG_ID, RUN_ID), f"{RUN_ID} ends", every=0.5)
            keep_files = False
            sandbox.configure(latency=LATENCY)
            yield airflow, sandbox
    except KeyboardInterrupt:
        keep_files = False
        raise
    finally:
        airflow.close(keep_files)
        if keep_files:
            print(f"\nAirflow's logs and database are in {airflow.home}", file=sys.stderr)


def _banner(airflow: OneMachine, sandbox: Sandbox, seconds: float) -> str:
    return f"""
A finished run   {airflow.url}{RUN_PAGE}
More to trigger  {airflow.url}/dags
Login            none: whoever opens the address is admin; it is on this machine only
Connection       apiframe_default, to the sandbox at {sandbox.url}
Files, logs      {airflow.home}; they go when it ends.
                 The images of the runs that you start lie where their form says

Up after {seconds:.0f} s. Ctrl+C ends all of it."""


if __name__ == "__main__":
    main()
