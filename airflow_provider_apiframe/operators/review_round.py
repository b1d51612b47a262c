"""The tasks of a review around its form: what a round makes, what is written in the images, and
which image was chosen."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, cast

from airflow.providers.common.compat.sdk import (
    AirflowFailException,
    AirflowSkipException,
    BaseOperator,
)

from airflow_provider_apiframe.api.params.request import GenerateRequest
from airflow_provider_apiframe.delivery.assets import report_saved_images
from airflow_provider_apiframe.delivery.lettering import Reading, read_lettering, wanted_phrases
from airflow_provider_apiframe.delivery.result import ImageJobResult
from airflow_provider_apiframe.delivery.review_result import Decision, ReviewResult, ReviewRound
from airflow_provider_apiframe.exceptions import fail_without_retry
from airflow_provider_apiframe.hooks.apiframe import ApiframeHook
from airflow_provider_apiframe.links.image import ImageLink, image_url
from airflow_provider_apiframe.literals import as_stored
from airflow_provider_apiframe.operators.flux import FluxGenerateOperator
from airflow_provider_apiframe.submission.budget import check_budget_of_round
from airflow_provider_apiframe.submission.idempotency import IdempotencyScope
from airflow_provider_apiframe.submission.needed_outputs import (
    check_needed_outputs,
    needed_outputs,
)
from airflow_provider_apiframe.version_compat import region_of

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

ROUND_KEY = "round"
"""Under this XCom key a ``ReviewRound`` lies."""

REGION_KEY = "region"
"""Under this XCom key a candidate in a loop of Airflow 3.4 keeps what its REST API calls it."""

_SEEDS = 2**31 - 1000  # what a 32-bit number holds, with room for the candidates after the first


class PlanRoundOperator(BaseOperator):
    """Decide what a round of a review makes: one set of arguments for each candidate.

    Pays nothing. The same prompt gets another seed for each candidate; all tries of this task give
    the same seeds, so that nothing is paid twice.

    :param prompt: of the first round; a later one has the prompt that its reviewer asked for.
        Templated, and so are *model*, *flux_params* and *conn_id*.
    :param model: model id.
    :param flux_params: shared by all candidates. A ``seed`` in it is the first candidate's; the
        next ones count up from it.
    :param conn_id: id of the Airflow connection.
    :param candidates: how many, 1-10.
    :param max_credits: credits that all rounds may cost together, None without a limit.
    :param regenerate_on_clear: as for ``FluxGenerateOperator``.
    :param previous: the decision on the round before this one, None in the first round.
    :param in_loop: whether this is a task of Airflow's loop, which knows the decision itself.
    :raises AirflowSkipException: the round before needs no other one.
    :raises AirflowFailException: an argument is wrong, or the round may cost too much.
    """

    template_fields: Sequence[str] = ("prompt", "model", "flux_params", "conn_id", "previous")
    template_fields_renderers: ClassVar[dict[str, str]] = {"flux_params": "json"}
    ui_color = "#efe4fb"

    def __init__(
        self,
        *,
        prompt: str,
        model: str,
        flux_params: Any,
        conn_id: str,
        candidates: int,
        max_credits: float | None,
        regenerate_on_clear: bool,
        previous: Any = None,
        in_loop: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.prompt = prompt
        self.model = model
        self.flux_params = as_stored(flux_params)
        self.conn_id = conn_id
        self.candidates = candidates
        self.max_credits = max_credits
        self.regenerate_on_clear = regenerate_on_clear
        self.previous = previous
        self.in_loop = in_loop
        self._needed_outputs = needed_outputs(flux_params=flux_params)

    def execute(self, context: Context) -> list[dict[str, Any]]:
        """Return what the candidates are made of, and push the round."""
        previous = self._previous_decision(context)
        if previous and not previous["again"]:
            raise AirflowSkipException(
                f"Round {previous['round']} ended the review: no other one is made"
            )
        with fail_without_retry():
            check_needed_outputs(self, self._needed_outputs)
            request = GenerateRequest.parse(
                prompt=previous["prompt"] if previous else self.prompt,
                model=self.model,
                flux_params=self.flux_params,
            )
            spent = previous["spent"] if previous else 0.0
            price = self._check_budget(request, spent)
        number = previous["round"] + 1 if previous else 1
        seeds = self._seeds(context, request.seed, number)
        params = request.params.as_dict()
        planned = ReviewRound(
            number=number, prompt=request.prompt, seeds=seeds, spent=spent, price=price
        )
        context["ti"].xcom_push(key=ROUND_KEY, value=planned)
        return [
            {"prompt": request.prompt, "flux_params": {**params, "seed": seed}} for seed in seeds
        ]

    def _previous_decision(self, context: Context) -> Decision | None:
        previous = cast(Any, context)["loop"].previous if self.in_loop else self.previous
        return cast("Decision | None", previous)

    def _check_budget(self, request: GenerateRequest, spent: float) -> float | None:
        if self.max_credits is None:
            return None
        return check_budget_of_round(
            ApiframeHook(self.conn_id),
            request,
            self.max_credits,
            images=self.candidates,
            spent=spent,
        )

    def _seeds(self, context: Context, first: int | None, number: int) -> list[int]:
        if first is None:
            # A clear gives other images, as it does for the image of one task.
            scope = IdempotencyScope.of(
                context, retries=self.retries or 0, regenerate_on_clear=self.regenerate_on_clear
            )
            digest = hashlib.sha256(json.dumps([*scope.identity, scope.number]).encode())
            first = int(digest.hexdigest(), 16) % _SEEDS
        else:
            first += (number - 1) * self.candidates
        return list(range(first, first + self.candidates))


class CandidateImageOperator(FluxGenerateOperator):
    """Make one candidate of a review.

    Its prompt and parameters are finished: Airflow would take braces in them for a template, and
    who edits a prompt in a form could read the run's variables and connections that way.
    """

    def execute(self, context: Context) -> ImageJobResult:
        """Say where this is among the rounds, if they are a loop, and make the image."""
        ti: Any = context["ti"]
        if region := region_of(ti):
            region_id, index = region
            ti.xcom_push(key=REGION_KEY, value={"region_id": region_id, "region_index": index})
        return super().execute(context)

    def render_template(self, content: Any, context: Any, *arguments: Any, **named: Any) -> Any:
        """Render what is a template; see above."""
        if content is self.prompt or content is self.flux_params:
            return content
        return super().render_template(content, context, *arguments, **named)


class LetteringOperator(BaseOperator):
    """Read the words in each candidate of a round, and compare them with those that the prompt
    quotes. What cannot be read is said in the result, and fails no task.

    :param plan: task id of the round's plan.
    :param images: task id of its candidates.
    :param candidates: how many.
    :param conn_id: id of the Airflow connection, for images that were not saved. Templated.
    :param save_conn_id: id of the connection of the storage. Templated.
    """

    template_fields: Sequence[str] = ("conn_id", "save_conn_id")
    ui_color = "#efe4fb"

    def __init__(
        self,
        *,
        plan: str,
        images: str,
        candidates: int,
        conn_id: str,
        save_conn_id: str | None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.plan = plan
        self.images = images
        self.candidates = candidates
        self.conn_id = conn_id
        self.save_conn_id = save_conn_id

    def execute(self, context: Context) -> list[Reading | None]:
        """Return what was read in each candidate, None where there is no image."""
        planned = round_of(context, self.plan)
        if planned is None:
            return []
        phrases = wanted_phrases(planned["prompt"])
        if not phrases:
            self.log.info("The prompt quotes no words, so there are none to look for")
            return []
        hook = ApiframeHook(self.conn_id)
        return [
            result and read_lettering(hook, result, phrases, conn_id=self.save_conn_id)
            for result in of_candidates(context, self.images, self.candidates)
        ]


class ChosenImageOperator(BaseOperator):
    """Return the image that was chosen.

    :param decisions: what came of the rounds. Templated.
    :param without_choice: "skip" or "fail": what becomes of this task if no image was chosen.
    :param conn_id: id of the Airflow connection, for the lineage. Templated.
    :param save_to: and *save_conn_id*: of the candidates; the gallery reads here how to get at the
        image. Templated.
    :returns: a :class:`airflow_provider_apiframe.delivery.review_result.ReviewResult`.
    :raises AirflowSkipException, AirflowFailException: no image was chosen; the text says why.
    """

    template_fields: Sequence[str] = ("decisions", "conn_id", "save_to", "save_conn_id")
    ui_color = "#efe4fb"
    operator_extra_links = (ImageLink(),)

    def __init__(
        self,
        *,
        decisions: Any,
        without_choice: str,
        conn_id: str,
        save_to: str | None = None,
        save_conn_id: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(multiple_outputs=True, **kwargs)
        self.decisions = decisions
        self.without_choice = without_choice
        self.conn_id = conn_id
        self.save_to = save_to
        self.save_conn_id = save_conn_id

    def execute(self, context: Context) -> ReviewResult:
        """Return the last round's image, and tell the outlets of it."""
        made = [cast(Decision, decision) for decision in self.decisions if decision]
        last = made[-1]
        result, image = last["result"], last["image"]
        if result is None or image is None:
            text = f"No image was chosen in round {last['round']}: {last['reason']}"
            if self.without_choice == "fail":
                raise AirflowFailException(text)
            raise AirflowSkipException(text)
        ImageLink().show(self, context, image_url(result, context["ti"]))
        report_saved_images(self, context, ApiframeHook(self.conn_id), result)
        self.log.info(
            "Image %d of round %d, chosen by %s",
            image,
            last["round"],
            last["chosen_by"] or "a time-out",
        )
        return ReviewResult(
            **result,
            round=last["round"],
            image=image,
            chosen_by=last["chosen_by"],
            credits_of_review=last["spent"],
        )


def round_of(context: Context, plan: str) -> ReviewRound | None:
    """Return what the task *plan* pushed; None where it failed."""
    pulled = context["ti"].xcom_pull(task_ids=plan, key=ROUND_KEY)
    return cast("ReviewRound | None", pulled if isinstance(pulled, Mapping) else None)


def of_candidates(
    context: Context, images: str, candidates: int, key: str = "return_value"
) -> list[ImageJobResult | Any]:
    """Return what each candidate pushed, None for each that did not."""
    pulled = context["ti"].xcom_pull(task_ids=images, key=key, map_indexes=range(candidates))
    return list(pulled)
