"""Each part is on a host of its own, as far as local paths and the host's name go."""

from __future__ import annotations

import os
import subprocess

import pytest
from cluster import TRIGGERERS, WORKERS, Cluster
from waiting import wait_until

HOSTS = (*WORKERS, *TRIGGERERS)


def on_host(cluster: Cluster, name: str, *command: str) -> str:
    """Return what a command prints that runs where a part of the cluster does."""
    namespaces = ["--mount", "--uts"] + (["--user"] if os.geteuid() else [])
    enter = ["nsenter", "--target", str(cluster.pid(name)), *namespaces, "--"]
    return subprocess.run([*enter, *command], capture_output=True, text=True, check=True).stdout


def test_a_local_path_of_one_host_is_not_there_on_the_others(cluster: Cluster) -> None:
    if not cluster.on_hosts:
        pytest.skip("this system has no namespaces to make hosts of")
    wait_until(lambda: not cluster.missing(), "all parts are at work", every=0.5)
    for name in HOSTS:
        on_host(cluster, name, "touch", f"{cluster.scratch}/image-of-{name}.png")
    for name in HOSTS:
        assert on_host(cluster, name, "hostname").split() == [name]
        assert on_host(cluster, name, "ls", str(cluster.scratch)).split() == [
            f"image-of-{name}.png"
        ]
    assert not list(cluster.scratch.iterdir())
