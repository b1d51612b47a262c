"""The files among the reference images of a batch."""

from __future__ import annotations

import io
from datetime import timedelta
from pathlib import Path

import batch_lives as lives
import pytest
from airflow.providers.common.compat.sdk import AirflowFailException
from batch_lives import SMALL, BatchTask
from PIL import Image
from task_lives import Killed, Store

from airflow_provider_apiframe.api.errors import UnreadableFileError
from airflow_provider_apiframe.delivery.manifest import ManifestFile
from airflow_provider_apiframe.hooks.object_store import StorageError


def png(width: int, height: int) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (width, height), "red").save(file, "PNG")
    return file.getvalue()


@pytest.fixture
def photos(tmp_path) -> list[Path]:
    """Two photos, and a copy of the first."""
    folder = tmp_path / "photos"
    folder.mkdir()
    paths = [folder / f"{name}.png" for name in ("a", "b", "copy-of-a")]
    paths[0].write_bytes(png(64, 64))
    paths[1].write_bytes(png(96, 64))
    paths[2].write_bytes(png(64, 64))
    return paths


def of(photos: list[Path], times: int = 1) -> list[dict]:
    return [
        {"prompt": f"in scene {scene}", "flux_params": {"input_images": [str(photo)]}}
        for photo in photos
        for scene in range(times)
    ]


def test_each_content_is_uploaded_once_for_a_wave(connected, photos, tmp_path):
    wanted = [
        {"prompt": f"{number}", "flux_params": {"input_images": [str(photo)]}}
        for number, photo in enumerate(photos * 3)
    ]
    task = BatchTask(tmp_path, requests=wanted)
    assert task.run()["succeeded"] == 9
    assert connected.state.requests["upload"] == 2
    task.manifest()


def test_the_same_request_with_a_copy_of_its_image_is_refused_with_both_places(
    connected, photos, tmp_path
):
    task = BatchTask(tmp_path, requests=of(photos))
    with pytest.raises(AirflowFailException, match="index 2 is the same request as index 0"):
        task.run()
    assert connected.state.jobs_created == 0
    task.arguments["requests"] = [{**each, "id": str(n)} for n, each in enumerate(of(photos))]
    assert task.run()["succeeded"] == 3


def test_a_file_that_cannot_be_read_is_named_before_anything_is_paid(connected, photos, tmp_path):
    photos[1].unlink()
    task = BatchTask(tmp_path, requests=of(photos[:2]))
    with pytest.raises(AirflowFailException, match=r"b\.png cannot be read"):
        task.run()
    assert connected.state.jobs_created == 0


@pytest.fixture(params=[True, False], ids=["store", "no store"])
def store(request) -> Store | None:
    return Store() if request.param else None


@pytest.mark.parametrize("kill", [lives.submitting(2), lives.after_the_manifest()])
def test_a_retry_sends_the_uploads_of_the_try_before_and_pays_nothing(
    kill, store, connected, photos, tmp_path
):
    task = BatchTask(tmp_path, store, requests=of(photos[:2], times=2))
    with pytest.raises(Killed):
        task.run(kill)
    result = task.run()
    assert result["succeeded"] == 4
    assert connected.state.jobs_created == 4
    assert connected.state.requests["upload"] == 2
    assert all("uploads" not in line for line in task.manifest())


def test_without_its_manifest_a_retry_finds_the_jobs_by_the_content_of_their_images(
    connected, photos, tmp_path
):
    task = BatchTask(tmp_path, requests=of(photos[:2], times=2))
    with pytest.raises(Killed):
        task.run(lives.submitting(2))
    task.lose_manifests()
    assert task.run()["succeeded"] == 4
    assert connected.state.jobs_created == 4


def test_jobs_of_other_uploads_are_looked_for_a_few_at_a_time_until_all_are_found(
    connected, photos, tmp_path, monkeypatch
):
    monkeypatch.setattr("airflow_provider_apiframe.submission.batch.MAX_SEARCHES", 1)
    task = BatchTask(tmp_path, requests=of(photos[:2], times=2))
    with pytest.raises(Killed):
        task.run(lives.after_the_manifest())
    task.lose_manifests()
    assert task.run()["succeeded"] == 4
    assert connected.state.jobs_created == 4


def test_nothing_is_submitted_with_uploads_that_the_manifest_does_not_keep(
    connected, photos, tmp_path, monkeypatch
):
    """A task that resumes would upload them anew, and the API know none of the requests again."""
    task = BatchTask(tmp_path, requests=of(photos[:2], times=6), deferrable=True)
    real, calls = ManifestFile.write, []

    def write(self, lines):
        calls.append(self)
        if len(calls) in (2, 3):  # before the wave is submitted, and after that
            raise StorageError("the storage is away", transient=True)
        real(self, lines)

    with monkeypatch.context() as patched:
        patched.setattr(ManifestFile, "write", write)
        with pytest.raises(StorageError):
            task.run()
    assert connected.state.jobs_created == 0
    assert task.run()["succeeded"] == 12
    assert connected.state.jobs_created == 12


def test_a_cleared_task_that_keeps_its_images_finds_them_by_the_content_of_their_input(
    connected, photos, tmp_path
):
    task = BatchTask(tmp_path, requests=of(photos[:2]), regenerate_on_clear=False)
    with pytest.raises(Killed):
        task.run(lives.submitting(2))
    task.lose_manifests()
    task.clear()
    task.dag_run.start_date += timedelta(hours=1)  # clearing starts the run anew
    assert task.run()["succeeded"] == 2
    assert connected.state.jobs_created == 2


def test_uploads_that_the_api_refuses_on_a_retry_are_made_anew(connected, photos, tmp_path):
    task = BatchTask(tmp_path, requests=of(photos[:2]))
    with pytest.raises(Killed):
        task.run(lives.submitting(1, done=False))
    connected.faults.next("generate", status=400, body={"error": "input_images: expired"}, times=2)
    assert task.run()["succeeded"] == 2
    assert connected.state.requests["upload"] == 4


def test_a_file_that_changes_while_the_batch_runs_is_left_to_a_retry(
    connected, photos, tmp_path, monkeypatch
):
    task = BatchTask(tmp_path, requests=of(photos[:2]))
    real = lives.BatchRun.next_wave

    def next_wave(self):
        photos[1].write_bytes(png(128, 64))
        return real(self)

    monkeypatch.setattr(lives.BatchRun, "next_wave", next_wave)
    with pytest.raises(UnreadableFileError, match="changed while the batch ran") as error:
        task.run()
    assert error.value.transient
    assert connected.state.jobs_created == 0
    assert task.run()["succeeded"] == 2


def test_a_file_that_the_api_refuses_fails_its_own_requests_alone(connected, photos, tmp_path):
    connected.faults.next("upload", status=400, body={"error": "Not an image we like"})
    task = BatchTask(tmp_path, requests=of(photos[:2], times=2), flux_params=SMALL)
    result = task.run()
    assert (result["succeeded"], result["failed"]) == (2, 2)
    assert connected.state.jobs_created == 2
