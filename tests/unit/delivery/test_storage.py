"""Saving what a job made: through operator and sensor, into a folder."""

from __future__ import annotations

import asyncio
import hashlib
import io
import json
import re
import signal
import threading
from pathlib import Path

import pytest
from airflow.providers.common.compat.sdk import DAG, AirflowFailException, TaskDeferred
from certificates import certificate_pem, key_pem, new_key
from PIL import Image
from task_lives import Killed, Task, event_of

from airflow_provider_apiframe.api import download
from airflow_provider_apiframe.api.client import ApiframeClient
from airflow_provider_apiframe.api.errors import ApiframeError, InvalidRequestError
from airflow_provider_apiframe.delivery.provenance import read_mark
from airflow_provider_apiframe.delivery.storage import ImageNotSavedError, ImageStorage
from airflow_provider_apiframe.exceptions import InvalidParameterError
from airflow_provider_apiframe.hooks.apiframe import ApiframeHook
from airflow_provider_apiframe.hooks.connection import ConnectionNotFoundError
from airflow_provider_apiframe.operators.flux import FluxGenerateOperator
from airflow_provider_apiframe.sensors.job import ApiframeJobSensor

SMALL = {"width": 256, "height": 320, "output_format": "png"}
SEVERAL = "a poster [images: 3]"


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch) -> None:
    monkeypatch.setattr(download, "retry_backoff", lambda attempt, asked: 0.0)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "stored"


@pytest.fixture
def task(connected, folder):
    """Call it for a task that saves into the folder, and its connection's client."""

    def make(**arguments) -> Task:
        return Task(None, **{"save_to": f"{folder}/", "flux_params": SMALL, **arguments})

    return make


def files_in(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def stored(image: dict) -> bytes:
    return Path(image["uri"].removeprefix("file://")).read_bytes()


def test_the_image_is_in_the_folder_and_the_result_says_what_it_is(task, folder, connected):
    result = task().run()
    (image,) = result["images"]
    assert image["uri"] == f"file://{folder}/d/r/poster/{result['job_id']}-1.png"
    assert files_in(folder) == [f"d/r/poster/{result['job_id']}-1.png"]
    content = stored(image)
    assert (image["bytes"], image["sha256"]) == (
        len(content),
        hashlib.sha256(content).hexdigest(),
    )
    assert (image["width"], image["height"], image["content_type"]) == (256, 320, "image/png")
    assert Image.open(io.BytesIO(content)).size == (256, 320)
    assert image["url"] == result["image_urls"][0]


@pytest.mark.parametrize("form", ["png", "jpg", "webp"])
def test_a_saved_image_says_that_ai_made_it_and_nothing_of_the_prompt(task, form):
    params = {**SMALL, "output_format": form}
    result = task(prompt="a secret plan", flux_params=params).run()
    content = stored(result["images"][0])
    assert b"trainedAlgorithmicMedia" in content
    assert result["job_id"].encode() in content
    assert b"secret plan" not in content


def test_without_provenance_the_bytes_are_the_cdns(task, connected):
    result = task(provenance=None).run()
    with ApiframeHook().client as client:
        image = client.download(result["image_urls"][0], Path(result["job_id"]).name + ".tmp")
    try:
        assert stored(result["images"][0]) == image.path.read_bytes()
    finally:
        image.path.unlink()


def test_a_storage_that_nothing_installed_knows_is_told_by_its_root_before_it_is_paid(
    task, connected
):
    with pytest.raises(
        AirflowFailException, match=r"^nowhere://bucket/ cannot be reached: .*nowher"
    ):
        task(save_to="nowhere://bucket/{run_id}/").run()
    assert connected.state.jobs_created == 0


def test_a_wrong_provenance_is_told_that_there_is_none_as_well():
    with pytest.raises(InvalidParameterError, match='must be "iptc", "c2pa" or None'):
        FluxGenerateOperator(task_id="poster", prompt="a mug", provenance="none")


def test_a_signed_image_is_recognised_and_needs_the_certificate_before_it_is_paid(
    task, connected, monkeypatch
):
    c2pa = pytest.importorskip("c2pa", reason="the extra [c2pa] is not installed")
    life = task(provenance="c2pa")
    with pytest.raises(ConnectionNotFoundError, match="connections add c2pa_default --conn-type g"):
        life.run()
    assert connected.state.jobs_created == 0

    key = new_key()
    signer = {"certificate": certificate_pem(key), "algorithm": "es256"}
    connection = {"conn_type": "generic", "password": key_pem(key), "extra": signer}
    monkeypatch.setenv("AIRFLOW_CONN_C2PA_DEFAULT", json.dumps(connection))
    result = life.run()
    content = stored(result["images"][0])
    with c2pa.Reader("image/png", io.BytesIO(content)) as reader:
        assert json.loads(reader.json())["validation_state"] == "Valid"
    assert b"trainedAlgorithmicMedia" in content
    fetched = connected.state.requests["image"]
    assert life.run()["images"] == result["images"]  # signed again it would be another file
    assert connected.state.requests["image"] == fetched


def test_all_images_of_a_job_are_saved_under_their_numbers(task, folder):
    task(prompt=SEVERAL, save_to=f"{folder}/{{run_id}}/poster.{{ext}}").run()
    assert files_in(folder) == ["r/poster-2.png", "r/poster-3.png", "r/poster.png"]


@pytest.mark.parametrize("provenance", ["iptc", None])
def test_what_is_saved_is_not_fetched_again(provenance, task, folder, connected):
    first = task(provenance=provenance)
    result = first.run()
    fetched = connected.state.requests["image"]
    again = first.run()
    assert again["images"] == result["images"]
    assert (connected.state.requests["image"], connected.state.jobs_created) == (fetched, 1)


def test_a_sensor_that_collects_the_same_job_does_not_fetch_what_the_operator_saved(
    task, folder, connected, ti
):
    save_to = f"{folder}/{{job_id}}.{{ext}}"
    result = task(save_to=save_to).run()
    fetched = connected.state.requests["image"]
    sensor = ApiframeJobSensor(task_id="collect", job_id=result["job_id"], save_to=save_to)
    assert sensor.execute({"ti": ti})["images"] == result["images"]
    assert connected.state.requests["image"] == fetched


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-200])


def repaint(path: Path) -> None:
    with Image.open(path) as image:
        xmp = image.text["XML:com.adobe.xmp"]
        info = Image.new("RGB", image.size, "red")
    from PIL.PngImagePlugin import PngInfo

    text = PngInfo()
    text.add_itxt("XML:com.adobe.xmp", xmp)
    info.save(path, pnginfo=text)


def strip(path: Path) -> None:
    with Image.open(path) as image:
        image.load()
        Image.frombytes(image.mode, image.size, image.tobytes()).save(path)


def fill(path: Path) -> None:
    path.write_text("not an image at all")


@pytest.mark.parametrize("damage", [cut, repaint, strip, fill, Path.unlink])
def test_what_is_damaged_or_changed_in_its_place_is_fetched_again(damage, task, folder, connected):
    life = task()
    result = life.run()
    (path,) = [folder / name for name in files_in(folder)]
    before = path.read_bytes()
    damage(path)
    assert life.run()["images"] == result["images"]
    assert path.read_bytes() == before
    assert connected.state.jobs_created == 1


def test_another_jobs_image_under_a_fixed_name_is_replaced(task, folder):
    save_to = f"{folder}/latest.png"
    first = task(save_to=save_to).run()
    second = task(save_to=save_to, run_id="another", prompt="another").run()
    assert first["images"][0]["sha256"] != second["images"][0]["sha256"]
    mark = read_mark(folder / "latest.png")
    assert mark is not None
    assert mark.job_id == second["job_id"]


BROKEN = [
    pytest.param({"body": "<html>come back later</html>"}, id="HTML"),
    pytest.param({"status": 503}, id="503"),
    pytest.param({"status": 403}, id="403"),
    pytest.param({"status": 404}, id="404"),
    pytest.param({"status": 410}, id="410"),
    pytest.param({"cut_after": 300}, id="half an image"),
    pytest.param({"drop": True}, id="no response"),
    pytest.param({"status": 302, "headers": {"Location": "http://169.254.169.254/"}}, id="inside"),
    pytest.param(
        {"body": "x", "headers": {"Content-Length": "10000000000"}, "cut_after": 0}, id="10 GB"
    ),
]


@pytest.mark.parametrize("fault", BROKEN)
def test_a_try_that_cannot_fetch_the_image_names_the_job_and_the_next_one_only_saves(
    fault, task, folder, connected
):
    connected.faults.next("image", times=10, **fault)
    life = task()
    with pytest.raises(ImageNotSavedError, match="It is paid: a retry only saves it") as error:
        life.run()
    assert error.value.transient
    assert error.value.job_id is not None
    connected.faults.reset()
    result = life.run()
    assert result["job_id"] == error.value.job_id
    assert len(files_in(folder)) == 1
    assert (connected.state.jobs_created, connected.state.jobs_paid) == (1, 1)


@pytest.mark.parametrize("fault", [{"status": 503}, {"cut_after": 300}, {"drop": True}])
def test_what_passes_is_ridden_out_within_the_try(fault, task, folder, connected):
    connected.faults.next("image", times=2, **fault)
    task().run()
    assert len(files_in(folder)) == 1


@pytest.mark.parametrize("status", [403, 404, 410])
def test_a_dead_link_is_asked_for_anew(status, task, folder, connected):
    connected.faults.next("image", status=status)
    task().run()
    assert len(files_in(folder)) == 1
    assert connected.state.requests["image"] == 2


def test_images_that_the_vendor_deleted_are_said_to_be_gone(task, connected):
    connected.configure(retention=0.0)
    with pytest.raises(AirflowFailException, match="Apiframe has deleted the images of this job"):
        task().run()


def test_an_image_that_is_saved_outlives_its_link(task, connected):
    life = task(regenerate_on_clear=False)
    result = life.run()
    connected.configure(retention=0.0)
    life.clear()
    assert life.run()["images"] == result["images"]


def test_an_image_above_the_connections_cap_is_not_saved(task, connected, connect, folder):
    connect(password=connected.api_key, host=connected.url, extra={"max_image_bytes": 500})
    with pytest.raises(ImageNotSavedError, match="more than 500"):
        task().run()
    assert not folder.exists()


def test_a_storage_that_cannot_be_written_loses_nothing(task, folder, connected):
    folder.parent.joinpath("stored").write_text("a file where the folder should be")
    life = task()
    with pytest.raises(ImageNotSavedError, match="could not be written"):
        life.run()
    folder.unlink()
    life.run()
    assert len(files_in(folder)) == 1
    assert (connected.state.jobs_created, connected.state.jobs_paid) == (1, 1)


def test_a_full_disk_of_the_worker_loses_nothing(task, folder, connected, monkeypatch):
    life = task()
    with monkeypatch.context() as patched:
        patched.setattr("tempfile.tempdir", str(folder / "nowhere"))
        with pytest.raises(ImageNotSavedError, match="The worker's own disk"):
            life.run()
    life.run()
    assert (len(files_in(folder)), connected.state.jobs_paid) == (1, 1)


def test_one_image_that_fails_does_not_keep_the_others(task, folder, connected):
    life = task(prompt=SEVERAL)
    connected.faults.next("image", body="<html>", times=1)
    with pytest.raises(ImageNotSavedError, match=r"Image \d of 3 was not saved"):
        life.run()
    assert len(files_in(folder)) == 2
    fetched = connected.state.requests["image"]
    life.run()
    assert len(files_in(folder)) == 3
    assert connected.state.requests["image"] == fetched + 1


def test_a_store_that_fails_in_the_middle_keeps_what_was_there(task, folder, monkeypatch):
    save_to = f"{folder}/latest.png"
    first = task(save_to=save_to).run()

    def fail(source, target):
        raise OSError("connection lost")

    monkeypatch.setattr("airflow_provider_apiframe.hooks.object_store.os.replace", fail)
    with pytest.raises(ImageNotSavedError, match="connection lost"):
        task(save_to=save_to, run_id="another", prompt="another").run()
    assert files_in(folder) == ["latest.png"]
    assert stored(first["images"][0]) == (folder / "latest.png").read_bytes()


def test_credits_are_counted_once_although_the_first_try_could_not_save(
    task, connected, monkeypatch
):
    counted = []
    monkeypatch.setattr(
        "airflow_provider_apiframe.delivery.metrics.Stats.incr",
        lambda *arguments, **_: counted.append(arguments),
    )
    connected.faults.next("image", body="<html>")
    life = task()
    with pytest.raises(ImageNotSavedError):
        life.run()
    life.run()
    assert counted == [("apiframe.credits_spent", 12)]


def test_a_deferred_task_saves_when_it_resumes(task, folder):
    life = task(deferrable=True)
    result = life.run()
    assert files_in(folder) == [f"d/r/poster/{result['job_id']}-1.png"]


@pytest.fixture
def broken_certificate(monkeypatch) -> None:
    fields = {"conn_type": "generic", "password": "no key"}
    monkeypatch.setenv("AIRFLOW_CONN_C2PA_DEFAULT", json.dumps(fields))


@pytest.mark.usefixtures("broken_certificate")
def test_what_cannot_be_set_up_for_saving_leaves_the_image_of_an_earlier_try_to_a_retry(
    task, folder, connected
):
    life = task()
    with pytest.raises(Killed):
        life.run(kill="at the end")
    life.arguments["provenance"] = "c2pa"
    with pytest.raises(ApiframeError, match="An earlier try may have submitted") as failed:
        life.run()
    assert failed.value.transient
    life.arguments["provenance"] = "iptc"
    life.run()
    assert (len(files_in(folder)), connected.state.jobs_paid) == (1, 1)


def resume(job_id: str, **arguments) -> None:
    operator = FluxGenerateOperator(task_id="poster", prompt="a poster", **arguments)
    job = ApiframeHook().wait_for_job(job_id, poll_interval=0.05)
    event = {"status": "finished", "job": job.model_dump(mode="json")}
    operator.execute_complete({"ti": Task(None)}, event)


@pytest.mark.usefixtures("broken_certificate")
@pytest.mark.parametrize("arguments", [{"provenance": "c2pa"}, {"save_to": "{{ 1 }}"}])
def test_what_breaks_while_a_task_is_deferred_leaves_its_paid_image_to_a_retry(
    arguments, folder, connected
):
    job_id = ApiframeHook().generate_image(prompt="a poster", flux_params=SMALL).job_id
    with pytest.raises(ImageNotSavedError, match="They are paid: a retry only saves them") as error:
        resume(job_id, **{"save_to": f"{folder}/", **arguments})
    assert (error.value.transient, error.value.job_id) == (True, job_id)


@pytest.mark.usefixtures("broken_certificate")
def test_a_task_that_runs_into_its_execution_timeout_does_not_wait_for_slow_images(
    task, connected, monkeypatch
):
    started, let_go, ended = threading.Event(), threading.Event(), threading.Event()

    def hang(*args):
        started.set()
        let_go.wait(10)
        ended.set()
        raise OSError("too late")

    def time_out(*args):
        raise Killed

    life = task()
    monkeypatch.setattr(ApiframeClient, "download", hang)
    before = signal.signal(signal.SIGALRM, time_out)  # as Airflow's own timeout does
    main = threading.get_ident()
    threading.Thread(
        target=lambda: started.wait(10) and signal.pthread_kill(main, signal.SIGALRM)
    ).start()
    try:
        with pytest.raises(Killed):
            life.run()
        assert not ended.is_set()
    finally:
        signal.signal(signal.SIGALRM, before)
        let_go.set()


def test_a_failed_job_is_told_as_such_where_nothing_could_be_saved_either(folder, connected):
    job_id = ApiframeHook().generate_image(prompt="a poster [stuck]", flux_params=SMALL).job_id
    job = {"id": job_id, "status": "FAILED", "error": "NSFW content"}
    operator = FluxGenerateOperator(
        task_id="poster", prompt="a poster", save_to=f"{folder}/", provenance="c2pa"
    )
    with pytest.raises(AirflowFailException, match="NSFW content"):
        operator.execute_complete({"ti": Task(None)}, {"status": "finished", "job": job})


def test_a_sensor_that_cannot_save_is_retried_and_then_saves(connected, folder, ti):
    job_id = ApiframeHook().generate_image(prompt="a poster", flux_params=SMALL).job_id
    sensor = ApiframeJobSensor(
        task_id="collect", job_id=job_id, save_to=f"{folder}/", poke_interval=0.05
    )
    connected.faults.next("image", body="<html>")
    with pytest.raises(ImageNotSavedError):
        sensor.execute({"ti": ti})
    result = sensor.execute({"ti": ti})
    assert files_in(folder) == [f"a_dag/a_run/poster/{job_id}-1.png"]
    assert result["images"][0]["uri"]


def test_a_deferred_sensor_saves_when_it_resumes(connected, folder, ti):
    job_id = ApiframeHook().generate_image(prompt="a poster", flux_params=SMALL).job_id
    connected.faults.next("job", body={"id": job_id, "status": "PROCESSING"})
    arguments = {
        "task_id": "collect",
        "job_id": job_id,
        "save_to": f"{folder}/",
        "poke_interval": 0.05,
    }
    with pytest.raises(TaskDeferred) as deferred:
        ApiframeJobSensor(**arguments, deferrable=True).execute({"ti": ti})
    event = asyncio.run(event_of(deferred.value.trigger))
    ApiframeJobSensor(**arguments).execute_complete({"ti": ti}, event)
    assert files_in(folder) == [f"a_dag/a_run/poster/{job_id}-1.png"]


NOT_TO_BE_SAVED = [
    ({"save_to": "s3://nowhere-to-be-found/x/"}, "apiframe|amazon"),
    ({"save_to": "{{ 1 }}/../x/"}, r"must not have '\.\.'|absolute"),
    ({"save_to": "/x/poster.jpg"}, "output_format is 'png'"),
]


@pytest.mark.parametrize(("arguments", "reason"), NOT_TO_BE_SAVED)
def test_what_cannot_be_saved_is_refused_before_anything_is_paid(
    arguments, reason, task, connected
):
    with pytest.raises(AirflowFailException, match=reason):
        task(**arguments).run()
    assert connected.state.jobs_created == 0


@pytest.mark.parametrize("named", ["jpg", "jpeg"])
@pytest.mark.parametrize("asked", ["jpg", "jpeg"])  # GPT Image says "jpeg", Flux "jpg"
def test_both_words_for_a_jpeg_are_the_same_format(named, asked, folder, connected, ti):
    storage = ImageStorage.of(
        {"ti": ti}, ApiframeHook(), f"{folder}/poster.{named}", conn_id=None, provenance=None
    )
    storage.check(asked)
    with pytest.raises(InvalidRequestError, match="output_format is 'png'"):
        storage.check("png")


@pytest.mark.parametrize(
    "arguments",
    [{"save_to": "memory://nowhere@b/x/"}, {"save_to": "memory://b/x/", "save_conn_id": "nowhere"}],
)
def test_a_storage_connection_that_is_missing_is_noticed_before_anything_is_paid(
    arguments, task, connected
):
    with pytest.raises(ConnectionNotFoundError, match="no connection 'nowhere'"):
        task(**arguments).run()
    assert connected.state.jobs_created == 0


@pytest.mark.parametrize("name", ["save_to", "flux_params", "input_images", "image_prompt"])
def test_an_output_of_another_task_that_is_not_there_is_noticed_before_anything_is_paid(
    name, connected, ti
):
    with DAG("d"):
        other = FluxGenerateOperator(task_id="other", prompt="a mug").output["uri"]
        in_params = name in ("input_images", "image_prompt")
        arguments = {"flux_params": {name: other}} if in_params else {name: other}
        operator = FluxGenerateOperator(
            task_id="poster",
            prompt="a poster",
            model="flux-1.1-pro" if name == "image_prompt" else "flux-2-flex",
            **arguments,
        )
    if in_params:  # as Airflow renders them
        operator.flux_params = {name: None}
    else:
        setattr(operator, name, None)
    with pytest.raises(AirflowFailException, match=rf"{name} is the output of another task"):
        operator.execute({"ti": ti})
    assert connected.state.jobs_created == 0


@pytest.fixture
def saving_where_another_task_says(connected):
    """Call it for a task whose save_to is another task's output, which is not there."""

    def make() -> FluxGenerateOperator:
        with DAG("d"):
            other = FluxGenerateOperator(task_id="other", prompt="a mug").output["uri"]
            operator = FluxGenerateOperator(task_id="poster", prompt="a poster", save_to=other)
        operator.save_to = None  # as Airflow renders it
        return operator

    return make


def test_an_output_that_only_a_retry_misses_is_left_to_another_one(
    saving_where_another_task_says, ti
):
    ti.try_number = 2  # the first one may have paid
    with pytest.raises(ApiframeError, match="save_to is the output of another task") as error:
        saving_where_another_task_says().execute({"ti": ti})
    assert error.value.transient


def test_a_task_that_resumes_without_its_save_to_does_not_deliver_unsaved(
    saving_where_another_task_says, connected, ti
):
    connected.configure(latency=0.0)
    hook = ApiframeHook()
    job = hook.get_job(hook.generate_image(prompt="a poster", flux_params=SMALL).job_id)
    event = {"status": "finished", "job": job.model_dump(mode="json")}
    with pytest.raises(ImageNotSavedError, match="save_to is the output of another task"):
        saving_where_another_task_says().execute_complete({"ti": ti}, event)


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ({"provenance": "c2pa"}, "goes with save_to, which is not set"),
        ({"save_to": "images/"}, "save_to='images/'"),
        ({"save_to": "s3://b/{job}/"}, "did you mean {job_id}"),
        ({"save_to": "s3://b/", "wait_for_completion": False}, "ApiframeJobSensor"),
        ({"save_to": "s3://b/", "save_conn_id": ""}, "save_conn_id=''"),
        ({"save_to": "s3://b/", "provenance": "exif"}, "provenance='exif': must be \"iptc\""),
    ],
)
def test_a_wrong_place_is_an_import_error(arguments, reason):
    with pytest.raises(InvalidParameterError, match=reason):
        FluxGenerateOperator(task_id="poster", prompt="a poster", **arguments)


def test_mapped_tasks_that_would_write_one_file_are_an_import_error():
    def expand(save_to: str) -> None:
        FluxGenerateOperator.partial(task_id="poster", save_to=save_to).expand(prompt=["a", "b"])

    for save_to in (
        "s3://b/",
        "s3://b/{map_index}.png",
        "s3://b/{{ ds }}/{{ task.prompt }}.png",
        "s3://b/{{ ds }}/",
        "{{ dag_run.conf.to }}",
    ):
        expand(save_to)
    for save_to in ("s3://b/poster.png", "s3://b/{{ ds }}/{{ dag_run.run_id }}.png"):
        with pytest.raises(InvalidParameterError, match="all mapped tasks would write this one"):
            expand(save_to)


def test_a_run_without_a_logical_date_still_has_a_day(task, folder, connected):
    life = task(save_to=f"{folder}/{{ds}}/")
    life.run()
    (name,) = files_in(folder)
    assert re.match(r"\d{4}-\d{2}-\d{2}/d/r/poster/", name)
