from __future__ import annotations

from types import SimpleNamespace

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException, AirflowSkipException

from airflow_provider_apiframe.operators.review_round import (
    CandidateImageOperator,
    ChosenImageOperator,
    LetteringOperator,
    PlanRoundOperator,
)


def plan(**arguments) -> PlanRoundOperator:
    return PlanRoundOperator(
        **{
            "task_id": "plan",
            "prompt": "a mug",
            "model": "flux-2-flex",
            "flux_params": {"aspect_ratio": "1:1"},
            "conn_id": "apiframe_default",
            "candidates": 3,
            "max_credits": None,
            "regenerate_on_clear": True,
            "retries": 2,
            **arguments,
        }
    )


def decision(**changes):
    return {
        "round": 1,
        "image": None,
        "result": None,
        "again": True,
        "prompt": "a cup",
        "spent": 24.0,
        "chosen_by": "Ada",
        "reason": "Ada asked for new images",
        **changes,
    }


def planned(ti, **arguments):
    return plan(**arguments).execute({"ti": ti})


def seeds(made):
    return [arguments["flux_params"]["seed"] for arguments in made]


def test_each_candidate_has_the_prompt_and_a_seed_of_its_own(ti):
    made = planned(ti)
    first = seeds(made)[0]
    assert made == [
        {"prompt": "a mug", "flux_params": {"aspect_ratio": "1:1", "seed": first + index}}
        for index in range(3)
    ]
    assert ti.xcoms["round"] == {
        "number": 1,
        "prompt": "a mug",
        "seeds": seeds(made),
        "spent": 0.0,
        "price": None,
    }


def test_a_retry_plans_the_same_so_that_nothing_is_paid_twice(ti):
    ti.max_tries = 2
    first = planned(ti)
    ti.try_number = 3
    assert planned(ti) == first


def test_a_clear_plans_other_images_unless_they_are_to_be_kept(ti):
    before, kept = planned(ti), planned(ti, regenerate_on_clear=False)
    ti.try_number, ti.max_tries = 2, 3
    assert seeds(planned(ti)) != seeds(before)
    assert planned(ti, regenerate_on_clear=False) == kept


@pytest.mark.parametrize("place", ["dag_id", "run_id", "task_id"])
def test_another_round_or_run_has_other_seeds(ti, place):
    before = seeds(planned(ti))
    setattr(ti, place, "another")
    assert not {*seeds(planned(ti))} & {*before}


def test_a_seed_that_is_given_is_the_first_candidates(ti):
    assert seeds(planned(ti, flux_params={"seed": 7})) == [7, 8, 9]
    again = planned(ti, flux_params='{"seed": "7"}', previous=decision())
    assert seeds(again) == [10, 11, 12]


def test_the_next_round_has_the_edited_prompt(ti):
    made = planned(ti, previous=decision())
    assert {arguments["prompt"] for arguments in made} == {"a cup"}
    assert (ti.xcoms["round"]["number"], ti.xcoms["round"]["spent"]) == (2, 24.0)


def test_no_round_follows_one_that_ended_the_review(ti):
    with pytest.raises(AirflowSkipException, match="Round 1 ended the review"):
        planned(ti, previous=decision(again=False))


@pytest.mark.parametrize("prompt", ["x" * 2001, "   "])
def test_a_prompt_that_cannot_be_sent_is_refused_before_anything_is_paid(ti, prompt):
    with pytest.raises(AirflowFailException, match="prompt"):
        planned(ti, previous=decision(prompt=prompt))


def test_a_round_within_the_credits_is_planned(ti, connected):
    planned(ti, max_credits=60, previous=decision())  # 24 are spent, 36 more is the price
    assert ti.xcoms["round"]["price"] == 12


def test_a_round_beyond_the_credits_is_refused(ti, connected):
    with pytest.raises(AirflowFailException) as caught:
        planned(ti, max_credits=59, previous=decision())
    assert str(caught.value) == (
        "3 images with model 'flux-2-flex' may cost 36 credits after the 24 that were spent, more "
        "than max_credits=59. Nothing was submitted for them. Raise max_credits, ask for fewer "
        "images or choose a cheaper model."
    )
    assert connected.state.jobs_created == 0


def test_a_round_that_the_team_cannot_pay_is_refused(ti, connected):
    connected.configure(credits=30)
    with pytest.raises(AirflowFailException, match="may cost 36 credits, the team has 30"):
        planned(ti, max_credits=100)


def test_a_model_without_a_price_is_refused_where_there_is_a_limit(ti, connected):
    with pytest.raises(AirflowFailException, match="does not say what an image with model 'new'"):
        planned(ti, model="new", max_credits=100)


def test_braces_in_a_candidates_prompt_are_no_template():
    candidate = CandidateImageOperator(
        task_id="candidate",
        prompt="{{ 1 + 1 }}",
        flux_params={"aspect_ratio": "{{ 1 + 1 }}:1"},
        save_to="s3://bucket/{{ 1 + 1 }}/",
    )
    candidate.render_template_fields({})
    assert candidate.prompt == "{{ 1 + 1 }}"
    assert candidate.flux_params == {"aspect_ratio": "{{ 1 + 1 }}:1"}
    assert candidate.save_to == "s3://bucket/2/"


RESULT = {
    "job_id": "j-2",
    "image_urls": ["https://x/y"],
    "images": [{"url": "https://x/y", "uri": None}],
}


def chosen(decisions, ti, without_choice="skip"):
    operator = ChosenImageOperator(
        task_id="chosen", decisions=decisions, without_choice=without_choice, conn_id="c"
    )
    return operator.execute({"ti": ti})


def test_the_last_round_decides(ti):
    last = decision(round=2, again=False, image=3, result=RESULT, spent=48.0)
    assert chosen([decision(), last, None], ti) == {
        **RESULT,
        "round": 2,
        "image": 3,
        "chosen_by": "Ada",
        "credits_of_review": 48.0,
    }


@pytest.mark.parametrize(
    ("without_choice", "error"), [("skip", AirflowSkipException), ("fail", AirflowFailException)]
)
def test_without_a_choice_it_says_why(without_choice, error, ti):
    with pytest.raises(error, match="No image was chosen in round 1: Ada chose none"):
        chosen([decision(again=False, reason="Ada chose none of them")], ti, without_choice)


class Pulls(SimpleNamespace):
    """A task instance whose upstream tasks have pushed this."""

    def xcom_pull(self, task_ids, key="return_value", map_indexes=None):
        value = self.pushed.get((task_ids, key))
        return value if map_indexes is None else [value] * len(map_indexes)


def lettering(pushed):
    operator = LetteringOperator(
        task_id="lettering",
        plan="plan",
        images="images",
        candidates=2,
        conn_id="apiframe_default",
        save_conn_id=None,
    )
    return operator.execute({"ti": Pulls(pushed=pushed)})


def test_without_words_to_look_for_nothing_is_read():
    assert lettering({("plan", "round"): {"prompt": "a mug"}}) == []


def test_a_candidate_without_an_image_is_not_read():
    assert lettering({("plan", "round"): {"prompt": 'a mug, "HI"'}}) == [None, None]
