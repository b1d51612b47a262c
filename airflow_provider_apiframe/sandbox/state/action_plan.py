"""Plans of Midjourney's actions, which go on from an image of an earlier job."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from airflow_provider_apiframe.sandbox.state.edit_plan import Canvas, canvas
from airflow_provider_apiframe.sandbox.state.image_plan import GRID, ImagePlan
from airflow_provider_apiframe.sandbox.state.image_size import Size
from airflow_provider_apiframe.sandbox.state.input_images import JobImage
from airflow_provider_apiframe.sandbox.state.jobs import Job
from airflow_provider_apiframe.sandbox.state.models import action_cost
from airflow_provider_apiframe.sandbox.state.prompt_directives import without_directives

GRID_ACTIONS = ("upsample", "variation")  # OpenAPI: on a parent that made four images
SHOWN = ("action", "index", "zoomRatio", "direction")
UPSAMPLED = 2  # times the sides of the parent's image

# By `direction` of a pan: where on the wider canvas the parent's image lies.
PANS: Mapping[str, Callable[[Size], Canvas]] = {
    "left": lambda size: canvas(size, 1.5, 1, 1, 0),
    "right": lambda size: canvas(size, 1.5, 1, 0, 0),
    "up": lambda size: canvas(size, 1, 1.5, 0, 1),
    "down": lambda size: canvas(size, 1, 1.5, 0, 0),
}


class UnusableParent(Exception):
    """An action that is not available for its parent job (409); the text says why."""


class UnknownParent(Exception):
    """There is no such parent job, or it is another user's (404)."""


def plan_action(body: Mapping[str, Any], parent: Job | None, *, is_ready: bool) -> ImagePlan:
    """Return the plan of a valid body of POST /v2/images/midjourney/action.

    :param body: valid request body.
    :param parent: the submitter's job that it names, None if there is none.
    :param is_ready: whether the parent is completed and its images are still there.
    :raises UnknownParent: there is no parent.
    :raises UnusableParent: it can't be acted on in this way.
    """
    action = body["action"]
    if parent is None:
        raise UnknownParent
    if parent.plan.model != "midjourney":
        raise UnusableParent("The parent job is not a Midjourney job")
    if not is_ready:
        raise UnusableParent("The parent job is not completed, or its images are gone")
    if (action in GRID_ACTIONS) is not parent.plan.grid:
        raise UnusableParent(f"The action '{action}' is not available for the parent job")
    number = int(body.get("index", 1))
    if number > parent.plan.count:
        raise UnusableParent(f"The parent job has no image {number}")
    size = parent.plan.size
    whole = _canvas(body, size)
    is_upsample = action == "upsample"
    return ImagePlan(
        model="midjourney",
        prompt=body.get("prompt") or without_directives(parent.plan.prompt),
        params={name: body[name] for name in SHOWN if name in body},
        cost=action_cost(action),
        size=whole.size if whole else size,
        count=1 if is_upsample else GRID,
        grid=not is_upsample,
        source=JobImage(parent, number),
        box=whole.box if whole else None,
    )


def _canvas(body: Mapping[str, Any], size: Size) -> Canvas | None:
    """Return where the parent's image lies; None where it only shows through."""
    match body["action"]:
        case "upsample":
            return canvas((size[0] * UPSAMPLED, size[1] * UPSAMPLED), 1, 1, 0, 0)
        case "outpaint":
            return canvas(size, 1, 1, 0.5, 0.5, scale=1 / body["zoomRatio"])
        case "pan":
            return PANS[body["direction"]](size)
    return None
