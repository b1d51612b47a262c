"""Images that jobs made are saved to real object stores, by operator and sensor."""

from __future__ import annotations

import hashlib
import io
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest
from PIL import Image
from places import Place
from saving import SMALL, not_saved, saves_without_paying, task
from task_lives import Task

from airflow_provider_apiframe.delivery.provenance import read_mark
from airflow_provider_apiframe.sensors.job import ApiframeJobSensor


def pixels(content: bytes) -> bytes:
    with Image.open(io.BytesIO(content)) as image:
        return image.tobytes()


def read(place: Place, image: dict) -> bytes:
    """Return a saved image, found by its URI and the task's connection alone."""
    from airflow.sdk import ObjectStoragePath

    return ObjectStoragePath(image["uri"], conn_id=place.conn_id).read_bytes()


def test_an_image_is_saved_under_its_jobs_name_with_its_mark(place, connected):
    result = task(place).run()
    (image,) = result["images"]
    name = f"d/r/poster/{result['job_id']}-1.png"
    assert place.objects() == {name: image["bytes"]}
    assert image["uri"] == f"{place.url}/{name}"
    content = read(place, image)
    assert hashlib.sha256(content).hexdigest() == image["sha256"]
    assert pixels(content) == pixels(httpx.get(image["url"]).content)
    mark = read_mark(io.BytesIO(content))
    assert (mark.job_id, mark.image, mark.intact) == (result["job_id"], 1, True)


def test_without_a_mark_the_cdns_bytes_are_saved(place, connected):
    (image,) = task(place, provenance=None).run()["images"]
    assert read(place, image) == httpx.get(image["url"]).content


@pytest.mark.parametrize(("form", "content_type"), [("png", "png"), ("jpg", "jpeg")])
def test_an_object_has_its_images_content_type(bucket, connected, form, content_type):
    (image,) = task(bucket, flux_params={**SMALL, "output_format": form}).run()["images"]
    path = bucket.path(image["uri"].removeprefix(f"{bucket.url}/"))
    info = path.fs.info(path.path)
    assert info.get("ContentType", info.get("contentType")) == f"image/{content_type}"


def test_the_connection_can_be_named_in_the_url(bucket, connected):
    scheme, name = bucket.url.split("://")
    save_to = f"{scheme}://{bucket.conn_id}@{name}/"
    result = Task(None, save_to=save_to, flux_params=SMALL).run()
    assert list(bucket.objects()) == [f"d/r/poster/{result['job_id']}-1.png"]
    assert read(bucket, result["images"][0])


def test_what_is_saved_is_not_fetched_again(place, connected):
    life = task(place)
    first = life.run()
    fetched, saved = connected.state.requests["image"], place.objects()
    assert life.run()["images"] == first["images"]
    assert (connected.state.requests["image"], place.objects()) == (fetched, saved)


def test_a_sensor_saves_and_finds_what_an_operator_saved(place, connected, ti):
    name = "{job_id}-{n}.{ext}"
    result = task(place, name).run()
    fetched = connected.state.requests["image"]
    sensor = ApiframeJobSensor(
        task_id="collect",
        job_id=result["job_id"],
        save_to=f"{place.url}/{name}",
        save_conn_id=place.conn_id,
    )
    assert sensor.execute({"ti": ti})["images"] == result["images"]
    assert connected.state.requests["image"] == fetched
    place.path(f"{result['job_id']}-1.png").unlink()
    assert sensor.execute({"ti": ti})["images"] == result["images"]
    assert list(place.objects()) == [f"{result['job_id']}-1.png"]


def test_all_images_of_a_job_are_saved_under_their_numbers(place, connected):
    result = task(place, "{run_id}/poster.{ext}", prompt="a poster [images: 4]").run()
    names = ["r/poster.png", "r/poster-2.png", "r/poster-3.png", "r/poster-4.png"]
    assert [image["uri"] for image in result["images"]] == [f"{place.url}/{name}" for name in names]
    assert place.objects() == {
        name: image["bytes"] for name, image in zip(names, result["images"], strict=True)
    }
    assert len({image["sha256"] for image in result["images"]}) == 4


def test_a_file_name_is_filled_in_and_another_jobs_image_under_it_is_replaced(place, connected):
    save_to = "{task_id}/latest.png"
    task(place, save_to).run()
    second = task(place, save_to, run_id="another", prompt="another").run()
    (image,) = second["images"]
    assert place.objects() == {"poster/latest.png": image["bytes"]}
    assert read_mark(io.BytesIO(read(place, image))).job_id == second["job_id"]


def test_two_that_save_the_same_image_at_once_leave_one_whole_image(place, connected):
    def save(_: int) -> dict:
        return task(place).run()["images"][0]

    with ThreadPoolExecutor(4) as threads:
        images = list(threads.map(save, range(4)))
    assert connected.state.jobs_created == 1
    assert all(image == images[0] for image in images)
    assert list(place.objects().values()) == [images[0]["bytes"]]
    assert hashlib.sha256(read(place, images[0])).hexdigest() == images[0]["sha256"]


def test_a_missing_bucket_loses_nothing(bucket, connected):
    missing = Place(f"{bucket.url}-missing", bucket.conn_id)
    life = task(missing)
    error = not_saved(life)
    name = missing.url.partition("://")[2]
    assert name in str(error)
    missing.path().fs.mkdir(name)
    saves_without_paying(life, error.job_id, connected)
    assert len(missing.objects()) == 1
    missing.path().fs.rm(name, recursive=True)


@pytest.mark.parametrize("conn_id", ["s3_reader", "s3_wrong_key"])
def test_credentials_that_may_not_write_lose_nothing(s3_bucket, connected, conn_id):
    life = task(s3_bucket, save_conn_id=conn_id)
    error = not_saved(life)
    assert s3_bucket.objects() == {}
    assert "secret" not in str(error)
    life.arguments["save_conn_id"] = "s3"
    saves_without_paying(life, error.job_id, connected)
    assert len(s3_bucket.objects()) == 1
