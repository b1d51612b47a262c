"""What may stand for a reference image, and what each comes to."""

from __future__ import annotations

import itertools
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import ObjectStoragePath
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_apiframe.api.errors import InvalidRequestError
from airflow_provider_apiframe.api.params.flux import FluxParams
from airflow_provider_apiframe.api.params.request import GenerateRequest

URL = "https://cdn.example/j-1.png"
URI = "s3://brand/j-1.png"


def image(url: str = URL, uri: str | None = None) -> dict[str, Any]:
    return {"url": url, "uri": uri, "width": None, "sha256": None}


def result(*images: dict[str, Any], **more: Any) -> dict[str, Any]:
    links = [each["url"] for each in images]
    return {
        "job_id": "j-1",
        "status": "COMPLETED",
        "image_urls": links,
        "images": [*images],
        "prompt": "[a mug]",
        **more,
    }


class Lazy(Sequence[Any]):
    """As Airflow gives the results of mapped tasks: no list, and read one by one."""

    def __init__(self, *items: Any) -> None:
        self.items = items

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, index: Any) -> Any:
        return self.items[index]


FORMS = [
    (URL, [URL]),
    ([URL, "http://127.0.0.1:8765/a.png"], [URL, "http://127.0.0.1:8765/a.png"]),
    ([f" {URL}\n"], [URL]),
    *[
        ([path], [path])
        for path in (
            URI,
            "gs://brand/a b.png",
            "abfs://container@account.dfs.core.windows.net/a.png",
            "s3://conn_id@brand/a.png",
            "file:///data/mug.png",
            "/data/mug.png",
            "memory://mug.png",
        )
    ],
    ([Path("/data/mug.png")], ["/data/mug.png"]),
    ([ObjectStoragePath("file:///data/mug.png")], ["file:///data/mug.png"]),
    (result(image()), [URL]),
    (result(image(uri=URI)), [URI]),
    (result(image(), image("https://cdn.example/j-2.png", URI)), [URL, URI]),
    ({"job_id": "j", "image_urls": [URL]}, [URL]),
    (image(uri=URI), [URI]),
    ([result(image()), image(uri=URI), URL, [result(image())]], [URL, URI, URL, URL]),
    (Lazy(result(image()), result(image(uri=URI))), [URL, URI]),
    ([Lazy([URL], [URI])], [URL, URI]),
    (str(result(image(uri=URI))), [URI]),
    (json.dumps([result(image())]), [URL]),
    ([str(result(image())), str([URI, URL])], [URL, URI, URL]),
    ([], []),
]


@pytest.mark.parametrize(("value", "references"), FORMS)
def test_each_form_comes_to_its_urls_and_paths(value, references):
    assert (FluxParams(input_images=value).input_images or []) == references


@pytest.mark.parametrize(
    ("value", "references"), [(value, found) for value, found in FORMS if len(found) == 1]
)
def test_an_image_prompt_takes_each_form_that_has_one_image(value, references):
    assert FluxParams(image_prompt=value).image_prompt == references[0]


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (["mug.png"], "'mug.png' is a relative path, and tasks run in no folder that is known"),
        (["./mug.png"], "is a relative path"),
        (["~/mug.png"], "is a relative path"),
        ([Path("mug.png")], "is a relative path"),
        (["/data/"], "is a folder; name a file"),
        (["s3://brand/"], "is a folder; name a file"),
        ("[", "is neither JSON nor a Python literal"),
        (["/data/mug\n.png"], "holds characters that no URL or path has"),
        ([{"a": URL}], "is no result of an image task"),
        ([*[URL] * 8, None], "results of earlier tasks, which None is not"),
        ([*[URL] * 8, "data:image/png;base64,AA"], ", which 'data:image/png;base64,AA' is not"),
        ([*[URL] * 8, "https://e.com/my mug.png"], "'https://e.com/my mug.png' holds a space; in"),
        (
            [result(status="QUEUED")],
            "the result of job 'j-1' has no images, it is 'QUEUED'; a task with "
            "wait_for_completion=False does not have them yet",
        ),
        ([[[[[[[[[URL]]]]]]]]], "is nested more than 8 levels deep"),
    ],
)
def test_what_cannot_be_used_is_refused_and_says_why(value, said):
    with pytest.raises(InvalidRequestError) as caught:
        FluxParams(input_images=value)
    assert said in str(caught.value)
    assert list(caught.value.fields) == ["input_images"]


@pytest.mark.parametrize("value", [[URL, URL], result(image(), image()), []])
def test_an_image_prompt_is_one_image(value):
    with pytest.raises(InvalidRequestError, match="takes one image"):
        FluxParams(image_prompt=value)


@pytest.mark.parametrize(
    ("model", "most"), [("flux-2-flex", 10), ("flux-2-pro", 8), ("flux-2-dev", 5)]
)
def test_images_count_once_all_lists_are_flat(model, most):
    def params(number: int) -> list[Any]:
        return [result(image(), image()), [URI] * (number - 2)]

    assert len(FluxParams.parse({"input_images": params(most)}, model=model).paths) == 1
    with pytest.raises(InvalidRequestError, match=f"up to {most}"):
        FluxParams.parse({"input_images": params(most + 1)}, model=model)


def test_an_endless_list_is_refused():
    class Endless(Lazy):
        def __len__(self) -> int:
            return 10**9

        def __iter__(self) -> Any:
            return itertools.repeat(URL)

    with pytest.raises(InvalidRequestError, match="a list of up to 10"):
        FluxParams(input_images=Endless())


def test_match_input_image_goes_with_results_and_paths():
    for value in (result(image()), ["/data/mug.png"]):
        FluxParams.parse({"aspect_ratio": "match_input_image", "input_images": value})


def request(**flux_params: Any) -> GenerateRequest:
    return GenerateRequest.parse(prompt="a mug", flux_params=flux_params)


def test_the_files_of_a_request_are_those_that_are_no_urls_each_once():
    assert request(input_images=[URI, URL, "/a.png", URI]).paths == [URI, "/a.png"]
    assert request(seed=1).paths == []


def test_uploads_take_the_places_of_their_files():
    mine = request(input_images=[URI, URL, "/a.png", URI], seed=1)
    sent = mine.replacing({URI: "https://up.example/1", "/a.png": "https://up.example/2"})
    assert sent.to_payload()["fluxParams"] == {
        "input_images": [
            "https://up.example/1",
            URL,
            "https://up.example/2",
            "https://up.example/1",
        ],
        "seed": 1,
    }
    assert mine.paths == [URI, "/a.png"], "the first request is as it was"


MINE = {"input_images": [URI, URL], "resolution": "1 MP", "seed": 1}


@pytest.mark.parametrize(
    "changed", [{}, {"resolution": "1MP"}, {"steps": None}, {"input_images": ["x", "y"]}]
)
def test_a_job_of_the_same_request_is_paired_with_its_images(changed):
    params = {**MINE, "input_images": ["x", "y"], **changed}
    given = {"prompt": "a mug", "model": "flux-2-flex", "fluxParams": params, "webhookUrl": None}
    assert request(**MINE).paired_images(given) == [(URI, "x"), (URL, "y")]


@pytest.mark.parametrize(
    "changed",
    [
        {"prompt": "a cup"},
        {"model": "flux-2-pro"},
        {"webhookUrl": "https://hooks.example"},
        {"fluxParams": None},
        {"fluxParams": []},
        {"fluxParams": {**MINE, "seed": 2}},
        {"fluxParams": {**MINE, "steps": 20}},
        {"fluxParams": {**MINE, "resolution": "2MP"}},
        {"fluxParams": {**MINE, "input_images": ["x"]}},
        {"fluxParams": {**MINE, "image_prompt": "x"}},
        {"fluxParams": {"seed": 1}},
    ],
)
def test_a_job_of_another_request_is_not(changed):
    given = {"prompt": "a mug", "model": "flux-2-flex", "fluxParams": MINE, **changed}
    assert request(**MINE).paired_images(given) is None


@given(st.recursive(st.none() | st.text() | st.integers(), st.lists, max_leaves=5))
def test_nothing_that_an_api_may_say_of_a_job_breaks_the_comparison(given):
    assert request(**MINE).paired_images(given) is None
