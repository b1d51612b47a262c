"""``make cluster``: an Airflow of many parts on this machine, with the sandbox and the examples.

PostgreSQL, Redis, two schedulers, two triggerers, two Celery workers, the API server and the DAG
processor. Ctrl+C ends all of it.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / "tests" / folder) for folder in ("support", "lifecycle", "cluster")]

from cluster import PARTS, Cluster  # noqa: E402
from ports import free_port  # noqa: E402

from airflow_provider_apiframe.sandbox.server import Sandbox  # noqa: E402

LATENCY = (5.0, 20.0)  # seconds per image


def main() -> None:
    """Start everything, print where it is, and wait for Ctrl+C."""
    started = time.monotonic()
    print("Starting PostgreSQL, Redis and Airflow; this takes about a minute ...", flush=True)
    cluster = Cluster(ROOT / "example_dags")
    keep_files = True
    try:
        with Sandbox(port=free_port(), latency=LATENCY) as sandbox:
            cluster.start()
            cluster.api.add_connection("apiframe_default", sandbox.url, sandbox.api_key)
            print(_banner(cluster, sandbox, time.monotonic() - started), flush=True)
            while True:
                time.sleep(3600)
    except KeyboardInterrupt:
        keep_files = False
        print("\nEnding all of it ...", flush=True)
    finally:
        cluster.close(keep_files)


def _banner(cluster: Cluster, sandbox: Sandbox, seconds: float) -> str:
    hosts = (
        f"Each part is on a host of its own: {cluster.scratch} is another folder there."
        if cluster.on_hosts
        else "This system has no namespaces, so the parts share one host name and all folders."
    )
    parts = "\n".join(f"  {name:<16} process {cluster.pid(name)}" for name in PARTS)
    return f"""
Airflow          {cluster.url} (nobody need log in)
Apiframe sandbox {sandbox.url} (connection apiframe_default)
PostgreSQL       port {cluster.postgres.port}, Redis port {cluster.redis.port}
Files, logs      {cluster.home} and {cluster.logs}; they go when it ends

Parts; what ends is started again. {hosts}
{parts}

Up after {seconds:.0f} s. Ctrl+C ends all of it."""


if __name__ == "__main__":
    main()
