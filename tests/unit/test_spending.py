from __future__ import annotations

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_apiframe.api.models import GenerateRequest
from airflow_provider_apiframe.spending import Series

REQUEST = GenerateRequest.parse(prompt="a poster", flux_params={"steps": 10, "seed": 1})


class Row:
    """A task instance as Airflow hands it over."""

    def __init__(self, **changed):
        self.__dict__ |= {
            "dag_id": "d", "run_id": "r", "task_id": "t", "map_index": -1, "try_number": 1, "max_tries": 2, **changed
        }  # fmt: skip


def key(request=REQUEST, generation=0, **changed) -> str:
    return Series.of(Row(**changed), retries=2).key(request, generation)


@pytest.mark.parametrize("try_number", [1, 2, 3])
def test_all_automatic_retries_have_one_key(try_number):
    assert key(try_number=try_number) == key()


@pytest.mark.parametrize(
    "changed",
    [{"dag_id": "x"}, {"run_id": "x"}, {"task_id": "x"}, {"map_index": 0}, {"max_tries": 3}, {"generation": 1}],
)
def test_anything_that_makes_it_another_picture_makes_another_key(changed):
    assert key(**changed) != key()


def test_another_request_has_another_key_and_the_order_of_parameters_does_not_count():
    assert key(GenerateRequest.parse(prompt="a poster", flux_params={"seed": 1, "steps": 10})) == key()
    assert key(GenerateRequest.parse(prompt="a poster", flux_params={"seed": 2, "steps": 10})) != key()


@pytest.mark.parametrize(
    ("try_number", "max_tries", "earlier"),
    [(1, 2, 0), (2, 2, 1), (3, 2, 2), (4, 5, 0), (5, 5, 1)],
)
def test_earlier_tries_are_counted_from_the_last_clear(try_number, max_tries, earlier):
    assert Series.of(Row(try_number=try_number, max_tries=max_tries), retries=2).earlier_tries == earlier


@given(prompt=st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=50).filter(str.strip), name=st.text())
def test_a_key_is_64_hexadecimal_characters_whatever_goes_in(prompt, name):
    made = key(GenerateRequest.parse(prompt=prompt), dag_id=name)
    assert len(made) == 64
    assert set(made) <= set(string.hexdigits)
