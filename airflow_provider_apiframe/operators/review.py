"""review_images: candidates are made, a person chooses one, and only that one goes on."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

from airflow.providers.common.compat.sdk import TaskGroup, task_group

from airflow_provider_apiframe.api.params.catalog import DEFAULT_MODEL
from airflow_provider_apiframe.hooks.apiframe import ApiframeHook
from airflow_provider_apiframe.operators.review_arguments import (
    Default,
    SplitArguments,
    WithoutChoice,
    check_review,
)
from airflow_provider_apiframe.operators.review_form import ReviewOperator
from airflow_provider_apiframe.operators.review_round import (
    CandidateImageOperator,
    ChosenImageOperator,
    LetteringOperator,
    PlanRoundOperator,
)
from airflow_provider_apiframe.version_compat import default_args_around

# What several tasks of a review take, some by another name, so that Airflow cannot fill it in.
_OF_ALL_TASKS = ("apiframe_conn_id", "save_to", "save_conn_id", "regenerate_on_clear")


def review_images(
    candidates: int = 4,
    *,
    prompt: str,
    model: str = DEFAULT_MODEL,
    flux_params: Any = None,
    rounds: int = 3,
    max_credits: float | None = None,
    response_timeout: timedelta | None = None,
    default: Default | None = None,
    without_choice: WithoutChoice = "skip",
    lettering: bool = False,
    subject: str | None = None,
    assigned_users: Any = None,
    notifiers: Any = (),
    group_id: str = "review_images",
    **arguments: Any,
) -> Any:
    """Make candidates, let a person choose one in Airflow's UI, and return that one.

    ``chosen = review_images(4, prompt="...", save_to="s3://bucket/{{ ds }}/", retries=3)``, then
    ``publish(chosen["image_urls"])``. A task group: the candidates are made with other seeds; a
    form shows them; its reader chooses one, or asks for new ones with the prompt as it is or
    edited. Each candidate of each round is paid for, once.

    :param candidates: how many images a round makes, 1-10, default 4.
    :param prompt: of the first round. Templated.
    :param model: and *flux_params*: as for
        :class:`airflow_provider_apiframe.operators.flux.FluxGenerateOperator`. A ``seed`` is the
        first candidate's, and the others count up from it; without one they are derived from the
        run. Templated.
    :param rounds: how often images are made at most, 1-10, default 3.
    :param max_credits: credits that all images of all rounds may cost together, > 0; default: no
        limit. Checked before each round, by the highest price in the vendor's catalogue; the form
        offers a round only if it is within the limit. A clear starts to count anew.
    :param response_timeout: how long a form waits, default: for ever.
    :param default: what the end of that time takes: "first" the first candidate; None (default)
        none.
    :param without_choice: what happens if no image was chosen in the end: "skip" (default) skips
        the task ``chosen`` and, with it, what uses its output; "fail" fails it.
    :param lettering: read the words in each image by OCR, and say in the form whether those that
        the prompt quotes are there. Needs the extra ``ocr`` and the program tesseract on the
        workers; where it cannot run, the form says so.
    :param subject: the form's headline. Templated.
    :param assigned_users: who may answer, as for Airflow's ``HITLOperator``; default: everybody
        who may edit tasks.
    :param notifiers: what tells people of the form, as for ``HITLOperator``.
    :param group_id: of the task group.
    :param arguments: what else ``FluxGenerateOperator`` takes (``apiframe_conn_id``, ``save_to``,
        ``deferrable``, ``timeout`` ...), for the candidates; and what all tasks of Airflow take
        (``retries``, ``pool`` ...), for all tasks of the group. ``outlets`` are those of the chosen
        image.
    :returns: an XComArg: a
        :class:`airflow_provider_apiframe.delivery.review_result.ReviewResult`, each key of which is
        one of its own as well.
    :raises InvalidParameterError: an argument is wrong.
    """
    around = default_args_around()
    arguments = {name: around[name] for name in _OF_ALL_TASKS if name in around} | arguments
    settings = {
        "candidates": candidates,
        "rounds": rounds,
        "default": default,
        "without_choice": without_choice,
        "lettering": lettering,
        "response_timeout": response_timeout,
    }
    of_plan = {"prompt": prompt, "model": model, "flux_params": flux_params}
    check_review(group_id, settings, {**arguments, **of_plan, "max_credits": max_credits})
    split = SplitArguments.of(arguments)
    conn_id = arguments.get("apiframe_conn_id", ApiframeHook.default_conn_name)

    def make_round(previous: Any = None, *, suffix: str = "", in_loop: bool = False) -> Any:
        """Candidates, and the form that shows them."""
        plan = PlanRoundOperator(
            task_id=f"plan{suffix}",
            conn_id=conn_id,
            candidates=candidates,
            max_credits=max_credits,
            regenerate_on_clear=arguments.get("regenerate_on_clear", True),
            previous=previous,
            in_loop=in_loop,
            **of_plan,
            **split.all,
        )
        images = CandidateImageOperator.partial(
            task_id=f"candidates{suffix}",
            model=model,
            map_index_template="Image {{ ti.map_index + 1 }}",
            **split.candidates,
            **split.all,
        ).expand_kwargs(plan.output)
        shared: dict[str, Any] = {
            "plan": plan.task_id,
            "images": images.task_id,
            "candidates": candidates,
            # A failed candidate stops nothing; of a round that is not made all is skipped.
            "trigger_rule": "all_done_min_one_success",
        }
        before: list[Any] = [plan, images]  # of which the plan has to succeed
        if lettering:
            read = LetteringOperator(
                task_id=f"lettering{suffix}",
                conn_id=conn_id,
                save_conn_id=arguments.get("save_conn_id"),
                **shared,
                **split.all,
            )
            before >> read
            before.append(read)
        form = ReviewOperator(
            task_id=f"review{suffix}",
            subject=subject or "Choose an image",
            lettering=read.task_id if lettering else None,
            rounds=rounds,
            max_credits=max_credits,
            default=default,
            response_timeout=response_timeout,
            assigned_users=assigned_users,
            notifiers=notifiers,
            **shared,
            **split.form,
        )
        before >> form
        return form.output

    with TaskGroup(group_id):
        decisions = _rounds(make_round, rounds)
        return ChosenImageOperator(
            task_id="chosen",
            decisions=decisions,
            without_choice=without_choice,
            conn_id=conn_id,
            trigger_rule="none_failed_min_one_success",
            **split.chosen,
            **split.all,
        ).output


def _rounds(make_round: Callable[..., Any], rounds: int) -> Any:
    """Return the decisions of all rounds: a loop of Airflow's own where it has them (3.4+), else a
    row of rounds, of which those that are not needed are skipped."""
    outputs: list[Any] = []

    def one_round() -> None:
        outputs.append(make_round(in_loop=True))

    body: Any = task_group(group_id="rounds")(one_round)
    if rounds > 1 and hasattr(body, "loop"):
        body.loop(max_iterations=rounds, until=decided)
        return outputs[0]
    for number in range(1, rounds + 1):
        outputs.append(make_round(outputs[-1] if outputs else None, suffix=f"_{number}"))
    return outputs


def decided(*, loop: Any) -> bool:
    """The rounds end when no new images are asked for."""
    return not loop.result["again"]
