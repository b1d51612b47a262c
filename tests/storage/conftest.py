"""Object stores on loopback, Airflow connections to them, and a bucket of its own for each test."""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from object_stores import GcsStore, S3Store
from places import Place

# gcsfs asks which kind a bucket is over gRPC, which fake-gcs-server does not speak; it tries again
# for over a minute. Read when gcsfs is imported.
os.environ["GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT"] = "false"

FIXTURES = {"s3": "s3_bucket", "gs": "gcs_bucket", "file": "folder"}


@pytest.fixture(scope="session")
def s3_store() -> Iterator[S3Store]:
    """SeaweedFS, and the connections s3, s3_reader (may not write) and s3_wrong_key."""
    keys = {
        "S3": S3Store.ADMIN,
        "S3_READER": S3Store.READER,
        "S3_WRONG_KEY": (S3Store.ADMIN[0], "not-the-secret"),
    }
    with S3Store() as store, pytest.MonkeyPatch.context() as environment:
        for name, key in keys.items():
            environment.setenv(f"AIRFLOW_CONN_{name}", store.connection(key))
        yield store


@pytest.fixture(scope="session")
def gcs_store() -> Iterator[GcsStore]:
    """fake-gcs-server, and the connection gcs."""
    with GcsStore() as store, pytest.MonkeyPatch.context() as environment:
        environment.setenv("AIRFLOW_CONN_GCS", store.connection())
        yield store


@pytest.fixture
def s3_bucket(s3_store: S3Store) -> Iterator[Place]:
    """A bucket of this test's own in SeaweedFS."""
    yield from _bucket("s3", "s3")


@pytest.fixture
def gcs_bucket(gcs_store: GcsStore) -> Iterator[Place]:
    """A bucket of this test's own in fake-gcs-server."""
    yield from _bucket("gs", "gcs")


def _bucket(scheme: str, conn_id: str) -> Iterator[Place]:
    name = f"test-{uuid.uuid4().hex}"
    place = Place(f"{scheme}://{name}", conn_id)
    place.path().fs.mkdir(name)
    yield place
    # SeaweedFS keeps volumes for each bucket.
    place.path().fs.rm(name, recursive=True)


@pytest.fixture
def folder(tmp_path: Path) -> Place:
    """A folder of this test's own."""
    return Place((tmp_path / "saved").as_uri(), None)


@pytest.fixture(params=FIXTURES)
def place(request: pytest.FixtureRequest) -> Place:
    """An empty bucket of S3, of GCS, and a folder: the test runs once for each."""
    return request.getfixturevalue(FIXTURES[request.param])


@pytest.fixture(params=["s3", "gs"])
def bucket(request: pytest.FixtureRequest) -> Place:
    """An empty bucket of S3 and of GCS: the test runs once for each."""
    return request.getfixturevalue(FIXTURES[request.param])


@pytest.fixture
def store(bucket: Place, request: pytest.FixtureRequest) -> S3Store | GcsStore:
    """The server that the test's bucket is on."""
    return request.getfixturevalue({"s3": "s3_store", "gcs": "gcs_store"}[str(bucket.conn_id)])


@pytest.fixture
def random_file(tmp_path: Path) -> Callable[[str, int], Path]:
    """Call it with a name and a size in bytes to get a file of random content."""

    def write(name: str, size: int) -> Path:
        path = tmp_path / name
        path.write_bytes(os.urandom(size))
        return path

    return write
