"""The kinds of submissions, and which body each of their models or actions takes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from pydantic import TypeAdapter

from airflow_provider_apiframe.sandbox.web.schemas import (
    alibaba,
    flux,
    google,
    ideogram,
    midjourney,
    openai,
    others,
    tools,
)


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of submission.

    :param discriminator: the field that says which body it is.
    :param bodies: by the values of that field.
    """

    discriminator: str
    bodies: Mapping[str, type]


# By what follows /v2/images/ in the path.
KINDS: Mapping[str, Kind] = {
    "generate": Kind(
        "model",
        {
            **flux.BODIES,
            **midjourney.BODIES,
            **google.BODIES,
            **others.BODIES,
            **ideogram.BODIES,
            **openai.BODIES,
            **alibaba.BODIES,
        },
    ),
    "upscale": Kind("model", tools.UPSCALES),
    "edit": Kind("model", tools.EDITS),
    "background-remove": Kind("model", tools.BACKGROUND_REMOVALS),
    "midjourney/action": Kind("action", midjourney.ACTIONS),
}


@cache
def adapter(body: type) -> TypeAdapter[dict[str, Any]]:
    """Return what validates a body; made once, as that takes longer than to use it."""
    return TypeAdapter(body)
