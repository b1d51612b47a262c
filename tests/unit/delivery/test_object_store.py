from __future__ import annotations

import threading
from pathlib import Path

import pytest

from airflow_provider_apiframe.api.errors import ConfigurationError
from airflow_provider_apiframe.delivery import object_store
from airflow_provider_apiframe.delivery.object_store import (
    StorageError,
    StoredFileMissingError,
    get,
    open_path,
    put,
)


@pytest.fixture
def local(tmp_path: Path) -> Path:
    path = tmp_path / "local.png"
    path.write_bytes(b"new" * 1000)
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "stored"


def test_a_file_is_put_into_a_folder_that_is_made_for_it_and_read_back(local, folder, tmp_path):
    target = open_path(f"file://{folder}/a/b.png")
    put(local, target, "image/png")
    get(target, tmp_path / "copy.png", max_bytes=3000)
    assert (tmp_path / "copy.png").read_bytes() == local.read_bytes()
    assert [path.name for path in (folder / "a").iterdir()] == ["b.png"]


def test_a_file_in_its_place_is_replaced_at_once(local, folder, monkeypatch):
    target = open_path(f"file://{folder}/b.png")
    put(local, target, "image/png")
    local.write_bytes(b"newer" * 1000)
    seen = []
    move = target.fs.mv

    def look_then_move(source: str, path: str) -> None:
        seen.append((folder / "b.png").read_bytes())
        move(source, path)

    monkeypatch.setattr(target.fs, "mv", look_then_move)
    put(local, target, "image/png")
    assert seen == [b"new" * 1000]
    assert (folder / "b.png").read_bytes() == b"newer" * 1000


def test_what_a_killed_process_left_is_gone_after_the_next_put(local, folder):
    folder.mkdir()
    (folder / ".b.png.0123.part").write_bytes(b"half")
    (folder / ".other.png.0123.part").write_bytes(b"somebody else's")
    put(local, open_path(f"file://{folder}/b.png"), "image/png")
    assert {path.name for path in folder.iterdir()} == {"b.png", ".other.png.0123.part"}


def test_a_failed_put_leaves_what_was_there_and_nothing_else(local, folder, monkeypatch):
    target = open_path(f"file://{folder}/b.png")
    put(local, target, "image/png")

    def fill_the_disk(source: str, path: str, **_: object) -> None:
        Path(path).write_bytes(b"ha")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(target.fs, "put_file", fill_the_disk)
    with pytest.raises(StorageError, match=r"could not be written.*No space left") as error:
        put(local, target, "image/png")
    assert error.value.transient
    assert [path.name for path in folder.iterdir()] == ["b.png"]
    assert (folder / "b.png").read_bytes() == b"new" * 1000


def test_many_writers_of_one_file_all_succeed(local, folder):
    target = open_path(f"file://{folder}/b.png")
    errors = []

    def write() -> None:
        try:
            for _ in range(20):
                put(local, target, "image/png")
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=write) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors
    assert [path.name for path in folder.iterdir()] == ["b.png"]


def test_a_missing_file_is_told_from_a_storage_that_is_away(folder, tmp_path):
    with pytest.raises(StoredFileMissingError, match=r"nothing\.png does not exist"):
        get(open_path(f"file://{folder}/nothing.png"), tmp_path / "copy", max_bytes=10)


def test_a_file_larger_than_allowed_is_not_read(local, tmp_path):
    with pytest.raises(StorageError, match="has 3000 bytes, more than 2999"):
        get(open_path(f"file://{local}"), tmp_path / "copy", max_bytes=2999)
    assert not (tmp_path / "copy").exists()


def test_a_transfer_that_hangs_ends(local, folder, monkeypatch):
    target = open_path(f"file://{folder}/b.png")
    done = threading.Event()
    monkeypatch.setattr(object_store, "MAX_SECONDS", 0.05)
    monkeypatch.setattr(target.fs, "put_file", lambda *_: done.wait(10))
    with pytest.raises(StorageError, match="could not be written within"):
        put(local, target, "image/png")
    done.set()


def test_a_scheme_that_no_package_knows_says_what_to_install():
    with pytest.raises(ConfigurationError, match=r"s3://.*apache-airflow-providers-amazon\[s3fs\]"):
        open_path("s3://bucket/key.png")
