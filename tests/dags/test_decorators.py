from __future__ import annotations

import pytest

HEAD = """
from __future__ import annotations
from airflow.providers.common.compat.sdk import DAG, task
from airflow_provider_apiframe.operators.image import ImageGenerateOperator

"""


def prompts(sandbox):
    return sorted(job.input["prompt"] for job in sandbox.state.jobs)


def test_a_decorated_function_makes_an_image_of_what_another_task_returned(connected, run_dag):
    run = run_dag(
        "decorated",
        HEAD
        + """
with DAG("decorated", schedule=None, params={"style": "modern"}):
    @task
    def product() -> dict:
        return {"name": "mug"}

    @task.flux(flux_params={"seed": "{{ 40 + 2 }}"}, poll_interval=0.1)
    def poster(product: dict, style: str, params: dict, ti=None) -> str:
        return f"a {product['name']}, {style}, {params['style']}, {ti.task_id}"

    @task
    def publish(image_urls: list) -> str:
        return image_urls[0]

    publish(poster(product(), style="{{ params.style }}")["image_urls"])
""",
    )
    (job,) = connected.state.jobs
    assert job.input == {
        "prompt": "a mug, modern, modern, poster",
        "model": "flux-2-flex",
        "fluxParams": {"seed": 42},
    }
    assert run.xcom("publish") == run.xcom("poster")["image_urls"][0]


def test_a_deferred_function_is_called_once_and_its_image_goes_where_it_said(
    connected, run_dag, tmp_path
):
    connected.configure(latency=0.5)
    run = run_dag(
        "deferred_function",
        HEAD
        + f"""
with DAG("deferred_function", schedule=None):
    @task.flux(deferrable=True, poll_interval=0.1)
    def poster() -> dict:
        with open("{tmp_path}/calls", "a") as calls:
            calls.write("called ")
        return {{
            "prompt": "a mug",
            "flux_params": {{"output_format": "png", "seed": 7}},
            "save_to": "{tmp_path}/mug.{{ext}}",
        }}

    poster()
""",
    )
    assert (tmp_path / "calls").read_text() == "called "
    (image,) = run.xcom("poster")["images"]
    assert image["uri"] == f"file://{tmp_path}/mug.png"


def test_a_decorated_function_is_mapped_and_each_task_labelled(connected, run_dag):
    run = run_dag(
        "mapped_function",
        HEAD
        + """
with DAG("mapped_function", schedule=None):
    @task.flux(poll_interval=0.1)
    def poster(what: str, where: str) -> str:
        return f"a {what} on a {where}"

    poster.partial(where="beach").expand(what=["mug", "cap"])
    poster.override(task_id="named", flux_params={"seed": 7}).expand_kwargs(
        [{"what": "shoe", "where": "roof"}]
    )
""",
    )
    assert prompts(connected) == ["a cap on a beach", "a mug on a beach", "a shoe on a roof"]
    assert run.labels("poster") == ["a mug on a beach", "a cap on a beach"]
    (named,) = [job for job in connected.state.jobs if "shoe" in job.input["prompt"]]
    assert named.input["fluxParams"] == {"seed": 7}


def test_a_function_that_is_skipped_pays_nothing(connected, run_dag):
    run = run_dag(
        "skipped_function",
        HEAD
        + """
with DAG("skipped_function", schedule=None):
    @task.skip_if(lambda context: True)
    @task.flux(poll_interval=0.1)
    def skipped() -> str:
        return "a mug"

    @task.run_if(lambda context: True)
    @task.flux(poll_interval=0.1)
    def run() -> str:
        return "a cap"

    skipped()
    run()
""",
    )
    assert (run.states("skipped"), run.states("run")) == (["skipped"], ["success"])
    assert prompts(connected) == ["a cap"]


def test_mapped_functions_that_would_write_one_file_pay_nothing(connected, run_dag, tmp_path):
    run = run_dag(
        "one_file",
        HEAD
        + f"""
with DAG("one_file", schedule=None):
    @task.flux(save_to="{tmp_path}/poster.png", poll_interval=0.1)
    def poster(what: str) -> str:
        return what

    poster.expand(what=["a mug", "a cap"])
""",
    )
    assert run.states("poster") == ["failed", "failed"]
    assert connected.state.jobs_paid == 0


MODEL_PARAMS = """
def at(value):
    return {"seed": value}

with DAG("model_params", schedule=None, params={"seed": 1, "headline": "SALE"}):
    shared = {"model": "flux-2-flex", "poll_interval": 0.1}

    ImageGenerateOperator(
        task_id="one", prompt="one {{ params.headline }}",
        params={"seed": "{{ params.seed + 1 }}"}, **shared,
    )
    ImageGenerateOperator.partial(task_id="two", prompt="two", **shared).expand(
        params=[{"seed": 3}, {"seed": 4}]
    )

    @task
    def kwargs() -> list:
        return [{"prompt": "three", "params": {"seed": 5}}]

    ImageGenerateOperator.partial(task_id="three", **shared).expand_kwargs(kwargs())
    ImageGenerateOperator.partial(
        task_id="four", prompt="four", params={"seed": 6}, **shared
    ).expand(webhook_url=[None])

    @task.image(params={"seed": 7}, **shared)
    def five(what: str) -> dict:
        return {"prompt": what}

    five("five")
    five.override(task_id="six", params={"seed": 8})("six")
    five.override(task_id="seven").expand(what=["seven"])
    five.override(task_id="lost", params={"steps": 30}).expand(what=["lost"])

    @task
    def seeds() -> list:
        return [9]

    ImageGenerateOperator.partial(task_id="eight", prompt="eight", **shared).expand(
        params=seeds().map(at)
    )
"""


def test_params_of_an_operator_are_the_models_and_never_mixed_with_the_dags(connected, run_dag):
    run = run_dag("model_params", HEAD + MODEL_PARAMS, conf={"reason": "no param of the DAG"})
    sent = {
        (job.input["prompt"], job.input.get("fluxParams", {}).get("seed"))
        for job in connected.state.jobs
    }
    assert sent == {
        ("one SALE", 2),
        ("two", 3),
        ("two", 4),
        ("three", 5),
        ("four", 6),
        ("five", 7),
        ("six", 8),
        ("seven", 7),
        ("eight", 9),
    }
    assert all(job.input["fluxParams"].keys() == {"seed"} for job in connected.state.jobs)
    assert run.states("lost") == ["failed"]


@pytest.mark.parametrize(
    ("decorator", "said"),
    [
        ('@task.flux(flux_params={"sed": 7})', "did you mean 'seed'?"),
        ("@task.image", "@task.image needs a model"),
        ('@task.image(model="flux-2-flex", params={"sed": 7})', "did you mean 'seed'?"),
    ],
)
def test_a_wrong_decorator_is_an_import_error_that_ends_in_its_line(decorator, said, import_errors):
    errors = import_errors(
        f"""
{HEAD}
with DAG("broken", schedule=None):
    {decorator}
    def poster(what: str) -> str:
        return what

    poster.expand(what=["a mug"])
"""
    )
    assert said in errors
    assert decorator in errors
    assert "decorators/base.py" not in errors
