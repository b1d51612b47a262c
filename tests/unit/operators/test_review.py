from __future__ import annotations

import datetime
import importlib
import json
import subprocess
import sys
import uuid
from types import SimpleNamespace

import pytest
from airflow.providers.common.compat.sdk import (
    DAG,
    AirflowFailException,
    AirflowOptionalProviderFeatureException,
    task,
)
from reviewer import has_forms

from airflow_provider_apiframe.exceptions import InvalidParameterError
from airflow_provider_apiframe.operators.flux import FluxGenerateOperator


@pytest.mark.skipif(has_forms(), reason="this Airflow has forms for running tasks")
def test_without_forms_the_import_says_what_is_needed():
    with pytest.raises(
        AirflowOptionalProviderFeatureException, match=r"needs Airflow 3\.1 or newer"
    ):
        importlib.import_module("airflow_provider_apiframe.operators.review")


if not has_forms():
    pytest.skip("Airflow 3.1 and newer have forms", allow_module_level=True)

from airflow_provider_apiframe.operators.review import decided, review_images  # noqa: E402
from airflow_provider_apiframe.operators.review_form import ReviewOperator  # noqa: E402


def dag() -> DAG:
    return DAG("a_dag", schedule=None, start_date=datetime.datetime(2026, 1, 1))


WRONG = [
    ({"candidates": 0}, ["candidates=0", "a whole number from 1 to 10"]),
    ({"candidates": 11}, ["candidates=11"]),
    ({"candidates": True}, ["candidates=True"]),
    ({"candidates": 4.0}, ["candidates=4.0", "a whole number from 1 to 10"]),
    ({"rounds": "3"}, ["rounds='3'", "a whole number from 1 to 10"]),
    ({"rounds": 0}, ["rounds=0", "a whole number from 1 to 10"]),
    ({"default": "last"}, ["default='last'", '"first" or None']),
    ({"without_choice": "retry"}, ["without_choice='retry'", '"skip" or "fail"']),
    ({"lettering": "yes"}, ["lettering='yes'", "True or False"]),
    ({"response_timeout": 60}, ["response_timeout=60", "a timedelta above 0"]),
    ({"response_timeout": datetime.timedelta(0)}, ["response_timeout=", "a timedelta above 0"]),
    ({"max_credits": 0}, ["max_credits=0"]),
    ({"prompt": ""}, ["prompt=''"]),
    ({"flux_params": {"steps": 51}}, ["steps=51", "1 to 50"]),
    ({"wait_for_completion": False}, ["wait_for_completion=False", "decides this itself"]),
    ({"task_id": "x"}, ["task_id='x'"]),
    ({"trigger_rule": "all_done"}, ["trigger_rule='all_done'"]),
    ({"save_to": "s3://bucket/poster.png"}, ["save_to=", "put {job_id} into it"]),
    ({"save_to": "s3://bucket/{map_index}.png"}, ["save_to=", "put {job_id} into it"]),
]


@pytest.mark.parametrize(("arguments", "said"), WRONG)
def test_a_wrong_literal_is_refused_when_the_dag_is_read(arguments, said):
    with dag(), pytest.raises(InvalidParameterError) as caught:
        review_images(**{"prompt": "a mug", "group_id": "poster", **arguments})
    for piece in ("task 'poster': ", *said):
        assert piece in str(caught.value)
    frame = caught.value.__traceback__
    while frame.tb_next:
        frame = frame.tb_next
    assert frame.tb_frame.f_code.co_filename == __file__


@pytest.mark.parametrize(
    "save_to",
    [None, "s3://b/x/", "s3://b/{job_id}.png", "{{ params.output }}", "s3://b/{{ ds }}/"],
)
def test_places_for_all_candidates_are_taken(save_to):
    with dag():
        review_images(prompt="a mug", save_to=save_to)


def test_arguments_go_to_the_tasks_that_take_them():
    with dag() as made:
        review_images(
            2,
            prompt="a mug",
            rounds=1,
            lettering=True,
            save_to="s3://b/x/",
            deferrable=True,
            retries=5,
            execution_timeout=datetime.timedelta(minutes=5),
            response_timeout=datetime.timedelta(hours=1),
            max_credits=100,
        )
    assert {task.retries for task in made.tasks} == {5}
    candidates = made.get_task("review_images.candidates_1")
    assert candidates.partial_kwargs["save_to"] == "s3://b/x/"
    assert candidates.partial_kwargs["deferrable"] is True
    assert "max_credits" not in candidates.partial_kwargs
    form = made.get_task("review_images.review_1")
    limits = {form.execution_timeout, getattr(form, "response_timeout", None)}
    assert limits - {None} == {datetime.timedelta(hours=1)}
    plan = made.get_task("review_images.plan_1")
    assert plan.execution_timeout == datetime.timedelta(minutes=5)


def test_another_tasks_output_may_be_part_of_it():
    with dag() as made:
        photo = FluxGenerateOperator(task_id="photo", prompt="a mug")
        chosen = review_images(
            prompt="the mug on a beach", flux_params={"input_images": [photo.output]}, rounds=1
        )

        @task
        def publish(urls):
            return urls

        publish(chosen["image_urls"])
    assert made.get_task("review_images.plan_1").upstream_task_ids == {"photo"}
    assert made.get_task("publish").upstream_task_ids == {"review_images.chosen"}


def test_the_gallery_learns_from_the_chosen_task_how_to_get_at_its_image():
    with dag() as made:
        review_images(prompt="a mug", rounds=1, save_to="file:///images/", save_conn_id="brand")
    chosen = made.get_task("review_images.chosen")
    assert (chosen.save_to, chosen.save_conn_id) == ("file:///images/", "brand")
    assert {"save_to", "save_conn_id"} <= {*chosen.template_fields}


def test_all_tasks_use_the_connections_that_are_the_default_of_the_dag():
    connections = {"apiframe_conn_id": "studio", "save_conn_id": "brand"}
    with DAG("a_dag", schedule=None, default_args=connections) as made:
        review_images(prompt="a mug", rounds=1, lettering=True, group_id="poster")
    tasks = {task.label: task for task in made.tasks}
    for name in ("plan_1", "lettering_1", "chosen"):
        assert tasks[name].conn_id == "studio"
    for name in ("lettering_1", "chosen"):
        assert tasks[name].save_conn_id == "brand"


def test_two_reviews_may_be_in_one_dag():
    with dag() as made:
        review_images(prompt="a mug", rounds=1, group_id="mug")
        review_images(prompt="a cap", rounds=1, group_id="cap")
    assert {"mug.chosen", "cap.chosen"} <= {*made.task_ids}


def test_importing_it_brings_in_no_http_library_of_ours():
    code = (
        "import airflow.sdk, sys; import airflow.providers.standard.operators.hitl; "
        "before = set(sys.modules); import airflow_provider_apiframe.operators.review; "
        "print({'requests', 'PIL', 'pytesseract', 'fsspec'} & (set(sys.modules) - before))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "set()"


@pytest.mark.parametrize("again", [True, False])
def test_a_loop_goes_on_while_new_images_are_asked_for(again):
    assert decided(loop=SimpleNamespace(result={"again": again})) is not again


def form(**arguments) -> ReviewOperator:
    return ReviewOperator(
        **{
            "task_id": "review",
            "subject": "Choose",
            "plan": "plan",
            "images": "images",
            "lettering": None,
            "candidates": 2,
            "rounds": 2,
            "max_credits": None,
            "default": None,
            "response_timeout": None,
            **arguments,
        }
    )


RESULTS = [
    {"job_id": "j-1", "credit_cost": 12, "images": []},
    {"job_id": "j-2", "credit_cost": 12, "images": []},
]
SHOWN = {
    "round": {"number": 1, "prompt": "a mug", "seeds": [1, 2], "spent": 0.0, "price": None},
    "results": RESULTS,
    "spent": 24.0,
    "can_go_on": True,
}


class Pulls:
    """A task instance for which these XComs are there."""

    dag_id, run_id, id = "a_dag", "a_run", uuid.UUID(int=1)

    def __init__(self, pushed):
        self.pushed = pushed

    def xcom_push(self, key, value):
        self.pushed[("review", key)] = value

    def xcom_pull(self, task_ids, key="return_value", map_indexes=None):
        found = self.pushed.get((task_ids, key))
        if map_indexes is None or isinstance(map_indexes, int):
            return found[map_indexes] if found and map_indexes is not None else found
        return found or [None] * len(map_indexes)


def answered(option, typed=None, user="Ada", **shown):
    context = {"ti": Pulls({("review", "shown"): {**SHOWN, **shown}})}
    event = {
        "chosen_options": [option],
        "params_input": typed or {},
        "responded_at": datetime.datetime.now(datetime.UTC),
        "responded_by_user": user and {"id": "1", "name": user},
        "timedout": user is None,
    }
    return form().execute_complete(context, event)


def test_the_answer_decides_for_the_image_that_was_shown():
    # Not for what the candidate has made since then.
    decision = answered("Image 2", {"new_prompt": "a mug"})
    assert decision == {
        "round": 1,
        "image": 2,
        "result": RESULTS[1],
        "again": False,
        "prompt": "a mug",
        "spent": 24.0,
        "chosen_by": "Ada",
        "reason": None,
    }


@pytest.mark.parametrize(
    ("typed", "prompt"),
    [({"new_prompt": " a cup "}, "a cup"), ({"new_prompt": " "}, "a mug"), ({}, "a mug")],
)
def test_new_images_are_made_by_the_edited_prompt(typed, prompt):
    decision = answered("New images", typed)
    assert (decision["again"], decision["prompt"]) == (True, prompt)


@pytest.mark.parametrize("option", ["New images", "None of these"])
def test_no_round_is_made_that_was_not_offered(option):
    decision = answered(option, can_go_on=False)
    assert (decision["again"], decision["image"]) == (False, None)
    assert decision["reason"] == "Ada chose none of the images"


def test_the_default_that_the_end_of_the_time_takes_is_nobodys_choice():
    decision = answered("Image 1", user=None)
    assert (decision["image"], decision["chosen_by"]) == (1, None)


def test_without_a_default_the_end_of_the_time_chooses_nothing():
    context = {"ti": Pulls({("review", "shown"): SHOWN})}
    event = {"error": "The timeout has passed", "error_type": "timeout"}
    decision = form().execute_complete(context, event)
    assert (decision["again"], decision["image"]) == (False, None)
    assert decision["reason"] == "nobody answered in time"


def test_a_round_without_an_image_fails_with_the_reason_of_each():
    pushed = {
        ("plan", "round"): SHOWN["round"],
        ("images", "failure"): [{"reason": "refused: nudity"}, None],
    }
    with pytest.raises(AirflowFailException) as caught:
        form().execute({"ti": Pulls(pushed)})
    assert str(caught.value) == (
        "Round 1: none of the 2 images was made: image 1: refused: nudity; "
        "image 2: see the log of images, map index 1"
    )


@pytest.mark.parametrize(
    ("costs", "spent"), [([12, 10], 22), ([None, 10], 22), ([12, "lost"], 24), ([12, None], 24)]
)
def test_what_is_not_known_counts_with_the_highest_price(costs, spent):
    results = [None if cost == "lost" else {"credit_cost": cost} for cost in costs]
    pushed = {
        ("plan", "round"): {**SHOWN["round"], "price": 12},
        ("images", "return_value"): results,
        ("images", "job_id"): ["j-1", "j-2"],
    }
    assert form()._what_to_show({"ti": Pulls(pushed)})["spent"] == spent


@pytest.fixture
def ask(monkeypatch):
    """Ask about a round, and return what was sent to Airflow; it keeps *kept* if there is one."""

    def ask(results, kept=None, **arguments):
        sent = []

        class Comms:
            def send(self, msg):
                sent.append(msg)
                return kept

        name = "airflow.sdk.execution_time.task_runner.SUPERVISOR_COMMS"
        monkeypatch.setattr(name, Comms(), raising=False)
        pushed = {("plan", "round"): SHOWN["round"], ("images", "return_value"): results}
        ti = Pulls(pushed)
        try:
            form(**arguments).execute({"ti": ti, "task_instance": ti})
        except BaseException as ended:
            if type(ended).__name__ not in ("TaskAwaitingInput", "TaskDeferred"):
                raise
        ours, airflows = [json.loads(message.model_dump_json()) for message in sent]
        assert ours == airflows
        return airflows

    return ask


def test_the_first_image_there_is_is_the_default(ask):
    assert ask([None, RESULTS[1]], default="first")["defaults"] == ["Image 2"]
    assert ask(RESULTS)["defaults"] is None


def test_only_who_is_named_may_answer(ask):
    ada = {"id": "1", "name": "Ada"}
    assert ask(RESULTS, assigned_users=[ada])["assigned_users"] == [ada]
    assert ask(RESULTS)["assigned_users"] == []


@pytest.mark.parametrize(
    ("options", "body"),
    [
        (["Image 1", "Image 2"], "j-1 j-2"),  # tried again, or cleared alone
        (["Image 2"], "j-2"),  # the first one failed then, and is there now
    ],
)
def test_a_form_that_airflow_kept_may_ask_about_the_same_images(ask, options, body):
    kept = SimpleNamespace(options=[*options, "New images", "None of these"], body=body)
    assert ask(RESULTS, kept)


@pytest.mark.parametrize(
    ("results", "body"), [(RESULTS, "j-1 j-old"), ([RESULTS[0], None], "j-1 j-2")]
)
def test_a_form_that_airflow_kept_approves_no_image_that_it_does_not_show(ask, results, body):
    kept = SimpleNamespace(options=["Image 1", "Image 2"], body=body)
    with pytest.raises(AirflowFailException, match="Image 2 was made anew"):
        ask(results, kept)
