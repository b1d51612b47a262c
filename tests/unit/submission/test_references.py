"""Input images that are files: what is uploaded, what is submitted, and what a retry finds.

Every rule that is about money is looked at with a task state store (Airflow 3.3) and without one.
"""

from __future__ import annotations

import hashlib
import io
import os
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import fsspec
import pytest
from airflow.providers.common.compat.sdk import AirflowFailException, ObjectStoragePath
from fsspec.implementations.memory import MemoryFileSystem
from PIL import Image
from task_lives import KILLS, Killed, Store, Task

from airflow_provider_apiframe.api.errors import JobFailedError, UnreadableFileError
from airflow_provider_apiframe.exceptions import InvalidParameterError
from airflow_provider_apiframe.hooks import object_store, uploads
from airflow_provider_apiframe.hooks.apiframe import ApiframeHook
from airflow_provider_apiframe.sandbox.server import Sandbox
from airflow_provider_apiframe.submission import earlier_jobs
from airflow_provider_apiframe.submission.records import RECORD_KEY

URL = "https://images.example/a.png"


@pytest.fixture(params=[True, False], ids=["store", "no store"])
def store(request) -> Store | None:
    return Store() if request.param else None


def picture(color: str, form: str = "PNG") -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (64, 48), color).save(file, form)
    return file.getvalue()


@pytest.fixture
def mug(tmp_path) -> Path:
    path = tmp_path / "mug.png"
    path.write_bytes(picture("red"))
    return path


@pytest.fixture
def task(store, mug) -> Callable[..., Task]:
    """Make a task whose one input image is a file, or other ones."""

    def task(images: Any = None, **arguments: Any) -> Task:
        params = {"input_images": [str(mug)] if images is None else images}
        return Task(store, **{"flux_params": params, **arguments})

    return task


def images_of(sandbox: Sandbox, number: int = -1) -> list[str]:
    return list(sandbox.state.jobs[number].input["fluxParams"]["input_images"])


def content_of(sandbox: Sandbox, url: str) -> bytes:
    upload = sandbox.state.uploads.find(url.rpartition("/")[2])
    assert upload
    return upload.content


def test_a_file_is_uploaded_and_the_upload_is_submitted(task, mug, connected):
    assert task().run()["image_urls"]
    (url,) = images_of(connected)
    assert content_of(connected, url) == mug.read_bytes()


def test_urls_files_storage_paths_and_results_may_be_mixed(task, mug, connected, tmp_path):
    earlier = Task(None, run_id="earlier").run()
    stored = {**earlier["images"][0], "uri": "memory://brand/stored.webp"}
    for path, form in {"/brand/logo.jpg": "JPEG", "/brand/stored.webp": "WEBP"}.items():
        with fsspec.filesystem("memory").open(path, "wb") as file:
            file.write(picture("blue", form))
    task(
        [
            URL,
            mug.as_uri(),
            "memory://brand/logo.jpg",
            ObjectStoragePath(f"file://{mug}"),
            earlier,
            [stored, earlier["image_urls"]],
        ]
    ).run()
    found = images_of(connected)
    link = earlier["image_urls"][0]
    assert [found[0], found[4], found[6]] == [URL, link, link]
    assert found[1] == found[3], "the same content is uploaded once"
    assert content_of(connected, found[1]) == mug.read_bytes()
    assert content_of(connected, found[2])[:3] == picture("blue", "JPEG")[:3]
    assert content_of(connected, found[5])[8:12] == b"WEBP"
    assert connected.state.uploads.count == 3


def test_an_image_prompt_may_be_a_file_too(store, mug, connected):
    Task(store, model="flux-1.1-pro", flux_params={"image_prompt": str(mug)}).run()
    url = connected.state.jobs[0].input["fluxParams"]["image_prompt"]
    assert content_of(connected, url) == mug.read_bytes()


def large(path: Path) -> None:
    with path.open("wb") as file:
        file.write(picture("red"))
        file.truncate(26 * 1024 * 1024)


@pytest.mark.parametrize(
    ("make", "kind", "said"),
    [
        (lambda path: path.write_text("a mug"), InvalidParameterError, "is no PNG, JPEG, WebP"),
        (lambda path: path.write_text(""), InvalidParameterError, "is empty"),
        (large, InvalidParameterError, "has more than 25 MB"),
        (lambda path: path.mkdir(), AirflowFailException, "IsADirectoryError"),
        (lambda path: None, AirflowFailException, "FileNotFoundError"),
    ],
    ids=["text", "empty", "26 MB", "folder", "missing"],
)
def test_a_file_that_is_no_image_is_refused_before_anything_is_sent(
    make, kind, said, task, connected, tmp_path
):
    path = tmp_path / "other.png"
    make(path)
    with pytest.raises(kind, match=said) as caught:
        task([URL, str(path)]).run()
    assert str(path) in str(caught.value)
    assert "Nothing was submitted" in str(caught.value)
    assert not connected.state.requests


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("nowhere://brand/a.png", "ValueError: Protocol not known: nowhere"),
        ("memory://brand/missing.png", "FileNotFoundError"),
    ],
)
def test_storage_that_has_no_such_file_is_named(path, said, task, connected):
    with pytest.raises(AirflowFailException, match=said) as caught:
        task([path]).run()
    assert f"The input image {path} cannot be read" in str(caught.value)
    assert not connected.state.requests


def test_a_local_file_that_is_not_there_may_be_on_another_worker(task, connected, tmp_path):
    with pytest.raises(AirflowFailException) as caught:
        task([f"file://{tmp_path}/gone.png"]).run()
    assert "A local path is seen on one worker only" in str(caught.value)
    assert "save_to='s3://...'" in str(caught.value)
    with pytest.raises(AirflowFailException) as caught:
        task(["memory://brand/missing.png"]).run()
    assert "one worker" not in str(caught.value)


def test_storage_that_is_away_is_left_to_a_retry(task, connected):
    class Away(MemoryFileSystem):
        protocol = "away"

        def _open(self, *args: Any, **kwargs: Any) -> Any:
            raise ConnectionError("no route to https://s3.example/a.png?X-Amz-Signature=abc")

    fsspec.register_implementation("away", Away, clobber=True)
    with pytest.raises(UnreadableFileError, match="ConnectionError: no route") as caught:
        task(["away://brand/a.png"]).run()
    assert caught.value.transient
    assert "abc" not in str(caught.value)


def test_storage_that_refuses_just_now_is_left_to_a_retry(task, connected):
    # While Airflow's connections cannot be read, its providers go on without credentials.
    class Forbidden(MemoryFileSystem):
        protocol = "forbidden"

        def _open(self, *args: Any, **kwargs: Any) -> Any:
            raise PermissionError("Access Denied")

    fsspec.register_implementation("forbidden", Forbidden, clobber=True)
    with pytest.raises(UnreadableFileError, match="PermissionError: Access Denied") as caught:
        task(["forbidden://brand/a.png"]).run()
    assert caught.value.transient


def test_a_file_that_never_ends_being_read_is_left_to_a_retry(
    task, connected, tmp_path, monkeypatch
):
    monkeypatch.setattr(object_store, "MAX_SECONDS", 0.05)
    os.mkfifo(tmp_path / "pipe.png")
    with pytest.raises(UnreadableFileError, match=r"not done within 0\.05 s") as caught:
        task([f"{tmp_path}/pipe.png"]).run()
    assert caught.value.transient
    assert not connected.state.requests


# What a retry finds


@pytest.mark.parametrize("deferrable", [False, True], ids=["sync", "deferrable"])
@pytest.mark.parametrize("kill", KILLS)
def test_a_killed_try_is_followed_by_one_that_pays_nothing_more(kill, deferrable, task, connected):
    life = task(deferrable=deferrable)
    with pytest.raises(Killed):
        life.run(kill)
    result = life.run()
    assert [job.id for job in connected.state.jobs] == [result["job_id"]]
    assert result["reused"] is (kill != "before the POST")


@pytest.mark.parametrize("answer", [{"status": 200, "body": "<html>"}, {"status": 409}])
def test_a_lost_answer_is_followed_by_a_try_that_finds_the_job(answer, task, connected):
    life = task()
    connected.faults.next("generate", applied=True, **answer)
    with pytest.raises(Exception, match=r"unexpected|already used"):
        life.run()
    assert life.run()["reused"] is True
    assert connected.state.jobs_paid == 1


def test_with_a_store_the_uploads_of_a_try_before_are_submitted_again(mug, connected):
    life = Task(Store(), flux_params={"input_images": [str(mug)]})
    with pytest.raises(Killed):
        life.run("after the POST")
    life.run()
    assert (connected.state.uploads.count, connected.state.replays) == (1, 1)


def test_without_a_store_the_job_is_proven_by_the_content_of_its_images(mug, connected):
    others = [mug.with_name(f"{color}.png") for color in ("green", "blue")]
    for path in others:
        path.write_bytes(picture(path.stem))
    tasks = [
        Task(None, run_id=path.stem, flux_params={"input_images": [str(path)]})
        for path in (mug, *others)
    ]
    for life in tasks:
        with pytest.raises(Killed):
            life.run("after the POST")
    made = [job.id for job in connected.state.jobs]
    assert [life.run()["job_id"] for life in tasks] == made
    assert (connected.state.jobs_paid, connected.state.uploads.count) == (3, 6)


def test_without_a_store_a_job_in_the_other_spelling_is_found(mug, connected):
    connected.configure(dialect="openapi")
    params = {"input_images": [str(mug)], "aspect_ratio": "match_input_image"}
    life = Task(None, flux_params=params)
    with pytest.raises(Killed):
        life.run("after the POST")
    assert life.run()["reused"] is True
    assert connected.state.jobs_paid == 1


def test_without_a_store_another_request_with_the_same_images_is_not_taken(mug, connected):
    mine, other = (
        Task(None, run_id=name, prompt=name, flux_params={"input_images": [str(mug)]})
        for name in ("mine", "other")
    )
    with pytest.raises(Killed):
        mine.run("after the POST")
    other.run()
    first = connected.state.jobs[0].id
    assert mine.run()["job_id"] == first


def test_without_a_store_two_identical_requests_are_not_confused(mug, connected):
    twins = [Task(None, run_id=name, flux_params={"input_images": [str(mug)]}) for name in "ab"]
    for life in twins:
        with pytest.raises(Killed):
            life.run("after the POST")
    with pytest.raises(AirflowFailException, match="no one job could be proven to be it"):
        twins[0].run()
    assert connected.state.jobs_created == 2


def test_without_a_store_a_job_that_cannot_be_proven_is_not_paid_for_again(mug, connected):
    life = Task(None, flux_params={"input_images": [str(mug)]})
    with pytest.raises(Killed):
        life.run("after the POST")
    connected.faults.next("uploaded_file", status=404)
    with pytest.raises(AirflowFailException, match="clearing this task pays for a new image"):
        life.run()
    assert connected.state.jobs_created == 1


def test_without_a_store_an_upload_that_is_away_just_now_is_left_to_a_retry(mug, connect, sandbox):
    connect(password=sandbox.api_key, host=sandbox.url, extra={"max_retries": 0})
    life = Task(None, flux_params={"input_images": [str(mug)]})
    with pytest.raises(Killed):
        life.run("after the POST")
    sandbox.faults.next("uploaded_file", status=503)
    with pytest.raises(Exception, match="returned 503") as caught:
        life.run()
    assert not isinstance(caught.value, AirflowFailException)
    assert life.run()["reused"] is True
    assert sandbox.state.jobs_paid == 1


def test_a_failed_job_is_followed_by_a_new_one_from_new_uploads(task, connected):
    life = task()
    connected.configure(fail_rate=1)
    for _ in range(2):
        with pytest.raises(JobFailedError, match="capacity"):
            life.run()
    connected.configure(fail_rate=0)
    assert life.run()["reused"] is False
    assert (connected.state.jobs_created, connected.state.jobs_paid) == (3, 1)
    assert len({images_of(connected, number)[0] for number in range(3)}) == 3


def test_a_first_try_that_meets_a_conflict_looks_for_no_job(task, connected):
    connected.faults.next("generate", status=409)
    with pytest.raises(AirflowFailException, match="no one job"):
        task().run()
    assert connected.state.requests["jobs"] == 0


def test_nothing_is_uploaded_by_a_try_that_reconnects_to_the_recorded_job(mug, connected):
    life = Task(Store(), flux_params={"input_images": [str(mug)]})
    with pytest.raises(Killed):
        life.run("before waiting")
    life.run()
    assert connected.state.requests["upload"] == 1


def test_uploads_that_the_api_refuses_on_a_retry_are_made_anew(mug, connected):
    life = Task(Store(), flux_params={"input_images": [str(mug)]})
    with pytest.raises(Killed):
        life.run("before the POST")
    connected.faults.next("generate", status=400, body={"error": "input_images: expired"})
    assert life.run()["image_urls"]
    assert (connected.state.jobs_paid, connected.state.uploads.count) == (1, 2)


def test_a_job_that_failed_for_an_expired_upload_is_followed_by_one_from_a_new_upload(mug, connect):
    ahead = 0.0
    with Sandbox(latency=0.05, clock=lambda: time.time() + ahead) as sandbox:
        connect(password=sandbox.api_key, host=sandbox.url)
        life = Task(Store(), flux_params={"input_images": [str(mug)]})
        with pytest.raises(Killed):
            life.run("before the POST")
        ahead = 7200.0
        with pytest.raises(JobFailedError, match="could not be fetched") as caught:
            life.run()
        assert caught.value.transient
        assert life.run()["image_urls"]
        assert (sandbox.state.jobs_created, sandbox.state.jobs_paid) == (2, 1)


def test_a_file_that_changed_between_tries_is_another_image(task, mug, connected):
    life = task()
    with pytest.raises(Killed):
        life.run("before waiting")
    mug.write_bytes(picture("green"))
    assert life.run()["reused"] is False
    assert connected.state.jobs_paid == 2


@pytest.mark.parametrize("kill", ["after the POST", "before waiting"])
def test_with_a_store_a_file_that_is_gone_keeps_nobody_from_the_paid_image(kill, mug, connected):
    life = Task(Store(), flux_params={"input_images": [str(mug)]})
    with pytest.raises(Killed):
        life.run(kill)
    mug.unlink()
    assert life.run()["reused"] is True
    assert connected.state.jobs_paid == 1


def test_with_a_store_a_file_that_is_no_image_now_keeps_nobody_from_the_paid_image(mug, connected):
    life = Task(Store(), flux_params={"input_images": [str(mug)]})
    with pytest.raises(Killed):
        life.run("before waiting")
    mug.write_bytes(b"")  # somebody is writing it anew
    assert life.run()["reused"] is True
    assert connected.state.jobs_paid == 1


def test_with_a_store_storage_that_this_worker_does_not_know_keeps_nobody_from_the_paid_image(
    mug, connected, monkeypatch
):
    path = f"file://{mug}".replace("file:", "memory:")
    MemoryFileSystem().pipe(str(mug), mug.read_bytes())
    life = Task(Store(), flux_params={"input_images": [path]})
    with pytest.raises(Killed):
        life.run("before waiting")
    monkeypatch.setattr(uploads, "has_file_system", lambda scheme: True)  # so Airflow is asked
    assert life.run()["reused"] is True
    assert connected.state.jobs_paid == 1


def test_without_a_store_a_file_that_is_gone_is_left_to_a_retry_which_may_find_it_again(
    mug, connected
):
    life = Task(None, flux_params={"input_images": [str(mug)]})
    with pytest.raises(Killed):
        life.run("after the POST")
    content = mug.read_bytes()
    mug.unlink()
    with pytest.raises(UnreadableFileError, match="worth a retry"):
        life.run()
    mug.write_bytes(content)
    assert life.run()["reused"] is True
    assert connected.state.jobs_paid == 1


def test_clearing_pays_for_a_new_image_and_its_retry_finds_that_one(task, connected):
    life = task()
    first = life.run()
    life.clear()
    if life.store is None:
        # The run starts anew when it is cleared; what is older by more than the clocks' tolerance
        # is not looked at.
        connected.state.jobs[0].created_at -= 3600
    with pytest.raises(Killed):
        life.run("after the POST")
    second = life.run()
    assert second["job_id"] != first["job_id"]
    assert (second["reused"], connected.state.jobs_paid) == (True, 2)


def test_clearing_with_regenerate_on_clear_false_gives_the_image_that_was_paid_for(task, connected):
    life = task(regenerate_on_clear=False)
    first = life.run()
    life.clear()
    life.dag_run.start_date += timedelta(hours=1)
    assert life.run() == {**first, "reused": True}
    assert connected.state.jobs_paid == 1


def test_without_a_store_a_job_of_an_earlier_run_is_not_taken(mug, connected):
    Task(None, run_id="yesterday", flux_params={"input_images": [str(mug)]}).run()
    life = Task(None, run_id="today", flux_params={"input_images": [str(mug)]})
    with pytest.raises(Killed):
        life.run("before the POST")
    life.dag_run.start_date += timedelta(hours=1)
    connected.faults.next("generate", status=409)
    with pytest.raises(AirflowFailException, match="no one job"):
        life.run()


@pytest.fixture
def crowded(connected, monkeypatch) -> Callable[[], None]:
    """Call it for so many jobs of other requests that a search sees nothing else."""
    monkeypatch.setattr(earlier_jobs, "MAX_JOBS", 5)

    def crowded() -> None:
        for number in range(5):
            ApiframeHook().generate_image(prompt=f"{number}")

    return crowded


def test_without_a_store_a_search_has_a_bound_and_what_is_beyond_it_is_not_paid_for_again(
    mug, connected, crowded
):
    life = Task(None, flux_params={"input_images": [str(mug)]})
    with pytest.raises(Killed):
        life.run("after the POST")
    crowded()
    with pytest.raises(AirflowFailException, match="no one job"):
        life.run()
    assert (connected.state.requests["job"], connected.state.jobs_created) == (5, 6)


def test_without_a_store_a_failed_job_counts_only_where_the_list_shows_all(mug, connected, crowded):
    failed, mine = (
        Task(None, run_id=name, flux_params={"input_images": [str(mug)]}) for name in "ab"
    )
    with pytest.raises(Killed):
        mine.run("after the POST")
    crowded()
    connected.configure(fail_rate=1)
    with pytest.raises(JobFailedError):
        failed.run()
    connected.configure(fail_rate=0)
    with pytest.raises(AirflowFailException, match="no one job"):
        mine.run()
    assert connected.state.jobs_paid == 6


def test_a_store_that_cannot_be_written_leaves_it_to_the_content_to_find_the_job(mug, connected):
    class Broken(Store):
        def set(self, key: str, value: Any) -> None:
            raise RuntimeError("no store today")

    life = Task(Broken(), flux_params={"input_images": [str(mug)]})
    with pytest.raises(Killed):
        life.run("after the POST")
    assert life.run()["reused"] is True
    assert connected.state.jobs_paid == 1


def test_the_record_holds_hashes_in_place_of_paths(mug, connected):
    store = Store()
    life = Task(store, flux_params={"input_images": [str(mug)]})
    with pytest.raises(Killed):
        life.run("before the POST")
    record = store.get(RECORD_KEY)
    sha256 = hashlib.sha256(mug.read_bytes()).hexdigest()
    assert list(record["file_hashes"].values()) == [sha256]
    assert list(record["uploads"]) == [sha256]
    assert record["job_id"] is None
    assert "mug" not in store.values[RECORD_KEY]
    life.run()
    assert store.get(RECORD_KEY)["uploads"] == {}


@pytest.fixture
def s3() -> Iterator[Any]:
    """Storage by the scheme s3, which only the connection ``brand_s3`` opens."""
    try:
        from airflow.sdk.io import attach
    except ImportError:  # Airflow 2
        from airflow.io.store import attach

    memory = fsspec.filesystem("memory", skip_instance_cache=True)
    attach("s3", conn_id="brand_s3", fs=memory)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(uploads, "has_file_system", lambda scheme: scheme == "s3")
        patch.setenv("AIRFLOW_CONN_BRAND_S3", '{"conn_type": "aws"}')
        yield memory


@pytest.mark.parametrize(
    ("path", "conn_id"),
    [("s3://brand/a.png", "brand_s3"), ("s3://brand_s3@brand/a.png", "another")],
)
def test_a_storage_path_is_read_with_the_connection_it_names_or_else_the_given_one(
    path, conn_id, s3
):
    with s3.open("/brand/a.png", "wb") as file:
        file.write(picture("red"))
    assert uploads.read_image(path, conn_id).content == picture("red")
