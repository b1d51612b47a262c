"""Which plan belongs to a request."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from airflow_provider_apiframe.sandbox.state.edit_plan import (
    plan_background_removal,
    plan_edit,
    plan_upscale,
)
from airflow_provider_apiframe.sandbox.state.image_plan import ImagePlan, plan_generation
from airflow_provider_apiframe.sandbox.state.input_images import InputImages

TOOLS: Mapping[str, Callable[[Mapping[str, Any], InputImages], ImagePlan]] = {
    "topaz-image-upscale": plan_upscale,
    "clarity-upscale": plan_upscale,
    "flux-fill-pro": plan_edit,
    "bria-bg-remove": plan_background_removal,
    "851-bg-remove": plan_background_removal,
}


def plan_of(body: Mapping[str, Any], inputs: InputImages) -> ImagePlan:
    """Return the plan of a valid body that names a model.

    :raises InvalidInput: the API refuses it before it takes credits, though the schema allows it.
    """
    return TOOLS.get(body["model"], plan_generation)(body, inputs)
