"""ReviewOperator: the form in which a person chooses an image (Airflow 3.1+)."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any, cast
from uuid import UUID

from airflow.providers.common.compat.sdk import (
    AirflowFailException,
    AirflowOptionalProviderFeatureException,
    Param,
    conf,
)

from airflow_provider_apiframe.api.params.catalog import PROMPT_MAX_LENGTH
from airflow_provider_apiframe.delivery.lettering import Reading
from airflow_provider_apiframe.delivery.result import ImageJobResult
from airflow_provider_apiframe.delivery.review_form import (
    Candidate,
    ImageLink,
    form_text,
    image_links,
    lettering_texts,
)
from airflow_provider_apiframe.delivery.review_result import Decision, ReviewRound, Shown
from airflow_provider_apiframe.operators.review_round import (
    REGION_KEY,
    of_candidates,
    round_of,
)
from airflow_provider_apiframe.version_compat import region_of

try:
    from airflow.providers.standard.operators.hitl import HITLOperator
    from airflow.sdk.definitions.param import ParamsDict
except (ImportError, AirflowOptionalProviderFeatureException):
    raise AirflowOptionalProviderFeatureException(
        "review_images needs Airflow 3.1 or newer and its standard provider: "
        "pip install 'apache-airflow>=3.1' apache-airflow-providers-standard"
    ) from None

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

AGAIN = "New images"
NOTHING = "None of these"

PROMPT_PARAM = "new_prompt"
SHOWN_KEY = "shown"
"""Under this XCom key a form keeps what it shows, a ``Shown``."""

_HAS_RESPONSE_TIMEOUT = "response_timeout" in inspect.signature(HITLOperator.__init__).parameters


class ReviewOperator(HITLOperator):
    """Show the candidates of a round and wait for a person's answer.

    Pays nothing. What is chosen is what was shown: a candidate that was made anew since then takes
    no one's place.

    :param plan: task id of the round's plan.
    :param images: task id of its candidates.
    :param lettering: task id of what read their words, None where nothing did.
    :param candidates: how many.
    :param rounds: how many rounds there are at most.
    :param max_credits: credits that all rounds may cost together, None without a limit.
    :param default: "first" takes the first candidate when the time is over; None takes none.
    :param response_timeout: how long the form waits; None waits for ever.
    :param subject: the form's headline. Templated.
    :param kwargs: what Airflow's ``HITLOperator`` takes: ``assigned_users``, ``notifiers`` ...
    :returns: a :class:`airflow_provider_apiframe.delivery.review_result.Decision`.
    :raises AirflowFailException: the round has no image to show.
    """

    # Without the body, which is made here and may hold braces of a prompt.
    template_fields: Sequence[str] = ("subject",)
    ui_color = "#efe4fb"

    def __init__(
        self,
        *,
        plan: str,
        images: str,
        lettering: str | None,
        candidates: int,
        rounds: int,
        max_credits: float | None,
        default: str | None,
        response_timeout: timedelta | None,
        **kwargs: Any,
    ) -> None:
        timeout = "response_timeout" if _HAS_RESPONSE_TIMEOUT else "execution_timeout"
        # Airflow adds the DAG's params, which are no questions of this form.
        kwargs |= {"params": {}, timeout: response_timeout}
        super().__init__(
            options=[*map(_option, range(1, candidates + 1)), AGAIN, NOTHING], **kwargs
        )
        self.params = ParamsDict({PROMPT_PARAM: _prompt_param("")})
        self.plan = plan
        self.images = images
        self.lettering = lettering
        self.candidates = candidates
        self.rounds = rounds
        self.max_credits = max_credits
        self.default = default

    def execute(self, context: Context) -> Any:
        """Make the form and wait."""
        shown = self._what_to_show(context)
        context["ti"].xcom_push(key=SHOWN_KEY, value=shown)
        made = [number for number, result in enumerate(shown["results"], 1) if result]
        go_on = [AGAIN] if shown["can_go_on"] else []
        self.options = [*map(_option, made), *go_on, NOTHING]
        self.defaults = [_option(made[0])] if self.default == "first" else None
        prompt = {PROMPT_PARAM: _prompt_param(shown["round"]["prompt"])}
        self.params = ParamsDict(prompt if shown["can_go_on"] else {})
        remark, lettering = lettering_texts(self._readings(context))
        self.body = form_text(
            shown["round"],
            self._candidates(context, shown, lettering),
            rounds=self.rounds,
            spent=shown["spent"],
            max_credits=self.max_credits,
            can_go_on=shown["can_go_on"],
            again=AGAIN,
            nothing=NOTHING,
            remark=remark,
        )
        self._check_what_is_asked(context["ti"].id, shown["results"])
        return super().execute(context)

    def execute_complete(self, context: Context, event: dict[str, Any]) -> Decision:
        """Return what the answer, or the end of the time, decides."""
        shown = cast(Shown, context["ti"].xcom_pull(task_ids=self.task_id, key=SHOWN_KEY))
        decision = Decision(
            round=shown["round"]["number"],
            image=None,
            result=None,
            again=False,
            prompt=shown["round"]["prompt"],
            spent=shown["spent"],
            chosen_by=None,
            reason=None,
        )
        if event.get("error_type") == "timeout":
            decision["reason"] = "nobody answered in time"
            return decision
        answer = super().execute_complete(context, event)
        (option,) = answer["chosen_options"]
        user = answer["responded_by_user"]
        decision["chosen_by"] = user["name"] if user else None
        if option == AGAIN and shown["can_go_on"]:
            decision["again"] = True
            edited = str(answer["params_input"].get(PROMPT_PARAM) or "").strip()
            decision["prompt"] = edited or decision["prompt"]
            decision["reason"] = f"{decision['chosen_by']} asked for new images"
        elif option in (AGAIN, NOTHING):
            decision["reason"] = f"{decision['chosen_by']} chose none of the images"
        else:
            index = self.options.index(option)
            decision["image"], decision["result"] = index + 1, shown["results"][index]
        return decision

    def _check_what_is_asked(self, ti_id: UUID, results: Sequence[ImageJobResult | None]) -> None:
        """Refuse to ask with a form that shows other images than there are now.

        Before Airflow 3.4 a task that is tried again, or cleared, keeps its first form.
        """
        kept = kept_form(self, ti_id)
        if kept is None:
            return
        for number, result in enumerate(results, 1):
            if _option(number) in kept.options and (
                result is None or result["job_id"] not in (kept.body or "")
            ):
                raise AirflowFailException(
                    f"Image {number} was made anew after the form had shown it, and this Airflow "
                    "(before 3.4) cannot replace a form: it would show the old image. Start a new "
                    "run to be asked about new images. Clearing only this task asks about the "
                    "same images again."
                )

    def _what_to_show(self, context: Context) -> Shown:
        planned = round_of(context, self.plan)
        if planned is None:
            raise AirflowFailException(f"There is no round to show; see the task {self.plan}")
        results = of_candidates(context, self.images, self.candidates)
        if not any(results):
            reasons = "; ".join(
                f"image {index + 1}: {self._failure(context, index)}"
                for index in range(self.candidates)
            )
            raise AirflowFailException(
                f"Round {planned['number']}: none of the {self.candidates} images was made: "
                f"{reasons}"
            )
        spent = self._spent(context, planned, results)
        affordable = (
            self.max_credits is None
            or planned["price"] is None
            or spent + planned["price"] * self.candidates <= self.max_credits
        )
        return Shown(
            round=planned,
            results=results,
            spent=spent,
            can_go_on=affordable and planned["number"] < self.rounds,
        )

    def _spent(
        self, context: Context, planned: ReviewRound, results: Sequence[ImageJobResult | None]
    ) -> float:
        """Return what all rounds cost so far; whatever is not known counts with the highest
        price."""
        accepted = of_candidates(context, self.images, self.candidates, key="job_id")
        unknown = planned["price"] or 0
        spent = planned["spent"]
        for result, job_id in zip(results, accepted, strict=True):
            if result or job_id:
                cost = result["credit_cost"] if result else None
                spent += unknown if cost is None else cost
        return spent

    def _candidates(
        self, context: Context, shown: Shown, lettering: Sequence[str | None]
    ) -> list[Candidate]:
        made: list[Candidate] = []
        for index, (result, words) in enumerate(zip(shown["results"], lettering, strict=True)):
            seed = shown["round"]["seeds"][index]
            if result is None:
                made.append(Candidate(None, (), None, seed, failure=self._failure(context, index)))
            else:
                links = self._links(context, index, result)
                cost = result["credit_cost"]
                made.append(Candidate(result["job_id"], links, cost, seed, words))
        return made

    def _readings(self, context: Context) -> list[Reading | None]:
        pulled = context["ti"].xcom_pull(task_ids=self.lettering) if self.lettering else None
        return list(pulled or [None] * self.candidates)

    def _links(self, context: Context, index: int, result: ImageJobResult) -> tuple[ImageLink, ...]:
        ti = context["ti"]
        region = None
        if region_of(ti):
            region = ti.xcom_pull(task_ids=self.images, key=REGION_KEY, map_indexes=index)
        coordinates = {
            "dag_id": ti.dag_id,
            "run_id": ti.run_id,
            "task_id": self.images,
            "map_index": index,
            **(region or {}),
        }
        base_url = conf.get("api", "base_url", fallback=None)
        return image_links(result, base_url=base_url, coordinates=coordinates)

    def _failure(self, context: Context, index: int) -> str:
        """Return why a candidate has no image."""
        pushed = context["ti"].xcom_pull(task_ids=self.images, key="failure", map_indexes=index)
        return pushed["reason"] if pushed else f"see the log of {self.images}, map index {index}"


def kept_form(form: ReviewOperator, ti_id: UUID) -> Any:
    """Hand a form to Airflow, and return the one that it keeps: ``options``, ``body``.

    Airflow's own ``upsert_hitl_detail`` does the same and drops the answer.
    """
    from airflow.sdk.execution_time.comms import CreateHITLDetailPayload
    from airflow.sdk.execution_time.task_runner import SUPERVISOR_COMMS

    return SUPERVISOR_COMMS.send(
        CreateHITLDetailPayload(
            ti_id=ti_id,
            options=form.options,
            subject=form.subject,
            body=form.body,
            defaults=form.defaults,
            params=form.serialized_params,
            assigned_users=form.assigned_users or [],
        )
    )


def _option(number: int) -> str:
    return f"Image {number}"


def _prompt_param(prompt: str) -> Param:
    return Param(
        prompt,
        type="string",
        title="Prompt of the new images",
        description=f"Counts with {AGAIN!r} only. As it is, it makes other images by other seeds",
        maxLength=PROMPT_MAX_LENGTH,
        format="multiline",
    )
