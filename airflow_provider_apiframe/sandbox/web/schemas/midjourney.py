"""Midjourney: generations, and actions on the jobs that they made."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal, Required

from pydantic import AfterValidator, BeforeValidator, with_config
from typing_extensions import TypedDict

from airflow_provider_apiframe.sandbox.web.schemas.fields import (
    STRICT,
    Generation,
    Number,
    Ratio,
    Submission,
    Text2000,
    Uuid,
    length,
    one_of,
)

LONGEST_MASK = 12_000_000  # characters of base64

Index = Annotated[Number, BeforeValidator(one_of(1, 2, 3, 4))]


@with_config(STRICT)
class Params(TypedDict, total=False):
    """The `midjourneyParams`."""

    aspect_ratio: Ratio


@with_config(STRICT)
class Body(Generation, total=False):
    """A generation of four images."""

    midjourneyParams: Params


@with_config(STRICT)
class Action(Submission, total=False):
    """What all actions have in common."""

    parentJobId: Required[Uuid]
    action: Required[str]


@with_config(STRICT)
class IndexedAction(Action, total=False):
    """Upsample or vary one of the four images of a parent."""

    index: Required[Index]


@with_config(STRICT)
class Inpaint(Action, total=False):
    """Draw a part of an upsampled image again."""

    mask: Required[Annotated[str, AfterValidator(length(1, LONGEST_MASK))]]
    prompt: Text2000


@with_config(STRICT)
class Outpaint(Action, total=False):
    """Zoom out of an upsampled image."""

    zoomRatio: Required[Annotated[Number, BeforeValidator(one_of(1.5, 2))]]


@with_config(STRICT)
class Pan(Action, total=False):
    """Go on in one direction from an upsampled image."""

    direction: Required[Literal["up", "down", "left", "right"]]


BODIES: Mapping[str, type] = {"midjourney": Body}

ACTIONS: Mapping[str, type] = {
    "upsample": IndexedAction,
    "variation": IndexedAction,
    "inpaint": Inpaint,
    "outpaint": Outpaint,
    "pan": Pan,
}
