from __future__ import annotations

import json
import logging
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_apiframe.api.errors import InvalidRequestError
from airflow_provider_apiframe.delivery import manifest
from airflow_provider_apiframe.delivery.manifest import (
    ManifestFile,
    ManifestLine,
    manifest_uri,
)
from airflow_provider_apiframe.delivery.naming import SaveTo
from airflow_provider_apiframe.hooks.object_store import StorageError

NAMES = {
    "dag_id": "campaign",
    "run_id": "manual__2026-11-26T01:57:56+00:00",
    "task_id": "group.posters",
    "map_index": -1,
    "ds": "2026-11-26",
}
RUN = "manual__2026-11-26T01_57_56_00_00"
IMAGE = {
    "url": "https://cdn.example/1.png",
    "uri": "s3://brand/1.png",
    "content_type": "image/png",
    "bytes": 1000,
    "width": 64,
    "height": 64,
    "sha256": "0" * 64,
}


def line(index: int = 0, **values: object) -> ManifestLine:
    given = {"request": {"prompt": "a cat"}, "model": "flux-2-flex", "key": f"{index:064x}"}
    return ManifestLine(index=index, **{**given, **values})


@pytest.fixture
def file(tmp_path) -> ManifestFile:
    return ManifestFile(f"file://{tmp_path}/of/a/task/manifest-0.jsonl")


def path_of(file: ManifestFile) -> Path:
    return Path(file.uri.removeprefix("file://"))


texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
images = st.builds(
    lambda url, uri, size: {**IMAGE, "url": url, "uri": uri, "bytes": size},
    texts,
    texts | st.none(),
    st.integers(0, 2**40) | st.none(),
)
manifest_lines = st.builds(
    ManifestLine,
    index=st.integers(0, 9_999),
    id=texts | st.none(),
    request=st.dictionaries(texts, st.none() | st.booleans() | st.integers() | texts, max_size=4),
    job_id=texts | st.none(),
    status=st.sampled_from(["COMPLETED", "FAILED", "CANCELLED", "PROCESSING", "NOT_SUBMITTED"]),
    error=texts | st.none(),
    images=st.lists(images, max_size=3),
    image_urls=st.lists(texts, max_size=3),
    credit_cost=st.none() | st.integers(0, 1000) | st.floats(0, 1000),
    generation=st.integers(0, 9),
    model=texts,
    key=st.text("0123456789abcdef", min_size=64, max_size=64),
)


@given(st.lists(manifest_lines, max_size=8, unique_by=lambda each: each.key))
def test_what_was_written_is_read_again(tmp_path_factory, lines):
    file = ManifestFile(f"{tmp_path_factory.mktemp('store')}/manifest.jsonl")
    file.write(lines)
    assert file.read() == {each.key: each for each in lines}


def test_each_request_is_one_line_of_json_in_the_order_given(file):
    prompt = "Grüße\u2028\x85\n日本語"
    file.write([line(1, request={"prompt": prompt}), line(0)])
    written = path_of(file).read_bytes().split(b"\n")
    assert [json.loads(each)["index"] for each in written[:-1]] == [1, 0]
    assert json.loads(written[0])["request"] == {"prompt": prompt}
    assert "日本語".encode() in written[0], "a person can read it"
    assert written[-1] == b""


def test_what_was_there_is_replaced(file):
    file.write([line(0), line(1)])
    file.write([line(0, status="COMPLETED", images=[IMAGE])])
    assert file.read() == {line(0).key: line(0, status="COMPLETED", images=[IMAGE])}


def test_where_nothing_was_written_there_is_no_manifest(file):
    assert file.read() is None


def test_an_empty_manifest_is_not_the_same_as_none(file):
    file.write([])
    assert file.read() == {}


def test_storage_that_is_away_is_not_the_same_as_no_manifest(tmp_path):
    (tmp_path / "task").write_text("a file in the folder's place")
    with pytest.raises(StorageError, match=r"manifest\.jsonl could not be read: NotADirectory"):
        ManifestFile(f"{tmp_path}/task/manifest.jsonl").read()


def test_a_worker_without_room_for_a_copy_is_told_from_no_manifest(file, monkeypatch):
    file.write([line(0)])
    monkeypatch.setattr("tempfile.tempdir", "/no/such/folder")
    with pytest.raises(StorageError, match="The worker's own disk") as caught:
        file.read()
    assert caught.value.transient


def test_a_manifest_that_cannot_be_written_leaves_the_one_that_is_there(file, monkeypatch):
    file.write([line(0)])
    monkeypatch.setattr("os.replace", lambda *paths: (_ for _ in ()).throw(OSError("disk full")))
    with pytest.raises(StorageError, match=r"could not be written: OSError: disk full"):
        file.write([line(1)])
    monkeypatch.undo()
    assert list(file.read()) == [line(0).key]
    assert [each.name for each in path_of(file).parent.iterdir()] == ["manifest-0.jsonl"]


@pytest.mark.parametrize(
    "strange",
    [
        b"\xff\xfe",
        b"[]",
        b"{}",
        b"[" * 100_000,
        line(1).as_json().replace(b'"index": 1', b'"index": -1'),
        line(1).as_json().replace(line(1).key.encode(), b"../../etc"),
        line(1, images=[IMAGE]).as_json().replace(b'"sha256"', b'"sha1"'),
        line(1).as_json()[:-20],
    ],
)
def test_a_line_of_somebody_else_is_left_out_with_a_warning(file, caplog, strange):
    file.write([line(0)])
    with path_of(file).open("ab") as stored:
        stored.write(b"\n" + strange + b"\n" + line(2).as_json())
    with caplog.at_level(logging.WARNING):
        assert file.read() == {line(0).key: line(0), line(2).key: line(2)}
    assert "has 1 lines that no batch wrote, the first is line 3" in caplog.text


def test_a_line_without_an_end_is_no_reason_to_read_all_of_it_at_once(file, monkeypatch):
    monkeypatch.setattr(manifest, "_MAX_LINE_BYTES", 1000)
    file.write([line(0, request={"prompt": "x" * 5000}), line(1)])
    assert list(file.read()) == [line(1).key]


def test_a_file_beyond_all_bounds_is_not_read(file, monkeypatch):
    monkeypatch.setattr(manifest, "MAX_MANIFEST_BYTES", 100)
    file.write([line(0)])
    with pytest.raises(StorageError, match="more than 100"):
        file.read()


def test_lines_of_a_later_version_are_understood(file):
    file.write([line(0)])
    text = path_of(file).read_text()
    path_of(file).write_text(text.replace('"index": 0', '"index": 0, "priority": "high"'))
    assert file.read() == {line(0).key: line(0)}


def test_the_vendors_error_is_kept_short_whatever_it_holds(file):
    file.write([line(0, error="\ud83d" + "x" * 5000)])
    (read,) = file.read().values()
    assert read.error == "?" + "x" * 999


def test_the_manifest_is_in_the_folder_of_its_task():
    folder = SaveTo.parse("s3://my_aws@brand/posters/{ds}/")
    uri = manifest_uri(folder, NAMES, "1")
    name = "manifest-6b86b273.jsonl"  # the first 8 digits of the SHA-256 of "1"
    assert uri == f"s3://my_aws@brand/posters/2026-11-26/campaign/{RUN}/group.posters/{name}"
    mapped = manifest_uri(folder, {**NAMES, "map_index": 7}, "1")
    assert mapped == f"s3://my_aws@brand/posters/2026-11-26/campaign/{RUN}/group.posters-7/{name}"


def test_another_clear_has_another_manifest():
    folder = SaveTo.parse("/data/")
    assert manifest_uri(folder, NAMES, "1") != manifest_uri(folder, NAMES, "2")


@pytest.mark.parametrize(
    "save_to",
    [
        "/data/posters/{job_id}.png",
        "/data/posters/{job_id}/",
        "/data/posters/of-{job_id}/{n}/x.png",
        "/data/posters/{ext}/{job_id}.{ext}",
    ],
)
def test_the_place_of_the_manifest_does_not_depend_on_a_job(save_to):
    uri = manifest_uri(SaveTo.parse(save_to), NAMES, "1")
    folder = f"file:///data/posters/campaign/{RUN}/group.posters"
    assert uri == f"{folder}/manifest-6b86b273.jsonl"


def test_a_place_that_is_too_long_for_a_storage_is_refused():
    folder = SaveTo.parse("s3://brand/" + "x" * 240 + "/" + "y" * 240 + "/" + "z" * 240 + "/")
    names = {**NAMES, "dag_id": "d" * 120, "run_id": "r" * 120, "task_id": "t" * 120}
    with pytest.raises(InvalidRequestError, match="too long"):
        manifest_uri(folder, names, "1")
