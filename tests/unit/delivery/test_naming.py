from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_apiframe.api.errors import InvalidRequestError
from airflow_provider_apiframe.delivery.naming import MAX_PART, PLACEHOLDERS, SaveTo, safe_part

JOB = "6f2c1d1e-0000-4000-8000-000000000000"
VALUES = {
    "dag_id": "campaign",
    "run_id": "manual__2026-11-26T01:57:56+00:00",
    "task_id": "group.poster",
    "map_index": -1,
    "job_id": JOB,
    "ds": "2026-11-26",
}


def uri(save_to: str, n: int = 1, ext: str = "png", **values: object) -> str:
    return SaveTo.parse(save_to).uri({**VALUES, **values}, n=n, ext=ext)


def test_a_folder_gets_a_name_that_says_dag_run_task_and_job():
    run = "manual__2026-11-26T01_57_56_00_00"
    assert uri("s3://brand/x/") == f"s3://brand/x/campaign/{run}/group.poster/{JOB}-1.png"
    mapped = uri("s3://brand/", n=2, ext="webp", map_index=7)
    assert mapped == f"s3://brand/campaign/{run}/group.poster-7/{JOB}-2.webp"


@pytest.mark.parametrize(
    ("save_to", "expected"),
    [
        ("/data/images/poster.png", "file:///data/images/poster.png"),
        ("file:///data/poster.png", "file:///data/poster.png"),
        ("gs://b/poster.{ext}", "gs://b/poster.jpg"),
        ("abfs://container@account/poster.jpg", "abfs://container@account/poster.jpg"),
        ("s3://my_conn@b/{ds}/{dag_id}-{n}.{ext}", "s3://my_conn@b/2026-11-26/campaign-1.jpg"),
        ("s3://b/brand=acme/été 2026/{map_index}.jpg", "s3://b/brand=acme/été 2026/0.jpg"),
    ],
)
def test_a_file_name_is_taken_as_it_is_with_its_placeholders(save_to, expected):
    assert uri(save_to, ext="jpg") == expected


def test_the_second_image_of_a_job_gets_a_number_unless_the_name_has_one():
    assert uri("s3://b/poster.png", n=2) == "s3://b/poster-2.png"
    assert uri("s3://b/poster.v2.{ext}", n=3) == "s3://b/poster.v2-3.png"
    assert uri("s3://b/{n}-poster.png", n=2) == "s3://b/2-poster.png"


@pytest.mark.parametrize(
    ("save_to", "reason"),
    [
        ("images/", "absolute local path"),
        ("", "absolute local path"),
        ("FILE://data/x/", "file:///data/x/"),
        ("local://data/x/", "file:///data/x/"),
        ("HTTPS://example.com/x/", "nothing can be stored behind an http(s) link"),
        (5, 'must be text, such as "s3://bucket/folder/"'),
        (None, "must be text"),
        ("https://example.com/x/", "nothing can be stored behind an http(s) link"),
        ("file://images/", 'must be absolute, "file:///images/"'),
        ("s3:///images/", "must name a bucket"),
        ("s3://bucket", 'must end with "/" for a folder: "s3://bucket/"'),
        ("s3://bucket/images", 'must end with "/" for a folder, or name a file'),
        ("s3://bucket/notes.txt", "such as poster.png or poster.{ext}"),
        ("s3://bucket/../other/", "must not have '..'"),
        ("s3://bucket/a//b/", "must not have ''"),
        ("/data/./x/", "must not have '.'"),
        ("s3://bucket/{job}/", "unknown placeholder {job}, did you mean {job_id}?"),
        ("s3://bucket/{qwerty}/", "known are {dag_id}"),
        ("s3://bucket/{}/", "unknown placeholder {}"),
        ("s3://bucket/{job_id.__class__}/", "characters"),
        ("s3://bucket/{job_id!r}.png", "characters"),
        ("s3://bucket/a?b/", "characters"),
        ("s3://bucket/a*/", "characters"),
        ("s3://bucket/a\\b/", "characters"),
        ("s3://bucket/a\nb/", "characters"),
        ("s3://bucket/" + "x" * 256 + "/", "too long"),
        ("s3://bucket/" + "xxxxxxxxxxxxxxxxxxxxxxxx/" * 50, "too long"),
        ("s3://bucket/" + "{run_id}" * 10 + ".png", "too long"),
    ],
)
def test_what_is_no_place_for_an_image_is_refused_and_says_why(save_to, reason):
    with pytest.raises(InvalidRequestError) as error:
        uri(save_to)
    assert str(error.value).startswith("save_to")
    assert reason in str(error.value)


@given(
    values=st.fixed_dictionaries(
        {
            name: st.text(max_size=300)
            for name in PLACEHOLDERS
            if name in VALUES and name != "map_index"
        }
    ),
    map_index=st.integers(-1, 10**6),
    n=st.integers(1, 99),
)
def test_nothing_leaves_the_folder_whatever_a_run_or_a_task_is_called(values, map_index, n):
    found = uri("s3://b/in/", n=n, **{**values, "map_index": map_index})
    assert found.startswith("s3://b/in/")
    segments = found.removeprefix("s3://b/in/").split("/")
    assert len(segments) == 4
    assert all(segment.strip(".") for segment in segments)
    assert all(len(segment.encode()) <= 255 for segment in segments)


@given(st.text(max_size=400))
def test_a_save_to_is_read_or_refused_and_never_leads_out(text):
    try:
        found = uri(text)
    except InvalidRequestError:
        return
    assert not {"..", ".", ""} & set(found.partition("://")[2].split("/")[1:])


def test_names_in_other_alphabets_stay_apart():
    one, other = safe_part("плакат"), safe_part("баннер")
    assert one != other
    assert one.isascii()


def test_long_names_that_begin_alike_stay_apart():
    one, other = safe_part("x" * 200 + "1"), safe_part("x" * 200 + "2")
    assert one != other
    assert len(one) <= MAX_PART


@pytest.mark.parametrize(
    ("save_to", "apart"),
    [
        ("s3://b/", True),
        ("s3://b/poster.png", False),
        ("s3://b/{run_id}/{n}.png", False),
        ("s3://b/{map_index}.png", True),
        ("s3://b/{job_id}/poster.png", True),
    ],
)
def test_it_tells_whether_mapped_tasks_write_different_files(save_to, apart):
    assert SaveTo.parse(save_to).tells_mapped_tasks_apart is apart
