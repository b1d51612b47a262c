from __future__ import annotations

import asyncio
import datetime
import json
import linecache
import traceback
from collections.abc import Callable
from pathlib import PurePosixPath
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import DAG, AirflowFailException, TaskDeferred, task

from airflow_provider_apiframe.decorators.flux import flux_task
from airflow_provider_apiframe.exceptions import InvalidParameterError
from airflow_provider_apiframe.operators.flux import FluxGenerateOperator


def dag() -> DAG:
    return DAG("a_dag", schedule=None, start_date=datetime.datetime(2026, 1, 1))


def operator(function: Callable[..., Any], *args: Any, **arguments: Any) -> Any:
    """The operator that the decorator makes of *function*."""
    return flux_task(**{"poll_interval": 0.05, **arguments})(function)(*args).operator


def returning(value: Any) -> Callable[[], Any]:
    def poster() -> Any:
        return value

    return poster


# What a function may return


def test_the_text_that_a_function_returns_is_the_prompt(connected, ti):
    result = operator(returning("a mug")).execute({"ti": ti})
    (job,) = connected.state.jobs
    assert job.input == {"prompt": "a mug", "model": "flux-2-flex"}
    assert (result["prompt"], result["status"]) == ("a mug", "COMPLETED")


def test_a_mapping_that_a_function_returns_is_the_arguments(connected, ti, tmp_path):
    returned = {
        "prompt": "a mug",
        "model": "flux-2-dev",
        "flux_params": {"seed": 7, "go_fast": True, "output_format": "png"},
        "save_to": f"{tmp_path}/mug.{{ext}}",
    }
    result = operator(returning(returned)).execute({"ti": ti})
    (job,) = connected.state.jobs
    assert job.input == {
        "prompt": "a mug",
        "model": "flux-2-dev",
        "fluxParams": {"seed": 7, "go_fast": True, "output_format": "png"},
    }
    assert result["images"][0]["uri"] == f"file://{tmp_path}/mug.png"


def test_what_a_function_returns_wins_over_the_decorator_name_by_name(connected, ti):
    given = {"seed": "1", "aspect_ratio": "9:16"}
    returned = {"prompt": "a mug", "flux_params": "{'seed': 2, 'steps': 12}"}
    operator(returning(returned), flux_params=given).execute({"ti": ti})
    assert connected.state.jobs[0].input["fluxParams"] == {
        "seed": 2,
        "aspect_ratio": "9:16",
        "steps": 12,
    }


def test_text_that_a_function_returns_is_no_template(connected, ti):
    op = operator(returning("a mug {{ conn.apiframe_default.password }}"))
    op.render_template_fields({"ti": ti})
    op.execute({"ti": ti})
    assert connected.state.jobs[0].input["prompt"] == "a mug {{ conn.apiframe_default.password }}"


def test_a_function_takes_arguments_and_airflows_context(connected, ti):
    def poster(what: str, *, size: str, run_id: str | None = None) -> str:
        return f"a {size} {what} of {run_id}"

    made = flux_task(poll_interval=0.05)(poster)("{{ what }}", size="{{ size }}").operator
    made.render_template_fields({"what": "mug", "size": "big"})
    made.execute({"ti": ti, "run_id": "today"})
    assert connected.state.jobs[0].input["prompt"] == "a big mug of today"


def test_arguments_of_the_function_do_not_stay_in_the_context_of_the_task(connected, ti):
    context = {"ti": ti, "what": "cap"}
    made = flux_task(task_id="poster", poll_interval=0.05)(lambda what: f"a {what}")(
        what="mug"
    ).operator
    made.execute(context)
    assert context == {"ti": ti, "what": "cap"}
    assert connected.state.jobs[0].input["prompt"] == "a mug"


WRONG = [
    (None, ["poster() returned None", "the prompt as text, or a mapping"]),
    (["a mug"], ["returned ['a mug']", "the prompt as text, or a mapping"]),
    ({"flux_params": {"seed": 1}}, ["'prompt' is missing"]),
    ({"prompt": "a", "promt": "b"}, ["promt='b'", "did you mean 'prompt'?"]),
    ({"prompt": "a", "colour": "b"}, ["colour='b'", "known are prompt, model, flux_params"]),
    ({"prompt": "a", 7: "b"}, ["7='b'", "unknown argument"]),
    ({"prompt": "a", "timeout": 5}, ["timeout=5", "@task.flux(timeout=...)"]),
    ({"prompt": "a", "op_args": []}, ["op_args=[]", "unknown argument"]),
    ({"prompt": "a", "save_to": None}, ["save_to=None", "leave out"]),
    ({"prompt": "a", "save_to": PurePosixPath("/x")}, ["save_to=", "must be text"]),
    ({"prompt": "a", "save_to": "posters/"}, ["save_to='posters/'", "storage URL"]),
    ({"prompt": "a", "apiframe_conn_id": " "}, ["apiframe_conn_id=' '", "must be text"]),
    ({"prompt": "a", "flux_params": {"sed": 1}}, ["flux_params: sed=1", "'seed'"]),
    ({"prompt": "a", "flux_params": "seed"}, ["flux_params='seed'", "mapping"]),
    ({"prompt": "a", "model": "midjourney", "flux_params": {"seed": 1}}, ["Flux models"]),
    ("", ["prompt=''", "1 to 2000"]),
]


@pytest.mark.parametrize(("returned", "said"), WRONG)
def test_a_wrong_return_value_fails_without_retry_before_anything_is_sent(
    returned, said, connected, ti
):
    with pytest.raises(AirflowFailException) as caught:
        operator(returning(returned)).execute({"ti": ti})
    for piece in said:
        assert piece in str(caught.value)
    assert connected.state.requests == {}
    assert ti.xcoms["failure"]["reason"] == str(caught.value)


def test_an_async_function_is_refused_before_anything_is_sent(connected, ti):
    async def poster() -> str:
        return "a mug"

    with pytest.raises(AirflowFailException, match="must return the prompt as text"):
        operator(poster).execute({"ti": ti})
    assert connected.state.requests == {}


# Tries and deferrals


class Counted:
    """A function that counts its calls, and may return something else at each."""

    __name__ = "poster"

    def __init__(self, *returned: Any) -> None:
        self.returned = returned
        self.calls = 0

    def __call__(self) -> Any:
        self.calls += 1
        return self.returned[min(self.calls, len(self.returned)) - 1]


def resumed(deferred: TaskDeferred) -> dict[str, Any]:
    """The event of a deferral, as it comes back from Airflow's database."""
    _, arguments = deferred.trigger.serialize()
    trigger = type(deferred.trigger)(**json.loads(json.dumps(arguments)))

    async def events() -> list[Any]:
        return [event.payload async for event in trigger.run()]

    (payload,) = asyncio.run(events())
    return json.loads(json.dumps(payload))


def test_a_deferred_task_resumes_with_what_the_function_returned_and_does_not_call_it_again(
    connected, ti, tmp_path
):
    function = Counted(
        {
            "prompt": "a mug",
            "flux_params": {
                "output_format": "png",
                "input_images": [PurePosixPath(tmp_path / "a.png")],
            },
            "save_to": f"{tmp_path}/mug.{{ext}}",
        }
    )
    (tmp_path / "a.png").write_bytes(PNG)
    with pytest.raises(TaskDeferred) as deferred:
        operator(function, deferrable=True).execute({"ti": ti})
    again = operator(function, deferrable=True)
    result = again.execute_complete({"ti": ti}, resumed(deferred.value))
    assert function.calls == 1
    assert result["prompt"] == again.prompt == "a mug"
    assert again.flux_params == {"output_format": "png", "input_images": [f"{tmp_path}/a.png"]}
    assert result["images"][0]["uri"] == f"file://{tmp_path}/mug.png"


def test_a_retry_calls_the_function_again_and_pays_nothing_for_the_same(connected, ti):
    function = Counted("a mug")
    ti.max_tries = 1
    results = []
    for ti.try_number in (1, 2):
        results.append(operator(function, retries=1).execute({"ti": ti}))
    assert function.calls == 2
    assert [result["reused"] for result in results] == [False, True]
    assert connected.state.jobs_paid == 1


def test_a_function_that_returns_something_else_on_a_retry_pays_for_another_image(connected, ti):
    """As the documentation warns."""
    function = Counted("a mug", "a cap")
    ti.max_tries = 1
    for ti.try_number in (1, 2):
        operator(function, retries=1).execute({"ti": ti})
    assert connected.state.jobs_paid == 2


def test_an_error_of_the_function_is_airflows_to_retry(connected, ti):
    def poster() -> str:
        raise ConnectionError("no database")

    with pytest.raises(ConnectionError, match="no database"):
        operator(poster).execute({"ti": ti})
    assert connected.state.requests == {}


# In a DAG file


def test_each_key_of_the_result_is_an_output_whatever_the_function_returns():
    def poster() -> str:
        return "a mug"

    assert flux_task(poster)().operator.multiple_outputs is True
    assert flux_task(multiple_outputs=False)(poster)().operator.multiple_outputs is False


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"flux_params": {"sed": 7}}, "did you mean 'seed'"),
        ({"flux_params": {"go_fast": True}}, "flux-2-flex does not take it"),
        ({"model": ""}, "model=''"),
        ({"timeout": 0}, "timeout=0"),
        ({"save_to": "posters/"}, "save_to='posters/'"),
        ({"prompt": "a mug"}, "@task.flux(prompt=...): the function decides it"),
    ],
)
def test_a_wrong_argument_of_the_decorator_is_an_error_in_its_line(arguments, said):
    with pytest.raises(InvalidParameterError) as caught:
        flux_task(**arguments)
    assert said in str(caught.value)
    last = traceback.extract_tb(caught.value.__traceback__)[-1]
    assert last.filename == __file__
    assert "flux_task" in linecache.getline(last.filename, last.lineno)


def test_a_wrong_argument_of_override_is_an_error_in_its_line():
    poster = flux_task(returning("a mug"))
    with dag(), pytest.raises(InvalidParameterError, match="'seed'") as caught:
        poster.override(flux_params={"sed": 7})()
    last = traceback.extract_tb(caught.value.__traceback__)[-1]
    assert last.filename == __file__


def test_override_makes_another_task_of_the_same_function(connected, ti):
    poster = flux_task(poll_interval=0.05, flux_params={"seed": 1})(returning("a mug"))
    with dag():
        poster()
        other = poster.override(task_id="other", flux_params={"seed": 2})().operator
    other.execute({"ti": ti})
    assert other.task_id == "other"
    assert connected.state.jobs[0].input["fluxParams"] == {"seed": 2}


def test_mapped_tasks_are_labelled_with_their_prompt_unless_told_otherwise():
    with dag():
        made = flux_task(task_id="a")(lambda what: what).expand(what=["mug"]).operator
        named = flux_task(map_index_template="{{ task.model }}", task_id="b")(lambda what: what)
        other = named.expand(what=["mug"]).operator
    assert made.partial_kwargs["map_index_template"] == FluxGenerateOperator.map_index_label
    assert other.partial_kwargs["map_index_template"] == "{{ task.model }}"


@pytest.mark.parametrize("save_to", ["/tmp/posters/poster.png", "/tmp/{{ ds }}/poster.png"])
def test_mapped_tasks_that_would_write_one_file_pay_nothing(save_to, connected, ti):
    ti.map_index = 1
    with pytest.raises(AirflowFailException, match="all mapped tasks would write this one file"):
        operator(returning("a mug"), save_to=save_to).execute({"ti": ti})
    assert connected.state.requests == {}


def test_the_output_of_another_task_is_what_the_function_takes():
    with dag():

        @task
        def products() -> list[str]:
            return ["mug"]

        made = flux_task(task_id="poster")(lambda what: what)(products()).operator
    assert made.upstream_task_ids == {"products"}


PNG = bytes.fromhex(
    "89504e470d0a1a0a0000000d4948445200000001000000010802000000907753de"
    "0000000c49444154789c63f8ffff3f0005fe02fea735816d0000000049454e44ae426082"
)
