from __future__ import annotations

import pytest
from airflow.providers.common.compat.sdk import task_group
from reviewer import Reviewer, has_forms_in_test_runs

IS_LOOP = hasattr(task_group(group_id="a_group")(lambda: None), "loop")

DAG = """
    from airflow.providers.common.compat.sdk import DAG, task
    from airflow_provider_apiframe.operators.review import review_images

    with DAG("reviewed", schedule=None):
        chosen = review_images({arguments})

        @task
        def publish(urls):
            return list(urls)

        publish(chosen["image_urls"])
"""


@pytest.fixture
def review(connected, run_dag):
    if not has_forms_in_test_runs():
        pytest.skip("Airflow 3.3 and newer have forms in dag.test()")

    def review(arguments, *answers):
        with Reviewer(answers) as reviewer:
            run = run_dag("reviewed", DAG.format(arguments=arguments))
        return run, reviewer

    return review


def states(run, task, number=None):
    """The states of a task's instances, of a round where there is a number."""
    if number is None:
        return {*run.states(f"review_images.{task}" if task != "publish" else task)}
    if IS_LOOP:
        return {*run.states(f"review_images.rounds.{task}")}
    return {*run.states(f"review_images.{task}_{number}")}


def test_the_image_that_a_person_chose_is_the_one_that_goes_on(connected, review):
    run, reviewer = review('3, prompt="a mug"', ("Image 2", {}))
    (form,) = reviewer.forms
    assert form["options"] == ["Image 1", "Image 2", "Image 3", "New images", "None of these"]
    chosen = run.xcom("review_images.chosen")
    second = connected.state.job(chosen["job_id"])
    assert second.input["fluxParams"]["seed"] == min(seeds(connected)) + 1
    assert (chosen["round"], chosen["image"], chosen["credits_of_review"]) == (1, 2, 36)
    assert chosen["chosen_by"]
    assert run.xcom("publish") == chosen["image_urls"]
    assert run.xcom("review_images.chosen", "_link_ImageLink") == chosen["image_urls"][0]
    assert connected.state.jobs_paid == 3
    for link in (link for job in connected.state.jobs for link in [f"/images/{job.id}-1."]):
        assert link in form["body"]


def seeds(sandbox):
    return [job.input["fluxParams"]["seed"] for job in sandbox.state.jobs]


def test_a_rejected_round_is_made_anew_with_the_edited_prompt(connected, review):
    def reject(form):
        assert form["params"]["new_prompt"]["value"] == "a mug"
        return "New images", {"new_prompt": "a {{ run_id }} cup"}

    run, reviewer = review('2, prompt="a mug", rounds=2', reject, ("Image 1", {}))
    prompts = [job.input["prompt"] for job in connected.state.jobs]
    assert prompts == ["a mug"] * 2 + ["a {{ run_id }} cup"] * 2  # a reader's text is no template
    assert len(set(seeds(connected))) == 4
    assert reviewer.forms[1]["options"] == ["Image 1", "Image 2", "None of these"]
    assert reviewer.forms[1]["params"] == {}
    chosen = run.xcom("review_images.chosen")
    assert (chosen["prompt"], chosen["round"]) == ("a {{ run_id }} cup", 2)
    assert chosen["credits_of_review"] == 48


@pytest.mark.skipif(IS_LOOP, reason="a loop of Airflow 3.4 has no round that it does not need")
def test_rounds_that_are_not_needed_are_skipped(connected, review):
    run, _ = review('1, prompt="a mug", rounds=2, lettering=True', ("Image 1", {}))
    for task in ("plan", "candidates", "lettering", "review"):
        assert states(run, task, 2) == {"skipped"}
    assert states(run, "publish") == {"success"}
    assert connected.state.jobs_paid == 1


@pytest.mark.parametrize(("without_choice", "state"), [("skip", "skipped"), ("fail", "failed")])
def test_without_a_choice_nothing_is_published(connected, review, without_choice, state):
    run, _ = review(f'1, prompt="a mug", without_choice="{without_choice}"', ("None of these", {}))
    assert states(run, "chosen") == {state}
    assert states(run, "publish") == {"skipped" if state == "skipped" else "upstream_failed"}
    assert connected.state.jobs_paid == 1


def test_the_form_offers_no_round_that_the_credits_do_not_cover(connected, review):
    # Two more would cost 24.
    _, reviewer = review('2, prompt="a mug", max_credits=40', ("None of these", {}))
    (form,) = reviewer.forms
    assert form["options"] == ["Image 1", "Image 2", "None of these"]
    assert "24 credits spent of at most 40" in form["body"]
    assert "the credits are used up" in form["body"]


def test_a_first_round_beyond_the_credits_is_refused_before_anything_is_paid(connected, review):
    run, _ = review('4, prompt="a mug", max_credits=12')
    assert states(run, "plan", 1) == {"failed"}
    assert connected.state.jobs_created == 0


def test_a_form_shows_the_images_that_were_made(connected, review):
    connected.faults.next("generate", status=400, body={"error": "Refused"})
    # Which of the two Airflow starts first, and so which is refused, is by chance.
    run, reviewer = review('2, prompt="a mug"', lambda form: (form["options"][0], {}))
    assert states(run, "candidates", 1) == {"failed", "success"}
    (form,) = reviewer.forms
    made, *others = form["options"]
    assert made in ("Image 1", "Image 2")
    assert others == ["New images", "None of these"]
    assert "| **Image 1** | **Image 2** |" in form["body"]
    assert form["body"].count("Not made: ") == form["body"].count("![Image") == 1
    assert f"![{made}]" in form["body"]
    assert states(run, "publish") == {"success"}


def test_a_round_without_any_image_fails_with_a_reason(connected, review):
    run, _ = review('2, prompt="a mug [fail: NSFW content]"')
    assert states(run, "review", 1) == {"failed"}
    assert states(run, "chosen") == {"upstream_failed"}
