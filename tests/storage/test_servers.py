"""What the object stores of these tests do, as far as saving images rests on it."""

from __future__ import annotations

import subprocess
import sys
import textwrap

import pytest
from places import Place

MIB = 1024 * 1024
# Both libraries send a file in several requests that has more than two such pieces.
PIECE = 5 * MIB
SEVERAL_PIECES = 12 * MIB

PUT_AND_STOP_HALF_WAY = textwrap.dedent(
    """
    import sys, threading
    from airflow.sdk import ObjectStoragePath
    from fsspec.callbacks import Callback

    class StopHalfWay(Callback):
        def call(self, hook_name=None, **kwargs):
            if self.value:
                print("half-way", flush=True)
                threading.Event().wait()

    source, target, conn_id, piece = sys.argv[1:]
    path = ObjectStoragePath(target, conn_id=conn_id)
    path.fs.put_file(source, path.path, callback=StopHalfWay(), chunksize=int(piece))
    """
)


def test_an_object_is_written_read_replaced_and_deleted(place):
    path = place.path("campaign/poster.png")
    path.parent.mkdir(parents=True, exist_ok=True)  # only files need it
    assert not path.exists()
    path.write_bytes(b"first")
    assert (path.read_bytes(), path.stat().st_size) == (b"first", 5)
    path.write_bytes(b"second one")
    assert place.objects() == {"campaign/poster.png": 10}
    assert path.read_bytes() == b"second one"
    path.unlink()
    assert not path.exists()
    assert place.objects() == {}


@pytest.mark.parametrize("size", [1, 6 * MIB, SEVERAL_PIECES])
def test_a_file_arrives_whole(bucket, random_file, size):
    source, path = random_file("poster.png", size), bucket.path("poster.png")
    path.fs.put_file(source, path.path, chunksize=PIECE)
    assert path.read_bytes() == source.read_bytes()


def test_a_wrong_key_is_refused(s3_bucket):
    s3_bucket.path("poster.png").write_bytes(b"old")
    path = s3_bucket.path("poster.png", conn_id="s3_wrong_key")
    with pytest.raises(PermissionError):
        path.write_bytes(b"new")
    with pytest.raises(PermissionError):
        path.read_bytes()
    assert s3_bucket.path("poster.png").read_bytes() == b"old"


def test_a_key_that_may_only_read_can_not_write(s3_bucket):
    s3_bucket.path("poster.png").write_bytes(b"old")
    path = s3_bucket.path("poster.png", conn_id="s3_reader")
    assert path.read_bytes() == b"old"
    with pytest.raises(PermissionError):
        path.write_bytes(b"new")
    assert path.read_bytes() == b"old"


def test_a_missing_bucket_is_not_made_by_writing_to_it(bucket, random_file):
    missing = Place(f"{bucket.url}-missing", bucket.conn_id).path("poster.png")
    with pytest.raises(FileNotFoundError):
        missing.fs.put_file(random_file("poster.png", 10), missing.path)
    assert not missing.exists()


@pytest.mark.parametrize("before", [{}, {"poster.png": b"old"}], ids=["new", "replaced"])
def test_a_put_that_is_killed_half_way_leaves_what_was_there(bucket, random_file, before):
    path = bucket.path("poster.png")
    for name, content in before.items():
        bucket.path(name).write_bytes(content)
    source = random_file("source.png", SEVERAL_PIECES)
    arguments = [str(source), f"{bucket.url}/poster.png", bucket.conn_id, str(PIECE)]
    with subprocess.Popen(
        [sys.executable, "-c", PUT_AND_STOP_HALF_WAY, *arguments], stdout=subprocess.PIPE, text=True
    ) as putting:
        assert "half-way" in (line.strip() for line in putting.stdout)
        putting.kill()
    assert bucket.objects() == {name: len(content) for name, content in before.items()}
    if before:
        assert path.read_bytes() == before["poster.png"]
