from __future__ import annotations

import errno
import os
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace

import pytest
from fsspec.implementations.local import LocalFileSystem
from fsspec.implementations.memory import MemoryFileSystem

from airflow_provider_apiframe.hooks import object_store
from airflow_provider_apiframe.hooks.object_store import (
    StorageError,
    local_copy,
    put,
    split_connection,
    storage_path,
)

try:
    from airflow.sdk.io import get_fs
except ImportError:  # Airflow 2.11 and 3.0
    from airflow.io import get_fs


class Store(MemoryFileSystem):
    """A file system of its own, that notes what is put and can be broken."""

    store: dict = {}  # noqa: RUF012
    pseudo_dirs = [""]  # noqa: RUF012
    cachable = False

    def __init__(self, error: Exception | None = None, failing: str = "") -> None:
        super().__init__()
        self.store, self.pseudo_dirs = {}, [""]
        self.error, self.failing = error, failing
        self.puts: list[tuple[str, dict]] = []

    def put_file(self, lpath, rpath, callback=None, **options):
        self.puts.append((rpath, options))
        self.pipe_file(rpath, Path(lpath).read_bytes())
        self._fail("put_file")

    def mv(self, path1, path2, **options):
        self._fail("mv")
        super().mv(path1, path2, **options)

    def info(self, path, **options):
        self._fail("info")
        return super().info(path, **options)

    def _fail(self, operation: str) -> None:
        if self.failing == operation:
            raise self.error

    def path(self, url: str) -> SimpleNamespace:
        """What Airflow's path to *url* is used for."""
        scheme, _, path = url.partition("://")
        return FakePath(fs=self, protocol=scheme, path=f"/{path}", url=url)


class FakePath(SimpleNamespace):
    def __str__(self) -> str:
        return self.url


@pytest.fixture
def file(tmp_path) -> Path:
    (tmp_path / "new").write_bytes(b"new")
    return tmp_path / "new"


@pytest.mark.parametrize(
    ("location", "expected"),
    [
        ("s3://aws@bucket/a@b.png", ("aws", "s3://bucket/a@b.png")),
        ("s3://bucket/a@b.png", (None, "s3://bucket/a@b.png")),
        ("s3://aws@bucket", ("aws", "s3://bucket")),
        ("file:///a@b/c", (None, "file:///a@b/c")),
        ("/a@b/c", (None, "/a@b/c")),
    ],
)
def test_a_connection_in_a_url_is_told_from_the_rest(location, expected):
    assert split_connection(location) == expected


@pytest.mark.parametrize("location", ["{}/a b/poster-é.png", "file://{}/a b/poster-é.png"])
def test_a_file_is_written_into_a_new_folder_and_read_back(location, file, tmp_path):
    path = storage_path(location.format(tmp_path))
    put(file, path, "image/png")
    assert (tmp_path / "a b" / "poster-é.png").read_bytes() == b"new"
    local_copy(path, tmp_path / "copy")
    assert (tmp_path / "copy").read_bytes() == b"new"


def test_a_file_that_is_there_is_replaced_and_nothing_else_is_left(file, tmp_path):
    (tmp_path / "out").mkdir()
    target = tmp_path / "out" / "poster.png"
    target.write_bytes(b"something longer")
    put(file, storage_path(str(target)), "image/png")
    assert target.read_bytes() == b"new"
    assert list(target.parent.iterdir()) == [target]


def test_a_reader_of_the_old_file_reads_it_to_its_end(file, tmp_path):
    target = tmp_path / "poster.png"
    target.write_bytes(b"old")
    with target.open("rb") as reader:
        put(file, storage_path(str(target)), "image/png")
        assert reader.read() == b"old"


def test_a_folder_under_the_files_name_is_an_error_that_leaves_nothing(file, tmp_path):
    target = tmp_path / "out" / "poster.png"
    target.mkdir(parents=True)
    with pytest.raises(StorageError, match="could not be written") as caught:
        put(file, storage_path(str(target)), "image/png")
    assert caught.value.transient is False
    assert list((tmp_path / "out").rglob("*")) == [target]


@pytest.mark.parametrize("failing", ["put_file", "mv"])
def test_a_failure_leaves_the_old_file_and_no_temporary_one(failing, file):
    store = Store(OSError(errno.EIO, "away"), failing)
    store.pipe_file("/folder/poster.png", b"old")
    with pytest.raises(StorageError) as caught:
        put(file, store.path("sftp://folder/poster.png"), "image/png")
    assert caught.value.transient is True
    assert store.find("/") == ["/folder/poster.png"]
    assert store.cat_file("/folder/poster.png") == b"old"


def test_elsewhere_than_on_object_stores_the_final_name_is_only_given_by_renaming(file):
    store = Store()
    put(file, store.path("sftp://folder/poster.png"), "image/png")
    ((temporary, options),) = store.puts
    assert temporary.startswith("/folder/.poster.png.")
    assert options == {}
    assert store.find("/") == ["/folder/poster.png"]


@pytest.mark.parametrize(
    ("scheme", "options"),
    [("s3", {"ContentType": "image/webp"}), ("gs", {"content_type": "image/webp"})],
)
def test_an_object_store_gets_the_object_at_once_with_its_content_type(scheme, options, file):
    store = Store()
    put(file, store.path(f"{scheme}://bucket/poster.webp"), "image/webp")
    ((path, given),) = store.puts
    assert path == "/bucket/poster.webp"
    assert options.items() <= given.items()


@pytest.mark.parametrize(
    ("error", "transient"),
    [
        (FileNotFoundError("gone"), False),
        (PermissionError("Access Denied"), True),
        (OSError(errno.EIO, "away"), True),
        (TimeoutError(), True),
        (RuntimeError("500 Internal Server Error"), True),
    ],
)
def test_an_error_says_whether_a_retry_can_help(error, transient, tmp_path):
    with pytest.raises(StorageError, match=r"s3://bucket/a\.png could not be read") as caught:
        local_copy(Store(error, "info").path("s3://bucket/a.png"), tmp_path / "copy")
    assert caught.value.transient is transient
    assert type(error).__name__ in str(caught.value)


def test_an_error_shows_no_signature_and_no_endless_text(tmp_path):
    error = RuntimeError(f"GET https://x.example/a?sig=SECRET failed {'x' * 9999}")
    with pytest.raises(StorageError) as caught:
        local_copy(Store(error, "info").path("abfs://box/a.png"), tmp_path / "copy")
    assert "SECRET" not in str(caught.value)
    assert len(str(caught.value)) < 500


def test_a_missing_file_is_no_matter_for_a_retry(tmp_path):
    with pytest.raises(StorageError, match="could not be read") as caught:
        local_copy(storage_path(f"{tmp_path}/nothing.png"), tmp_path / "copy")
    assert caught.value.transient is False
    assert "A local path is seen on one worker only" in str(caught.value)


def test_a_missing_object_is_on_no_other_machine_either(tmp_path):
    with pytest.raises(StorageError, match="could not be read") as caught:
        local_copy(Store().path("s3://bucket/nothing.png"), tmp_path / "copy")
    assert "worker" not in str(caught.value)


def test_a_scheme_that_nothing_serves_says_what_to_install(tmp_path):
    with pytest.raises(StorageError, match="apache-airflow-providers-amazon") as caught:
        storage_path("nowhere://bucket/a.png")
    assert caught.value.transient is False


def test_a_file_that_is_too_large_is_not_read(tmp_path):
    (tmp_path / "large").write_bytes(bytes(300_000))
    with pytest.raises(StorageError, match="has 300000 bytes, more than 100000") as caught:
        local_copy(storage_path(f"{tmp_path}/large"), tmp_path / "copy", max_bytes=100_000)
    assert caught.value.transient is False
    assert not (tmp_path / "copy").exists()


def test_a_file_of_another_size_is_not_read(tmp_path):
    (tmp_path / "image").write_bytes(b"12345")
    path = storage_path(f"{tmp_path}/image")
    with pytest.raises(StorageError, match="has 5 bytes, not 4") as caught:
        local_copy(path, tmp_path / "copy", exact_bytes=4)
    assert caught.value.transient is False
    assert not (tmp_path / "copy").exists()
    local_copy(path, tmp_path / "copy", exact_bytes=5)
    assert (tmp_path / "copy").read_bytes() == b"12345"


@pytest.mark.parametrize(
    ("transfer", "call"),
    [
        ("get_file", lambda path, file: local_copy(path, file)),
        ("put_file", lambda path, file: put(file, path, "image/png")),
    ],
)
def test_a_transfer_that_hangs_is_left_to_a_retry(transfer, call, file, tmp_path, monkeypatch):
    path = storage_path(f"{tmp_path}/poster.png")
    put(file, path, "image/png")
    done = threading.Event()
    monkeypatch.setattr(object_store, "MAX_SECONDS", 0.05)
    monkeypatch.setattr(path.fs, transfer, lambda *_: done.wait(10))
    with pytest.raises(StorageError, match=r"TimeoutError: not done within 0\.05 s") as caught:
        call(path, file)
    assert caught.value.transient is True
    done.set()


def test_what_a_killed_process_left_is_gone_after_the_next_put(file, tmp_path):
    folder = tmp_path / "out"
    folder.mkdir()
    (folder / ".b.png.0123.part").write_bytes(b"half")
    (folder / ".other.png.0123.part").write_bytes(b"somebody else's")
    put(file, storage_path(f"{folder}/b.png"), "image/png")
    assert {path.name for path in folder.iterdir()} == {"b.png", ".other.png.0123.part"}


def test_a_folder_is_listed_once_however_many_files_are_put_there(file, tmp_path, monkeypatch):
    folder = tmp_path / "out"
    folder.mkdir()
    (folder / ".3.png.0123.part").write_bytes(b"half")
    listed = []
    real = LocalFileSystem.ls

    def ls(self, path, *args, **kwargs):
        listed.append(path)
        return real(self, path, *args, **kwargs)

    monkeypatch.setattr(LocalFileSystem, "ls", ls)
    for number in range(5):
        put(file, storage_path(f"{folder}/{number}.png"), "image/png")
    assert listed == [str(folder)]
    assert sorted(path.name for path in folder.iterdir()) == [f"{n}.png" for n in range(5)]


def test_a_forked_process_removes_what_another_left_since(file, tmp_path, monkeypatch):
    folder = tmp_path / "out"
    first, second = storage_path(f"{folder}/a.png"), storage_path(f"{folder}/b.png")
    put(file, first, "image/png")
    (folder / ".b.png.0123.part").write_bytes(b"half")
    fork = os.getpid() + 1
    monkeypatch.setattr(os, "getpid", lambda: fork)
    put(file, second, "image/png")
    assert sorted(path.name for path in folder.iterdir()) == ["a.png", "b.png"]


def test_what_another_process_writes_just_now_under_a_longer_name_is_left(file, tmp_path):
    folder = tmp_path / "out"
    folder.mkdir()
    (folder / ".b.png.bak.0123.part").write_bytes(b"half")
    put(file, storage_path(f"{folder}/b.png"), "image/png")
    assert sorted(path.name for path in folder.iterdir()) == [".b.png.bak.0123.part", "b.png"]


def test_many_writers_of_one_file_all_succeed(file, tmp_path):
    path = storage_path(f"{tmp_path}/out/b.png")
    with ThreadPoolExecutor(3) as writers:
        done = [writers.submit(put, file, path, "image/png") for _ in range(60)]
    assert [future.result() for future in done] == [None] * 60
    assert [found.name for found in (tmp_path / "out").iterdir()] == ["b.png"]


def test_a_file_system_of_the_parent_process_is_set_up_anew_after_a_fork(tmp_path, monkeypatch):
    class Files(LocalFileSystem):
        cachable = False

    def set_up(conn_id: str | None) -> Files:
        made = Files()
        made._pid = os.getpid()  # as those of S3, GCS and Azure have it
        made.signer = f"of {conn_id}"  # as Airflow sets that of S3, after the constructor
        return made

    registered = sys.modules[get_fs.__module__]._register_filesystems()
    monkeypatch.setitem(registered, "file", set_up)
    of_parent = storage_path(f"file://{tmp_path}/a.txt", "forked").fs
    of_parent._pid += 1
    found = storage_path(f"file://{tmp_path}/a.txt", "forked").fs
    assert found is not of_parent
    assert found is storage_path(f"file://{tmp_path}/b.txt", "forked").fs  # and is kept
    assert found.signer == "of forked"
