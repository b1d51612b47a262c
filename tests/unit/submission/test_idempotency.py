from __future__ import annotations

import json
import string
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_apiframe.api.params.request import GenerateRequest
from airflow_provider_apiframe.submission.idempotency import (
    IdempotencyScope,
    SubmissionRecord,
)

REQUEST = GenerateRequest.parse(prompt="a poster", flux_params={"steps": 10, "seed": 1})


class Row:
    """A task instance as Airflow hands it over."""

    def __init__(self, **changed):
        self.__dict__ |= {
            "dag_id": "d",
            "run_id": "r",
            "task_id": "t",
            "map_index": -1,
            "try_number": 1,
            "max_tries": 2,
            **changed,
        }


def scope(regenerate_on_clear: bool = True, **changed) -> IdempotencyScope:
    context = {"ti": Row(**changed)}
    return IdempotencyScope.of(context, retries=2, regenerate_on_clear=regenerate_on_clear)


def key(request=REQUEST, generation=0, **changed) -> str:
    return scope(**changed).key(request, generation)


@pytest.mark.parametrize("try_number", [1, 2, 3])
def test_all_automatic_retries_have_one_key(try_number):
    assert key(try_number=try_number) == key()


@pytest.mark.parametrize(
    "changed",
    [
        {"dag_id": "x"},
        {"run_id": "x"},
        {"task_id": "x"},
        {"map_index": 0},
        {"max_tries": 3},
        {"generation": 1},
    ],
)
def test_anything_that_makes_it_another_image_makes_another_key(changed):
    assert key(**changed) != key()


NO_REGION, A_REGION, ANOTHER = UUID(int=0), UUID(int=7), UUID(int=8)


def test_every_iteration_of_a_loop_and_every_place_in_a_region_has_a_key_of_its_own():
    """Airflow 3.4: they share dag, run and task, and map indexes repeat in each region."""
    places = [
        {"region_id": region, "region_index": index}
        for region in (A_REGION, ANOTHER)
        for index in (0, 1)
    ]
    assert len({key(**place) for place in [*places, {}]}) == 5


@pytest.mark.parametrize("region", [NO_REGION, None])
def test_outside_of_regions_the_key_is_the_one_of_the_airflows_before(region):
    assert key(region_id=region, region_index=-1) == key()


def test_a_try_that_is_repeated_without_a_new_number_counts_as_an_earlier_one():
    context = {"ti": Row(try_number=2), "task_reschedule_count": 3}
    assert IdempotencyScope.of(context, retries=2).earlier_tries == 4


def test_another_request_has_another_key_and_the_order_of_parameters_does_not_count():
    assert (
        key(GenerateRequest.parse(prompt="a poster", flux_params={"seed": 1, "steps": 10})) == key()
    )
    assert (
        key(GenerateRequest.parse(prompt="a poster", flux_params={"seed": 2, "steps": 10})) != key()
    )


PARTS = st.fixed_dictionaries(
    {
        "dag_id": st.sampled_from(["a", "ab", 'a"', ""]),
        "run_id": st.sampled_from(["a", "b", "ab"]),
        "task_id": st.sampled_from(["a", "b", "ba"]),
        "map_index": st.integers(-1, 2),
        "max_tries": st.integers(2, 4),
        "generation": st.integers(0, 2),
        "prompt": st.sampled_from(["a poster", "a poster "]),
        "flux_params": st.sampled_from([{}, {"seed": 1}, {"seed": 2}, {"steps": 1}]),
    }
)


@given(one=PARTS, other=PARTS, tries=st.tuples(st.integers(1, 9), st.integers(1, 9)))
def test_two_keys_are_equal_just_when_everything_that_makes_the_image_is(one, other, tries):
    def made(parts: dict, try_number: int) -> str:
        request = GenerateRequest.parse(prompt=parts["prompt"], flux_params=parts["flux_params"])
        row = {
            name: value
            for name, value in parts.items()
            if name not in ("prompt", "flux_params", "generation")
        }
        return key(request, parts["generation"], **row, try_number=try_number)

    assert made(one, tries[0]) == made(one, tries[1])
    assert (made(one, tries[0]) == made(other, tries[1])) is (one == other)


@given(max_tries=st.integers(0, 50), try_number=st.integers(1, 60), later=st.integers(0, 50))
def test_kept_images_are_one_scope_through_all_clears(max_tries, try_number, later):
    before = scope(False, max_tries=max_tries, try_number=try_number)
    after = scope(False, max_tries=max_tries + later, try_number=try_number + 1)
    assert before.key(REQUEST, 0) == after.key(REQUEST, 0)
    assert (before.earlier_tries, after.earlier_tries) == (try_number - 1, try_number)
    assert before.key(REQUEST, 0) != key(max_tries=max_tries)


@given(job_id=st.text(), digest=st.text(), scope=st.integers(), generation=st.integers())
def test_a_record_comes_back_as_it_was_made(job_id, digest, scope, generation):
    record = SubmissionRecord(job_id=job_id, fingerprint=digest, scope=scope, generation=generation)
    assert SubmissionRecord.read(json.loads(json.dumps(record.model_dump()))) == record


@given(
    prompt=st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=50).filter(
        str.strip
    ),
    name=st.text(),
)
def test_a_key_is_64_hexadecimal_characters_whatever_goes_in(prompt, name):
    made = key(GenerateRequest.parse(prompt=prompt), dag_id=name)
    assert len(made) == 64
    assert set(made) <= set(string.hexdigits)
