"""The tools that work on an image: upscale, edit, and removal of the background."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal, Required

from pydantic import BeforeValidator, Field, with_config
from typing_extensions import TypedDict

from airflow_provider_apiframe.sandbox.web.schemas.fields import (
    STRICT,
    ImageFormat,
    Integer,
    JpgOrPng,
    Number,
    Prompt,
    Share,
    Submission,
    Text2000,
    Url,
    one_of,
)


@with_config(STRICT)
class TopazParams(TypedDict, total=False):
    """The `topazUpscaleParams`."""

    image: Required[Url]
    upscale_factor: Annotated[Number, BeforeValidator(one_of(1, 2, 4, 6))]
    model_type: Literal[
        "standard-v2", "low-res-v2", "cgi", "high-fidelity-v2", "text-refine", "redefine"
    ]
    face_enhance: bool
    face_enhance_creativity: Share
    face_enhance_strength: Share
    output_format: JpgOrPng
    seed: Integer


@with_config(STRICT)
class TopazBody(Submission, total=False):
    """An upscale by Topaz."""

    model: Required[str]
    topazUpscaleParams: Required[TopazParams]


@with_config(STRICT)
class ClarityParams(TypedDict, total=False):
    """The `clarityUpscaleParams`."""

    image: Required[Url]
    prompt: Text2000
    negative_prompt: Text2000
    scale_factor: Annotated[Number, BeforeValidator(one_of(1, 2, 4, 8))]
    creativity: Share
    resemblance: Annotated[Number, Field(ge=0, le=3)]
    dynamic: Annotated[Number, Field(ge=1, le=50)]
    num_inference_steps: Annotated[Integer, Field(ge=1, le=100)]
    sharpen: Annotated[Number, Field(ge=0, le=10)]
    output_format: ImageFormat
    seed: Integer


@with_config(STRICT)
class ClarityBody(Submission, total=False):
    """An upscale by Clarity."""

    model: Required[str]
    clarityUpscaleParams: Required[ClarityParams]


@with_config(STRICT)
class FillParams(TypedDict, total=False):
    """The `fluxFillParams`."""

    image: Required[Url]
    prompt: Required[Prompt]
    mode: Required[Literal["inpaint", "outpaint"]]
    mask: Url
    outpaint: Literal[
        "Zoom out 1.5x",
        "Zoom out 2x",
        "Make square",
        "Left outpaint",
        "Right outpaint",
        "Top outpaint",
        "Bottom outpaint",
    ]
    steps: Annotated[Integer, Field(ge=1, le=50)]
    guidance: Annotated[Number, Field(ge=2, le=5)]
    safety_tolerance: Annotated[Integer, Field(ge=1, le=6)]
    output_format: JpgOrPng
    seed: Integer
    prompt_upsampling: bool


@with_config(STRICT)
class FillBody(Submission, total=False):
    """An edit by Flux Fill."""

    model: Required[str]
    fluxFillParams: Required[FillParams]


@with_config(STRICT)
class BriaParams(TypedDict, total=False):
    """The `briaBgRemoveParams`."""

    image: Required[Url]
    content_moderation: bool


@with_config(STRICT)
class BriaBody(Submission, total=False):
    """A removal of the background by Bria."""

    model: Required[str]
    briaBgRemoveParams: Required[BriaParams]


@with_config(STRICT)
class Lab851Params(TypedDict, total=False):
    """The `lab851BgRemoveParams`."""

    image: Required[Url]
    background_type: Literal["rgba", "map", "green", "white", "blur", "overlay"]
    format: JpgOrPng
    reverse: bool
    threshold: Share


@with_config(STRICT)
class Lab851Body(Submission, total=False):
    """A removal of the background by 851 Labs."""

    model: Required[str]
    lab851BgRemoveParams: Required[Lab851Params]


UPSCALES: Mapping[str, type] = {"topaz-image-upscale": TopazBody, "clarity-upscale": ClarityBody}
EDITS: Mapping[str, type] = {"flux-fill-pro": FillBody}
BACKGROUND_REMOVALS: Mapping[str, type] = {"bria-bg-remove": BriaBody, "851-bg-remove": Lab851Body}
