from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from airflow_provider_apiframe.plugins import recorded_image
from airflow_provider_apiframe.plugins.recorded_image import (
    ImageUnavailableError,
    RecordedImage,
    TaskInstanceAddress,
    ViewerSession,
)

TASK = TaskInstanceAddress("a dag", "run+1", "group.task", 3)
IMAGE = {"uri": "s3://bucket/a.png", "sha256": "0" * 64, "bytes": 5}


class Api:
    """Airflow's API, with an answer of its own."""

    def __init__(self, answer: Any, status: int = 200) -> None:
        self.answer = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
        self.status = status
        self.scope: dict[str, Any] = {}

    async def __call__(self, scope, receive, send) -> None:
        self.scope = scope
        await send({"type": "http.response.start", "status": self.status, "headers": []})
        await send({"type": "http.response.body", "body": self.answer})


def recorded(api: Any, n: int = 1, task: TaskInstanceAddress = TASK) -> RecordedImage:
    headers = {"cookie": "_token=t", "authorization": "Bearer t", "x-other": "o"}
    return asyncio.run(ViewerSession(api, headers).recorded_image(task, n))


def connection(arguments: Any, scheme: str = "s3") -> str | None:
    session = ViewerSession(Api({"rendered_fields": arguments}), {})
    return asyncio.run(session.storage_connection(TASK, scheme))


@pytest.mark.parametrize("times", [0, 1, 2])
def test_a_value_is_read_however_often_airflow_made_json_of_it(times):
    value: Any = {"images": [IMAGE]}
    for _ in range(times):
        value = json.dumps(value)
    assert recorded(Api({"value": value})).model_dump() == IMAGE


def test_airflow_is_asked_for_this_task_by_who_asks():
    api = Api({"value": {"images": [IMAGE]}})
    recorded(api)
    assert api.scope["path"] == (
        "/api/v2/dags/a dag/dagRuns/run+1/taskInstances/group.task/xcomEntries/return_value"
    )
    assert api.scope["query_string"] == b"map_index=3"
    sent = dict(api.scope["headers"])
    assert (sent[b"cookie"], sent[b"authorization"]) == (b"_token=t", b"Bearer t")
    assert b"x-other" not in sent


def test_a_task_in_a_loop_is_told_by_its_region():
    api = Api({"value": {"images": [IMAGE]}})
    scope = (("region_id", "0-1"), ("region_index", "2"))
    recorded(api, task=TaskInstanceAddress("d", "r", "t", -1, scope))
    assert api.scope["query_string"] == b"map_index=-1&region_id=0-1&region_index=2"


@pytest.mark.parametrize(
    ("answer", "status", "expected"),
    [
        ({"detail": "no"}, 401, 401),
        ({"detail": "no"}, 403, 403),
        ({"detail": "no"}, 404, 404),
        ({"detail": "no"}, 409, 404),
        ({"detail": "no"}, 500, 502),
        (b"<html>", 200, 502),
        ([], 200, 502),
        (b"[" * 100_000, 200, 502),
        ({"value": "[" * 100_000}, 200, 404),
        ({"value": {"images": [IMAGE]}, "more": "x" * recorded_image.MAX_VALUE_BYTES}, 200, 413),
        ({"value": {"images": [{**IMAGE, "uri": "s3://" + "x" * 5000}]}}, 200, 404),
        ({"value": {"images": [{**IMAGE, "bytes": -1}]}}, 200, 404),
    ],
)
def test_whatever_airflow_answers_ends_in_a_status(answer, status, expected):
    with pytest.raises(ImageUnavailableError) as caught:
        recorded(Api(answer, status))
    assert caught.value.status == expected


def test_the_number_counts_from_one():
    api = Api({"value": {"images": [IMAGE, {**IMAGE, "uri": "s3://bucket/b.png"}]}})
    assert recorded(api, 2).uri == "s3://bucket/b.png"
    with pytest.raises(ImageUnavailableError, match="no image 3"):
        recorded(api, 3)


def test_an_api_that_does_not_answer_is_not_waited_for(monkeypatch):
    async def silent(scope, receive, send) -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr(recorded_image, "MAX_SECONDS", 0.05)
    with pytest.raises(ImageUnavailableError, match="did not answer in time"):
        recorded(silent)


@pytest.mark.parametrize(
    ("arguments", "conn_id"),
    [
        ({"save_to": "s3://bucket/", "save_conn_id": "given"}, "given"),
        ({"save_to": "s3://own@bucket/", "save_conn_id": None}, "own"),
        ({"save_to": "gs://own@bucket/", "save_conn_id": "None"}, None),
        ({"save_to": "s3://bucket/"}, None),
        ({}, None),
        (None, None),
    ],
)
def test_the_connection_is_the_one_that_the_task_saved_with(arguments, conn_id):
    assert connection(arguments) == conn_id
