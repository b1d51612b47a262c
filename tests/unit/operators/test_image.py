from __future__ import annotations

import datetime
import traceback
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import (
    DAG,
    AirflowException,
    AirflowFailException,
    Param,
    TaskDeferred,
    TaskGroup,
    task,
)

from airflow_provider_apiframe.api.params.catalog import MODELS
from airflow_provider_apiframe.exceptions import InvalidParameterError
from airflow_provider_apiframe.operators.batch import ImageGenerateBatchOperator
from airflow_provider_apiframe.operators.flux import FluxGenerateOperator
from airflow_provider_apiframe.operators.image import ImageGenerateOperator


def dag() -> DAG:
    return DAG(
        "a_dag",
        schedule=None,
        start_date=datetime.datetime(2026, 1, 1),
        params={"headline": "SALE", "seed": 1},
    )


def operator(model: str = "seedream-4.5", **arguments: Any) -> ImageGenerateOperator:
    return ImageGenerateOperator(
        **{
            "task_id": "poster",
            "model": model,
            "prompt": "a poster",
            "poll_interval": 0.05,
            **arguments,
        }
    )


@pytest.mark.parametrize("model", sorted(MODELS))
def test_every_model_of_the_catalogue_makes_its_images(model, connected, ti):
    given = {
        "flux-lora": {"loraId": "6f2c7a0e-0000-4000-8000-000000000000"},
        "ideogram-character": {"character_reference_image": "https://example.com/a.png"},
    }
    params = {name: given.get(model, {}).get(name) for name in MODELS[model].required}
    result = operator(model, params=params).execute({"ti": ti})
    assert (result["status"], result["model"]) == ("COMPLETED", model)
    assert connected.state.jobs[0].input["model"] == model


def test_an_image_of_a_flux_model_is_the_same_request_as_the_flux_operators(connected, ti):
    params = {"steps": 12, "seed": 7}
    operator("flux-2-flex", params=params).execute({"ti": ti})
    again = FluxGenerateOperator(
        task_id="poster", prompt="a poster", flux_params=params, poll_interval=0.05
    )
    assert again.execute({"ti": ti})["reused"] is True
    assert connected.state.jobs_paid == 1


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"params": {"sed": 7}}, "params: sed=7: unknown parameter, did you mean 'seed'?"),
        ({"params": {"steps": 7}}, "params: steps=7: unknown parameter"),
        ({"params": {"guidance_scale": 11}}, "guidance_scale=11"),
        ({"params": {"input_images": ["https://e.com/a.png"]}}, "did you mean 'image_input'?"),
        (
            {"model": "dall-e-3", "params": {"input_images": ["https://e.com/a.png"]}},
            "models that take it",
        ),
        ({"model": "new-model", "params": {"seed": 7}}, '{"fooParams": {...}}'),
        ({"model": "flux-lora"}, "loraId: is not set, and flux-lora needs it"),
        ({"params": "seed=7"}, "params='seed=7'"),
        ({"prompt": ""}, "prompt=''"),
        ({"model": None}, "model=None"),
        ({"max_credits": 0}, "max_credits=0"),
    ],
)
def test_a_wrong_literal_is_refused_when_the_dag_is_read(arguments, said):
    with pytest.raises(InvalidParameterError) as caught:
        operator(**arguments)
    assert str(caught.value).startswith("task 'poster': ")
    assert said in str(caught.value)


def test_flux_params_with_another_model_are_refused_when_the_dag_is_read():
    with pytest.raises(InvalidParameterError, match=r"ImageGenerateOperator"):
        FluxGenerateOperator(
            task_id="poster", prompt="a", model="seedream-4", flux_params={"seed": 7}
        )


def test_flux_params_are_no_argument_of_an_operator_for_all_models():
    with pytest.raises((TypeError, AirflowException), match="flux_params"):
        operator(flux_params={"seed": 7})


def test_params_are_the_models_and_those_of_the_task_stay_the_dags():
    with dag():
        op = operator(params={"seed": "{{ params.seed }}"})
    assert op.model_params == {"seed": "{{ params.seed }}"}
    assert set(op.params) == {"headline", "seed"}


def test_both_names_of_the_params_at_once_are_refused():
    with pytest.raises(InvalidParameterError, match="another name of params"):
        operator(params={"seed": 7}, model_params={"seed": 7})


class Banner(ImageGenerateOperator):
    """A user's own, with arguments that it hands on by their documented names."""

    def __init__(self, *, product: str, **arguments: Any) -> None:
        super().__init__(
            model="seedream-4.5", prompt=f"a {product}", params={"seed": 7}, **arguments
        )


class Catalogue(ImageGenerateBatchOperator):
    def __init__(self, **arguments: Any) -> None:
        super().__init__(save_to="s3://bucket/", params={"seed": 7}, **arguments)


def in_a_group() -> None:
    with TaskGroup("group", default_args={"params": {"seed": 7}}):
        operator()


@pytest.mark.parametrize(
    "make",
    [
        lambda: Banner(task_id="poster", product="mug"),
        lambda: Catalogue(task_id="posters", model="seedream-4.5", requests=[{"prompt": "a mug"}]),
        lambda: operator(default_args={"params": {"seed": 7}}),
        in_a_group,
    ],
)
def test_params_that_airflow_would_take_for_its_own_are_refused(make):
    """An image without them would be paid, too."""
    with DAG("a_dag", schedule=None), pytest.raises(InvalidParameterError) as caught:
        make()
    assert "params=['seed'] came to the task as Airflow's own" in str(caught.value)
    assert "write model_params=... there" in str(caught.value)
    (*_, last) = traceback.extract_tb(caught.value.__traceback__)
    assert last.filename == __file__


@pytest.mark.skipif(not hasattr(Param(1), "source"), reason="needs Airflow 3.2 or newer")
def test_they_are_refused_also_where_the_dag_has_params_of_the_same_name():
    with dag(), pytest.raises(InvalidParameterError, match=r"params=\['seed'\] came to the task"):
        operator(default_args={"params": {"seed": 7}})


def test_a_class_of_ones_own_takes_params_and_leaves_the_dags_alone():
    class Poster(ImageGenerateOperator):
        def __init__(self, *, product: str, **arguments: Any) -> None:
            super().__init__(model="seedream-4.5", prompt=f"a {product}", **arguments)

    with dag():
        op = Poster(task_id="poster", product="mug", params={"seed": 7})
    assert (op.prompt, op.model_params) == ("a mug", {"seed": 7})
    assert set(op.params) == {"headline", "seed"}


def test_templates_render_in_params_of_any_depth(connected, ti):
    op = operator(
        params={"seed": "{{ seed }}", "image_input": ["https://example.com/{{ what }}.png"]},
        wait_for_completion=False,
    )
    op.render_template_fields({"seed": 7, "what": "mug"})
    op.execute({"ti": ti})
    assert connected.state.jobs[0].input["seedreamParams"] == {
        "seed": 7,
        "image_input": ["https://example.com/mug.png"],
    }


@pytest.mark.parametrize(
    ("expand", "said"),
    [
        (lambda partial: partial.expand(params=[{"sed": 7}]), "did you mean 'seed'"),
        (lambda partial: partial.expand(prompt=["a", ""]), "prompt=''"),
        (
            lambda partial: partial.expand_kwargs([{"prompt": "a", "params": {"sed": 7}}]),
            "did you mean 'seed'",
        ),
    ],
)
def test_what_is_mapped_over_literally_is_checked_when_the_dag_is_read(expand, said):
    with dag(), pytest.raises(InvalidParameterError, match=said):
        expand(ImageGenerateOperator.partial(task_id="posters", model="seedream-4.5"))


def test_mapped_tasks_may_not_all_write_one_file():
    with dag(), pytest.raises(InvalidParameterError, match="would write this one file"):
        ImageGenerateOperator.partial(
            task_id="posters", model="seedream-4.5", save_to="s3://bucket/poster.png"
        ).expand(prompt=["a", "b"])


def test_params_from_another_task_are_waited_for():
    with dag():

        @task
        def write() -> dict[str, Any]:
            return {"seed": 7}

        op = operator(params=write())
    assert op.upstream_task_ids == {"write"}


def test_a_model_that_is_not_known_gets_its_params_by_their_name(connected, ti):
    """The sandbox knows no such model; it says what was sent."""
    op = operator("new-model", params={"newParams": {"style": "modern"}})
    assert op._request().to_payload() == {
        "prompt": "a poster",
        "model": "new-model",
        "newParams": {"style": "modern"},
    }
    with pytest.raises(AirflowFailException, match="POST /v2/images/generate returned 400"):
        op.execute({"ti": ti})


# Several images


def test_all_images_of_a_job_are_returned_and_saved(connected, ti, tmp_path):
    result = operator("midjourney", save_to=f"{tmp_path}/").execute({"ti": ti})
    assert len(result["image_urls"]) == len(result["images"]) == 4
    job_id = result["job_id"]
    folder = tmp_path / "a_dag" / "a_run" / "poster"
    saved = sorted(folder.iterdir())
    assert [file.stem for file in saved] == [f"{job_id}-{n}" for n in (1, 2, 3, 4)]
    assert [image["uri"] for image in result["images"]] == [f"file://{file}" for file in saved]


def test_the_images_after_the_first_get_a_number_behind_the_name_of_the_file(
    connected, ti, tmp_path
):
    op = operator("qwen-image", params={"num_images": 3}, save_to=f"{tmp_path}/poster.{{ext}}")
    result = op.execute({"ti": ti})
    assert [image["uri"].rpartition("/")[2].partition(".")[0] for image in result["images"]] == [
        "poster",
        "poster-2",
        "poster-3",
    ]


def test_a_deferred_job_with_several_images_saves_all_of_them(connected, ti, tmp_path, event_of):
    op = operator("midjourney", save_to=f"{tmp_path}/", deferrable=True)
    connected.configure(latency=0.3)
    with pytest.raises(TaskDeferred) as deferred:
        op.execute({"ti": ti})
    result = operator("midjourney", save_to=f"{tmp_path}/").execute_complete(
        {"ti": ti}, event_of(deferred.value.trigger)
    )
    assert len(list((tmp_path / "a_dag" / "a_run" / "poster").iterdir())) == 4
    assert len(result["images"]) == 4


def test_an_image_that_costs_more_than_it_may_is_not_submitted(connected, ti):
    with pytest.raises(AirflowFailException, match="max_credits=1"):
        operator("midjourney", max_credits=1).execute({"ti": ti})
    assert connected.state.jobs_paid == 0
