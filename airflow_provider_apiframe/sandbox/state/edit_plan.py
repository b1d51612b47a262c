"""Plans of the jobs that work on one image: upscale, edit and removal of the background."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from airflow_provider_apiframe.sandbox.state.image_plan import Box, ImagePlan, params_of
from airflow_provider_apiframe.sandbox.state.image_size import Size, capped
from airflow_provider_apiframe.sandbox.state.input_images import UNFETCHABLE, InputImages
from airflow_provider_apiframe.sandbox.state.models import MODELS, topaz_cost

UNKNOWN_SIZE: Size = (1024, 1024)  # of an image from elsewhere, which the sandbox doesn't fetch
FACTOR = 2  # of an upscale that names none; the vendor names no default


class InvalidInput(Exception):
    """What the API refuses before it takes credits, though the schema allows it.

    :ivar path: dotted path of what is wrong.
    :ivar text: what is wrong.
    """

    def __init__(self, path: str, text: str) -> None:
        super().__init__(path, text)
        self.path = path
        self.text = text


class Canvas(NamedTuple):
    """A size in pixels, and where in it the input image lies."""

    size: Size
    box: Box


def canvas(size: Size, width: float, height: float, x: float, y: float, scale: float = 1) -> Canvas:
    """Return the canvas of an input image on one of another size.

    :param size: of the input image in pixels.
    :param width: of the canvas, as a share of the input's.
    :param height: of the canvas, as a share of the input's.
    :param x: 0-1, where the input lies between the left and the right of the canvas.
    :param y: 0-1, where it lies between top and bottom.
    :param scale: of the input on the canvas, 1 for its own size.
    """
    whole = capped(size[0] * width, size[1] * height)
    shrink = scale * min(whole[0] / (size[0] * width), whole[1] / (size[1] * height))
    inner = max(1, round(size[0] * shrink)), max(1, round(size[1] * shrink))
    left, top = round((whole[0] - inner[0]) * x), round((whole[1] - inner[1]) * y)
    return Canvas(whole, (left, top, *inner))


def _square(size: Size) -> Canvas:
    side = max(size)
    return canvas(size, side / size[0], side / size[1], 0.5, 0.5)


# By `outpaint` of flux-fill-pro.
OUTPAINTS: Mapping[str, Callable[[Size], Canvas]] = {
    "Zoom out 1.5x": lambda size: canvas(size, 1.5, 1.5, 0.5, 0.5),
    "Zoom out 2x": lambda size: canvas(size, 2, 2, 0.5, 0.5),
    "Make square": _square,
    "Left outpaint": lambda size: canvas(size, 1.5, 1, 1, 0),
    "Right outpaint": lambda size: canvas(size, 1.5, 1, 0, 0),
    "Top outpaint": lambda size: canvas(size, 1, 1.5, 0, 1),
    "Bottom outpaint": lambda size: canvas(size, 1, 1.5, 0, 0),
}


def plan_upscale(body: Mapping[str, Any], inputs: InputImages) -> ImagePlan:
    """Return the plan of a valid body of POST /v2/images/upscale.

    :raises InvalidInput: the input image can't be read, so that there is no price.
    """
    model, params = body["model"], params_of(body)
    url = params["image"]
    if not inputs.can_read(url):
        raise InvalidInput(f"{_params_name(body)}.image", "Could not read the input image")
    factor = params.get("upscale_factor") or params.get("scale_factor") or FACTOR
    size = inputs.size(url) or UNKNOWN_SIZE
    whole = canvas((size[0] * factor, size[1] * factor), 1, 1, 0, 0)
    is_topaz = model == "topaz-image-upscale"
    return ImagePlan(
        model=model,
        prompt=params.get("prompt") or f"Upscaled {factor:g} times",
        params=params,
        cost=topaz_cost(*whole.size) if is_topaz else MODELS[model].cost(1),
        size=whole.size,
        source=inputs.find(url),
        box=whole.box,
    )


def plan_edit(body: Mapping[str, Any], inputs: InputImages) -> ImagePlan:
    """Return the plan of a valid body of POST /v2/images/edit.

    :raises InvalidInput: the mode lacks what OpenAPI says in words that it needs.
    """
    params = params_of(body)
    needed = "mask" if params["mode"] == "inpaint" else "outpaint"
    if needed not in params:
        raise InvalidInput(f"{_params_name(body)}.{needed}", "Required")
    mask = params["mask"] if needed == "mask" else None
    urls = [params["image"], *([mask] if mask else ())]
    size = capped(*(inputs.size(params["image"]) or UNKNOWN_SIZE))
    whole = canvas(size, 1, 1, 0, 0) if mask else OUTPAINTS[params["outpaint"]](size)
    return ImagePlan(
        model=body["model"],
        prompt=params["prompt"],
        params=params,
        cost=MODELS[body["model"]].cost(1),
        size=whole.size,
        source=inputs.find(params["image"]),
        box=whole.box,
        mask=inputs.find(mask) if mask else None,
        failure=None if all(map(inputs.can_read, urls)) else UNFETCHABLE,
    )


def plan_background_removal(body: Mapping[str, Any], inputs: InputImages) -> ImagePlan:
    """Return the plan of a valid body of POST /v2/images/background-remove."""
    params = params_of(body)
    size = capped(*(inputs.size(params["image"]) or UNKNOWN_SIZE))
    return ImagePlan(
        model=body["model"],
        prompt="Background removed",
        params=params,
        cost=MODELS[body["model"]].cost(1),
        size=size,
        source=inputs.find(params["image"]),
        box=(0, 0, *size),
        cut_out=params.get("background_type", "rgba"),
        failure=None if inputs.can_read(params["image"]) else UNFETCHABLE,
    )


def _params_name(body: Mapping[str, Any]) -> str:
    return next(name for name in body if name.endswith("Params"))
