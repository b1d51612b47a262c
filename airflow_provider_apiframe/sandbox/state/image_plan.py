"""What the images of a job are to be: how many, how large, and from which image."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from airflow_provider_apiframe.sandbox.state.image_size import Size, image_size, input_urls
from airflow_provider_apiframe.sandbox.state.input_images import UNFETCHABLE, Input, InputImages
from airflow_provider_apiframe.sandbox.state.models import MODELS

GRID = 4  # images that Midjourney makes at once
OUTPUTS = ("num_outputs", "number_of_images", "n", "num_images")  # the families' names for it

Box = tuple[int, int, int, int]  # left, top, width, height in pixels
CutOut = Literal["rgba", "map", "green", "white", "blur", "overlay"]


@dataclass(frozen=True, slots=True)
class ImagePlan:
    """What the images of a job are to be.

    :param model: model id.
    :param prompt: what is written on the image.
    :param params: the parameters that came with the request, empty for none.
    :param cost: credits.
    :param size: width and height in pixels.
    :param count: how many images, 1 or more.
    :param grid: whether there is an image of all images, too (Midjourney).
    :param source: the first input image, where it is an upload or an image of this sandbox.
    :param box: where the source is put as it is; None where it only shows through.
    :param mask: the image in whose white parts the source is drawn anew; None for no part.
    :param cut_out: what becomes of the source's background; None where it stays.
    :param failure: the error that the job ends with, None for none.
    """

    model: str
    prompt: str
    params: Mapping[str, Any]
    cost: int
    size: Size
    count: int = 1
    grid: bool = False
    source: Input | None = field(default=None, repr=False)
    box: Box | None = None
    mask: Input | None = field(default=None, repr=False)
    cut_out: CutOut | None = None
    failure: str | None = None

    @property
    def format(self) -> str:
        """The extension of the images' names: png, jpg, jpeg or webp."""
        return str(self.params.get("output_format") or self.params.get("format") or "png")


def params_of(body: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the parameters of a valid body: the one object in it, empty where there is none."""
    return next((body[name] for name in body if name.endswith("Params")), {})


def plan_generation(body: Mapping[str, Any], inputs: InputImages) -> ImagePlan:
    """Return the plan of a valid body of POST /v2/images/generate."""
    model, params = MODELS[body["model"]], params_of(body)
    is_grid = model.id == "midjourney"
    outputs = next((int(params[name]) for name in OUTPUTS if name in params), 1)
    urls = input_urls(params)
    failure = None if all(map(inputs.can_fetch, urls)) else UNFETCHABLE
    size: Size = (0, 0)
    try:
        size = image_size(params, inputs.size)
    except ValueError as undrawable:
        failure = failure or str(undrawable)
    return ImagePlan(
        model=model.id,
        prompt=body["prompt"],
        params=params,
        cost=model.cost(outputs),
        size=size,
        count=GRID if is_grid else outputs,
        grid=is_grid,
        source=inputs.find(urls[0]) if urls else None,
        failure=failure,
    )
