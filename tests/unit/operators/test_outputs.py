from __future__ import annotations

import copy
import datetime
import linecache
import traceback
from collections.abc import Callable
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import DAG, BaseOperator, XComArg

from airflow_provider_apiframe.exceptions import InvalidParameterError
from airflow_provider_apiframe.operators.flux import FluxGenerateOperator
from airflow_provider_apiframe.operators.variants import ImageVariantsOperator, image_variants
from airflow_provider_apiframe.sensors.job import ApiframeJobSensor

SIZES = {"story": "1080x1920"}


def poster(**arguments: Any) -> Any:
    return FluxGenerateOperator(task_id="task", prompt="a poster", **arguments)


def posters(**arguments: Any) -> Any:
    return FluxGenerateOperator.partial(task_id="task", **arguments).expand(prompt=["a", "b"])


def posters_with_arguments(**arguments: Any) -> Any:
    partial = FluxGenerateOperator.partial(task_id="task", **arguments)
    return partial.expand_kwargs([{"prompt": "a"}])


def collect(**arguments: Any) -> Any:
    return ApiframeJobSensor(task_id="task", job_id="a", **arguments)


def collect_all(**arguments: Any) -> Any:
    return ApiframeJobSensor.partial(task_id="task", **arguments).expand(job_id=["a", "b"])


def variants(**arguments: Any) -> Any:
    made = FluxGenerateOperator(task_id="poster", prompt="a poster")
    return image_variants(made.output, SIZES, task_id="task", **arguments).operator


def variants_of_all(**arguments: Any) -> Any:
    made = FluxGenerateOperator.partial(task_id="posters").expand(prompt=["a", "b"])
    return image_variants(made.output, SIZES, task_id="task", **arguments).operator


TASKS = [
    (poster, "image_urls"),
    (posters, "image_urls"),
    (posters_with_arguments, "image_urls"),
    (collect, "image_urls"),
    (collect_all, "image_urls"),
    (variants, "story"),
    (variants_of_all, "story"),
]


def dag(**arguments: Any) -> DAG:
    return DAG("posters", schedule=None, start_date=datetime.datetime(2026, 1, 1), **arguments)


@pytest.mark.parametrize(("make", "key"), TASKS)
def test_each_key_of_a_result_can_be_handed_on(make: Callable[..., Any], key: str):
    with dag():
        task = make()
        taken = task.output[key]
    assert (taken.operator, taken.key) == (task, key)


@pytest.mark.parametrize(("make", "key"), TASKS)
def test_a_key_that_is_no_xcom_is_an_error_of_the_dag_file(make: Callable[..., Any], key: str):
    with dag():
        task = make(multiple_outputs=False)
        with pytest.raises(InvalidParameterError) as caught:
            task.output[key]
    assert f"task 'task': output['{key}'] is no XCom of its own" in str(caught.value)
    assert f"take result['{key}']" in str(caught.value)
    last = traceback.extract_tb(caught.value.__traceback__)[-1]
    assert "task.output[key]" in linecache.getline(last.filename, last.lineno or 0)


@pytest.mark.parametrize(("make", "key"), TASKS)
def test_the_whole_result_can_be_handed_on_all_the_same(make: Callable[..., Any], key: str):
    with dag() as made:
        task = make(multiple_outputs=False)
        use = BaseOperator(task_id="use")
        use.set_upstream(task.output)
    whole = task.output
    assert isinstance(whole, XComArg)
    assert (whole.operator, whole.key) == (task, "return_value")
    assert whole["return_value"].key == "return_value"
    assert use.upstream_task_ids == {"task"}
    assert copy.deepcopy(made).get_task("task").task_id == "task"


@pytest.mark.parametrize("make", [poster, posters])
def test_the_job_id_is_an_xcom_of_its_own_in_any_case(make: Callable[..., Any]):
    with dag():
        assert make(multiple_outputs=False).output["job_id"].key == "job_id"


@pytest.mark.parametrize("make", [poster, posters, collect, collect_all])
def test_a_dag_may_decide_for_all_of_its_tasks(make: Callable[..., Any]):
    with dag(default_args={"multiple_outputs": False}):
        task = make()
    with pytest.raises(InvalidParameterError):
        task.output["image_urls"]


@pytest.mark.parametrize("make", [poster, posters])
def test_a_task_may_differ_from_the_others_of_its_dag(make: Callable[..., Any]):
    with dag(default_args={"multiple_outputs": False}):
        task = make(multiple_outputs=True)
    assert task.output["image_urls"].key == "image_urls"


def test_the_variants_of_a_result_without_keys_are_made_of_the_whole():
    with dag():
        made = posters(multiple_outputs=False)
        resized = image_variants(made.output, SIZES, multiple_outputs=False)
    assert resized.operator.upstream_task_ids == {"task"}
    assert issubclass(resized.operator.operator_class, ImageVariantsOperator)
