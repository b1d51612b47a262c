"""Under what conditions a report was made."""

from __future__ import annotations

import platform
from collections.abc import Iterable
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import psutil


def processor() -> str:
    """Return the model of the CPU, as far as the system tells."""
    described = Path("/proc/cpuinfo")
    if described.exists():
        for line in described.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def conditions(command: str, packages: Iterable[str]) -> str:
    """Return under what conditions the figures were measured.

    :param command: what was typed to measure them.
    :param packages: whose versions matter.
    """
    versions = ", ".join(f"{name} {version(name)}" for name in packages)
    return (
        f"Measured on {datetime.now(UTC):%Y-%m-%d} with `{command}`: Python "
        f"{platform.python_version()}, {versions}; "
        f"{psutil.cpu_count()} CPUs ({processor()}), {platform.system()}."
    )
