"""The requests of a batch, as lists and as text, and what they share."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import pytest

from airflow_provider_apiframe.api.errors import InvalidRequestError
from airflow_provider_apiframe.api.params.flux import FluxParams
from airflow_provider_apiframe.api.params.request import GenerateRequest
from airflow_provider_apiframe.literals import is_templated
from airflow_provider_apiframe.submission.batch_requests import (
    BatchRequest,
    check_literal_requests,
    identity,
    read_requests,
)

TWO = [{"prompt": "a cat", "id": "sku-1"}, {"prompt": "a dog", "flux_params": {"seed": 7}}]


def read(value: object, **options: object) -> list[BatchRequest]:
    defaults = {"model": "flux-2-flex", "params": None, "params_name": "flux_params"}
    return read_requests(value, **{**defaults, **options})


def check(value: object, **options: object) -> None:
    defaults = {"model": "flux-2-flex", "params": None, "params_name": "flux_params"}
    templated = partial(is_templated, depth=9)
    check_literal_requests(value, **{**defaults, **options}, is_templated=templated)


def problems(value: object, **options: object) -> dict[str, str]:
    with pytest.raises(InvalidRequestError) as caught:
        read(value, **options)
    return {place: reason for place, (reason,) in caught.value.fields.items()}


def all_params(requests: list[BatchRequest]) -> list[dict[str, object]]:
    return [each.request.params.as_dict() for each in requests]


class LazyResults(Sequence):
    """As Airflow gives the outputs of mapped tasks: no list."""

    def __getitem__(self, index):
        return TWO[index]

    def __len__(self) -> int:
        raise AssertionError("each length is a request to Airflow's API")


@pytest.mark.parametrize(
    "value",
    [TWO, tuple(TWO), LazyResults(), json.dumps(TWO), repr(TWO), f"\n {TWO!r} "],
    ids=["list", "tuple", "lazy", "json", "literal", "rendered"],
)
def test_a_list_is_read_from_whatever_form_airflow_gives_it(value):
    requests = read(value)
    assert [each.request for each in requests] == [
        GenerateRequest.parse(prompt="a cat", flux_params={}),
        GenerateRequest.parse(prompt="a dog", flux_params={"seed": 7}),
    ]
    assert [(each.index, each.place, each.id) for each in requests] == [
        (0, "index 0", "sku-1"),
        (1, "index 1", None),
    ]


def test_a_list_as_text_may_be_larger_than_the_parameters_of_one_request():
    many = [{"prompt": f"poster {number} {'x' * 300}"} for number in range(1000)]
    assert len(read(repr(many))) == 1000
    with pytest.raises(InvalidRequestError, match=r"8,000,000 characters.*other_task\.output"):
        read("[" + " " * 8_000_000 + "]")


def test_a_path_may_be_a_path_object(tmp_path):
    (tmp_path / "requests.jsonl").write_text('{"prompt": "a cat"}')
    from airflow.providers.common.compat.sdk import ObjectStoragePath

    for path in (
        tmp_path / "requests.jsonl",
        ObjectStoragePath(f"file://{tmp_path}/requests.jsonl"),
    ):
        assert read(path)[0].place == "line 1"


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (None, "was skipped or gave nothing"),
        ("None", "must be a list of mappings"),
        ("", "must be a list of mappings"),
        (7, "must be a list of mappings"),
        (b"[]", "must be a list of mappings"),
        ({"prompt": "a cat"}, "must be a list of mappings"),
        ("requests.csv", "is a relative path"),
        ("data/requests.csv", "is a relative path"),
        ("file://requests.csv", "is a relative path"),
        ("File://data/requests.csv", "is a relative path"),
        ("/data/requests.json", "or a .jsonl or .csv file"),
        ("s3://bucket/requests.parquet", "or a .jsonl or .csv file"),
        ("https://x.example/requests.csv", "is a link; put the file into storage"),
        ("/data/a\0b.csv", "holds characters that no path has"),
        ("[{'prompt': x}]", "begins like a list and is neither JSON nor a Python literal"),
        ("[1] and 'more'", "begins like a list"),
        ("[1], [2]", "must be a list of mappings"),
        ([], "there is no request in it"),
    ],
)
def test_what_is_no_batch_is_refused_while_the_dag_is_parsed_and_when_the_task_runs(value, reason):
    with pytest.raises(InvalidRequestError, match=reason):
        read(value)
    with pytest.raises(InvalidRequestError, match=reason):
        check(value)


def test_a_request_wins_over_what_the_batch_shares_name_by_name():
    requests = read(
        [
            {"prompt": "a"},
            {"prompt": "b", "flux_params": {"steps": "20", "seed": 1}},
            {"prompt": "c", "model": "flux-2-dev", "flux_params": {"steps": None}},
            {"prompt": "d", "model": None, "flux_params": FluxParams(aspect_ratio="1:1")},
            {"prompt": "e", "flux_params": '{"steps": 5}'},
        ],
        params={"steps": 30, "output_format": "png"},
    )
    png = {"output_format": "png"}
    assert all_params(requests) == [
        {"steps": 30, **png},
        {"steps": 20, "seed": 1, **png},
        png,
        {"steps": 30, "aspect_ratio": "1:1", **png},
        {"steps": 5, **png},
    ]
    assert [each.request.model for each in requests[1:4]] == [
        "flux-2-flex",
        "flux-2-dev",
        "flux-2-flex",
    ]


@pytest.mark.parametrize(
    "params", ['{"steps": 20}', "{'steps': 20}", FluxParams(steps=20), {"steps": 20}]
)
def test_what_is_shared_may_have_each_form_that_the_single_task_takes(params):
    assert all_params(read([{"prompt": "a"}], params=params)) == [{"steps": 20}]


def test_a_shared_parameter_that_a_request_cannot_have_is_told_with_the_way_out():
    requests = [{"prompt": "a"}, {"prompt": "b", "model": "flux-2-dev"}]
    assert problems(requests, params={"steps": 30}) == {
        "index 1": "flux_params: steps=30: flux-2-dev does not take it; models that do: "
        "flux-2-flex. The batch gives steps to all requests by its flux_params; null in a request "
        "leaves it out"
    }


def test_with_the_other_operator_the_parameters_have_the_other_name():
    requests = [{"prompt": "a", "params": {"seed": 7}}, {"prompt": "b", "flux_params": {"seed": 7}}]
    assert problems(requests, params_name="params") == {
        "index 1": "'flux_params' is unknown, did you mean 'params'?"
    }
    found = problems([{"prompt": "a", "params": {"sead": 7}}], params_name="params")
    assert found["index 0"].startswith("params: sead=7: unknown parameter, did you mean 'seed'?")


def test_a_model_that_is_not_known_takes_one_object_by_its_name():
    params = {"fooParams": {"a": [1, {"b": None}]}}
    (request,) = read([{"prompt": "a", "model": "foo-1", "params": params}], params_name="params")
    assert request.request.to_payload() == {"prompt": "a", "model": "foo-1", **params}
    assert request.given == {"prompt": "a", "model": "foo-1", "params": params}


@pytest.mark.parametrize(
    ("request_", "reason"),
    [
        ({"prompt": "a", "seed": 7}, "'seed' is unknown here, a parameter of the model goes into"),
        ({"prompt": "a", "Prompt": "b"}, "'Prompt' is unknown, did you mean 'prompt'?"),
        ({"prompt": "a", "webhook_url": "https://x.example"}, "a batch takes no webhooks"),
        ({"prompt": "a", 7: "b"}, "7 is unknown; known are prompt, model, id, flux_params"),
        ({"prompt": "a", "x" * 10**6: "b"}, "is unknown; known are"),
        ({"prompt": "a", "flux_params": {"x" * 10**6: 1}}, "unknown parameter"),
        ({"prompt": "a", "flux_params": [1]}, "flux_params=[1]: must be a mapping"),
        ({"prompt": "a", "model": ""}, "model='': must be a model id"),
        ({"prompt": "a", "model": 7}, "model=7: must be a model id"),
        ({"prompt": "a", "id": ""}, "id='': must be text of 1 to 200 printable characters"),
        ({"prompt": "a", "id": "x" * 201}, "must be text of 1 to 200 printable characters"),
        ({"prompt": "a", "id": "a\nb"}, "must be text of 1 to 200 printable characters"),
        ({"prompt": "a", "id": True}, "must be text of 1 to 200 printable characters"),
        ({"prompt": "a", "id": 1.5}, "must be text of 1 to 200 printable characters"),
        ("a cat", "must be a mapping such as"),
        (None, "must be a mapping such as"),
    ],
)
def test_what_is_wrong_with_a_request_is_told_by_its_index(request_, reason):
    found = problems([{"prompt": "fine"}, request_])
    assert list(found) == ["index 1"]
    assert reason in found["index 1"]
    assert len(found["index 1"]) <= 1000


def test_everything_that_is_wrong_with_one_request_is_told_at_once():
    (found,) = problems([{"promt": "a", "id": "", "flux_params": {"steps": 0}}]).values()
    for name in ("'promt'", "id=''", "prompt=None", "steps=0"):
        assert name in found


def test_a_number_is_an_id_as_well_because_json_writes_them_so():
    assert [each.id for each in read([{"prompt": "a", "id": 4711}])] == ["4711"]


def test_the_same_request_twice_is_refused_with_both_places():
    same = {"prompt": "a", "flux_params": {"seed": 7, "steps": 30}}
    written_otherwise = {"flux_params": '{"steps": "30", "seed": "7"}', "prompt": "a"}
    assert problems([same, {"prompt": "b"}, written_otherwise]) == {
        "index 2": "is the same request as index 0; give it another seed, or an id, if it is meant"
    }


def test_the_same_request_may_stand_in_a_batch_once_per_id():
    requests = read([{"prompt": "a"}, {"prompt": "a", "id": "1"}, {"prompt": "a", "id": "2"}])
    assert len({identity(each.request, each.id) for each in requests}) == 3


def test_an_id_stands_in_a_batch_once():
    assert problems([{"prompt": "a", "id": "1"}, {"prompt": "b"}, {"prompt": "c", "id": 1}]) == {
        "index 2": "has the id of index 0, and an id is unique in a batch"
    }


def test_a_list_has_ten_thousand_requests_at_most():
    many = [{"prompt": f"poster {number}"} for number in range(10_001)]
    assert len(read(many[:-1])) == 10_000
    assert list(problems(many)) == ["index 10000"]


def test_a_list_without_an_end_ends():
    class Endless(Sequence):
        def __getitem__(self, index):
            return {"prompt": f"poster {index}"}

        def __len__(self) -> int:
            return 2**62

    assert list(problems(Endless())) == ["index 10000"]


def test_the_identity_of_a_request_does_not_depend_on_its_place():
    requests, moved = read(TWO), read(TWO[::-1])
    identities = [identity(each.request, each.id) for each in requests]
    assert [identity(each.request, each.id) for each in moved] == identities[::-1]
    assert all(len(each) == 64 for each in identities)


def test_what_was_given_is_kept_without_what_is_shared():
    (request,) = read(
        [{"prompt": "a", "id": "1", "flux_params": {"seed": "7", "raw": None}}],
        params={"steps": 30},
    )
    assert request.given == {"prompt": "a", "flux_params": {"seed": 7}}


def test_what_was_given_is_json_whatever_the_images_were(tmp_path):
    image = {"url": "https://cdn.example/1.png?token=s", "uri": None}
    result = {"job_id": "j", "status": "COMPLETED", "images": [image]}
    images = [Path("/data/1.png"), result, "https://u:p@x.example/2.png?X-Amz-Signature=s#f"]
    (request,) = read([{"prompt": "a", "flux_params": {"input_images": images}}])
    shown = ["/data/1.png", "https://cdn.example/1.png?...", "https://x.example/2.png?..."]
    assert json.loads(json.dumps(request.given))["flux_params"] == {"input_images": shown}
    assert request.request.reference_images[2] == images[2], "what is sent keeps its signature"


def test_a_batch_that_is_known_is_checked_while_the_dag_is_parsed():
    with pytest.raises(InvalidRequestError, match="index 1: flux_params: steps=99"):
        check([{"prompt": "{{ ds }}"}, {"prompt": "a", "flux_params": {"steps": 99}}])
    with pytest.raises(InvalidRequestError, match="index 1: is the same request as index 0"):
        check([{"prompt": "a"}, {"prompt": "a"}])
    with pytest.raises(InvalidRequestError, match="begins like a list"):
        check("[{]")


@pytest.mark.parametrize(
    "request_",
    [
        "{{ params.request }}",
        {"prompt": "{{ ds }}"},
        {"prompt": "a", "model": "{{ params.model }}", "flux_params": {"steps": 20}},
        {"prompt": "a", "flux_params": "{{ params.flux }}"},
        {"prompt": "a", "flux_params": {"seed": "{{ params.seed }}"}},
        {"prompt": "a", "flux_params": {"width": 512, "height": "{{ params.height }}"}},
        {"prompt": "a", "flux_params": {"input_images": ["{{ params.image }}"]}},
        {"prompt": "a", "id": "{{ params.sku }}"},
    ],
)
def test_what_a_template_gives_is_checked_when_it_is_there(request_):
    check([request_, request_])


@pytest.mark.parametrize(
    ("request_", "reason"),
    [
        ({"prompt": "{{ ds }}", "flux_params": {"sead": "{{ ds }}"}}, "did you mean 'seed'"),
        ({"prompt": "{{ ds }}", "flux_params": {"steps": 0}}, "steps=0"),
        ({"prompt": "", "flux_params": "{{ ds }}"}, "prompt='': must have"),
        ({"prompt": "{{ ds }}", "seed": 1}, "'seed' is unknown here"),
    ],
)
def test_what_no_template_can_mend_is_told_while_the_dag_is_parsed(request_, reason):
    with pytest.raises(InvalidRequestError, match=reason):
        check([request_])


@pytest.mark.parametrize("value", ["{{ params.requests }}", "s3://bucket/{{ ds }}.csv", "/a/b.csv"])
def test_what_is_shared_is_checked_by_itself_where_the_requests_are_not_known(value):
    check(value, params={"width": 512, "aspect_ratio": "custom", "seed": "{{ params.seed }}"})
    check(value, params="{{ params.flux }}", model="{{ params.model }}")
    check(value, params={"resolution": "match_input_image"})
    with pytest.raises(InvalidRequestError, match="flux_params: steps=99: must be"):
        check(value, params={"steps": 99})
    with pytest.raises(InvalidRequestError, match="did you mean 'seed'"):
        check(value, params={"sead": "{{ params.seed }}"})


def test_no_file_is_opened_while_the_dag_is_parsed(monkeypatch):
    def opened(*arguments: object) -> None:
        raise AssertionError("a file was opened")

    monkeypatch.setattr(
        "airflow_provider_apiframe.submission.batch_requests.entries_of_file", opened
    )
    check("/no/such/file.csv")
