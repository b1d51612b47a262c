"""``default_args`` of a DAG and of a task group are arguments as all others."""

from __future__ import annotations

from typing import Any

import pytest
from airflow.providers.common.compat.sdk import DAG, TaskGroup

from airflow_provider_apiframe.decorators.flux import flux_task
from airflow_provider_apiframe.decorators.image import image_task
from airflow_provider_apiframe.exceptions import InvalidParameterError
from airflow_provider_apiframe.operators.flux import FluxGenerateOperator

DEV = {"model": "flux-2-dev"}
OF_DEV = {"go_fast": True}  # flux-2-flex does not take it
ONE_FILE = {"save_to": "s3://bucket/poster.png"}


def dag(default_args: dict[str, Any]) -> DAG:
    return DAG("a_dag", schedule=None, default_args=default_args)


def posters(task_id: str = "posters", **arguments: Any) -> Any:
    return FluxGenerateOperator.partial(task_id=task_id, **arguments)


def poster() -> str:
    return "a mug"


def test_what_is_mapped_over_is_checked_for_the_model_of_the_dag():
    with dag(DEV):
        posters(prompt="a mug").expand(flux_params=[OF_DEV])
        posters("others").expand_kwargs([{"prompt": "a mug", "flux_params": OF_DEV}])
        with pytest.raises(InvalidParameterError, match="flux-2-flex does not take it"):
            posters(prompt="a mug", model="flux-2-flex").expand(flux_params=[OF_DEV])


def test_the_model_of_a_task_group_goes_before_the_dags():
    with dag({"model": "flux-2-pro"}):
        with pytest.raises(InvalidParameterError, match="flux-2-pro does not take it"):
            posters(prompt="a mug").expand(flux_params=[OF_DEV])
        with TaskGroup("group", default_args=DEV):
            posters(prompt="a mug").expand(flux_params=[OF_DEV])


def test_mapped_tasks_may_not_all_write_the_one_file_of_the_dag():
    with dag(ONE_FILE):
        with pytest.raises(InvalidParameterError, match="would write this one file"):
            posters().expand(prompt=["a mug", "a cap"])
        posters().expand_kwargs([{"prompt": "a mug", "save_to": "s3://bucket/mug.png"}])


def test_a_decorated_function_takes_the_model_of_the_dag():
    with dag(DEV):
        assert flux_task(flux_params=OF_DEV)(poster)().operator.model == "flux-2-dev"
        assert image_task(poster)().operator.model == "flux-2-dev"
        flux_task(flux_params=OF_DEV, task_id="posters")(lambda what: what).expand(what=["a mug"])


def test_a_class_of_ones_own_may_choose_the_model_of_mapped_tasks():
    class DevOperator(FluxGenerateOperator):
        def __init__(self, **arguments: Any) -> None:
            super().__init__(model="flux-2-dev", **arguments)

    with dag({}):
        DevOperator.partial(task_id="posters", prompt="a mug").expand(flux_params=[OF_DEV])
        with pytest.raises(InvalidParameterError, match="did you mean 'seed'"):
            DevOperator.partial(task_id="others", prompt="a mug").expand(flux_params=[{"sed": 7}])
