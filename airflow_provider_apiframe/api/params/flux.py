"""The ``fluxParams`` of a request: what may stand in them, in which spelling, and which rules span
several of them.

Two spellings exist. The Flux 2 Flex page writes "1 MP" and has the words "match_input_image" and
"custom" under ``aspect_ratio``; the vendor's OpenAPI file writes "1MP" and has "match_input_image"
under ``resolution``. Both are taken and sent as written; :func:`respell` gives the other one when
the API refuses the first.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import Field, ValidationInfo, model_validator

from airflow_provider_apiframe.api.params.base import (
    BrokenRulesError,
    ModelParams,
    ParseContext,
    Reasons,
)
from airflow_provider_apiframe.api.params.catalog import MODELS
from airflow_provider_apiframe.api.params.fields import Image, Images, JpgPngWebp, Seed

MATCH_INPUT = "match_input_image"

EITHER_SPELLING = (("aspect_ratio", "resolution"), ("aspect_ratio",), ("resolution",))
"""The parameters to respell where it is not known which of them the API refused."""

_SIZE = {"width", "height"}

_Ratio = Annotated[
    str,
    Field(
        pattern=rf"^([1-9][0-9]*:[1-9][0-9]*|{MATCH_INPUT}|custom)$",
        json_schema_extra={"noun": f'a ratio "W:H" such as "16:9", "{MATCH_INPUT}" or "custom"'},
    ),
]
_Resolution = Annotated[
    Literal["0.5 MP", "1 MP", "2 MP", "4 MP", "0.5MP", "1MP", "2MP", "4MP", "match_input_image"],
    Field(
        json_schema_extra={
            "noun": '"0.5 MP", "1 MP", "2 MP", "4 MP" (with or without the space) or '
            f'"{MATCH_INPUT}"'
        }
    ),
]
_Pixels = Annotated[
    int, Field(ge=256, le=2048, json_schema_extra={"noun": "a whole number of pixels"})
]


class FluxParams(ModelParams):
    """The eleven parameters of Flux 2 Flex, and the four that only other Flux models take.

    Only what is set is sent; ``None`` means not set; numbers, booleans and lists may come as text,
    as templates give them. Ranges: OpenAPI GenerateImageRequest. Defaults: the Flux 2 Flex page.
    ``width`` and ``height`` go together and imply ``aspect_ratio="custom"``; "match_input_image"
    goes with ``input_images``. Reference images may be URLs, paths and earlier results, see
    :func:`airflow_provider_apiframe.api.params.references.flat_references`; their number counts
    once all lists are flat.

    :raises InvalidRequestError: naming every wrong parameter, its value and what is allowed.
    """

    prefix: ClassVar[str] = "flux_params: "
    key: ClassVar[str] = "fluxParams"
    image_fields: ClassVar[tuple[str, ...]] = ("input_images", "image_prompt")

    aspect_ratio: _Ratio | None = None
    output_format: JpgPngWebp | None = None
    output_quality: int | None = Field(None, ge=0, le=100, description="no effect for png")
    seed: Seed | None = None
    width: _Pixels | None = None
    height: _Pixels | None = None
    resolution: _Resolution | None = None
    input_images: Images | None = Field(None, max_length=10)
    steps: int | None = Field(None, ge=1, le=50, description="default 30")
    guidance: float | None = Field(None, ge=1.5, le=10, description="default 4.5")
    prompt_upsampling: bool | None = Field(None, description="lets the model rewrite the prompt")
    image_prompt: Image | None = Field(None, description="an image that guides the model")
    image_prompt_strength: float | None = Field(None, ge=0, le=1)
    raw: bool | None = Field(None, description="a less processed look")
    go_fast: bool | None = Field(None, description="speed before quality")

    def to_payload(self) -> dict[str, Any]:
        """Return what is sent: what is set, and "custom" where width and height imply it.

        The docs page says that width and height count only with aspect_ratio "custom". Where the
        API does not know the word it answers 400 before anything is paid; the other way round it
        would quietly paint another size.
        """
        return self.as_dict() | ({"aspect_ratio": "custom"} if self.width else {})

    @classmethod
    def spellings(
        cls, payload: Mapping[str, Any], *, model: str | None
    ) -> Iterator[dict[str, Any]]:
        """Yield *payload*, and the same in each of the other spellings."""
        yield dict(payload)
        for names in EITHER_SPELLING:
            if (other := respell(payload, names, model=model)) is not None:
                yield other

    @model_validator(mode="after")
    def _rules(self, info: ValidationInfo) -> Self:
        """Check the rules that span parameters or depend on the model."""
        context: ParseContext | None = info.context
        if context and (reasons := {**self._wrong_images(context), **self._wrong_size(context)}):
            raise BrokenRulesError(reasons)
        return self

    def _wrong_size(self, context: ParseContext) -> Reasons:
        ratio, model = self.aspect_ratio, context.model
        sides = {name: value for name in sorted(_SIZE) if (value := getattr(self, name))}
        missing = _SIZE - sides.keys() - context.templated
        if ratio not in (None, "custom"):
            reason = f'goes with aspect_ratio "custom" or none, not with {ratio!r}'
            return {name: [reason] for name in sides}
        if len(sides) == 1 and missing:
            return {name: [f"goes with {missing.pop()}, which is not set"] for name in sides}
        if ratio == "custom" and missing == _SIZE:
            return {"aspect_ratio": ['"custom" goes with width and height, which are not set']}
        return {
            name: [f"must be at most {model.max_side} pixels for {model.id}"]
            for name, value in sides.items()
            if model and model.max_side and value > model.max_side
        }

    def _wrong_images(self, context: ParseContext) -> Reasons:
        model = context.model
        if "input_images" in context.templated:
            return {}
        most = model.max_input_images if model else None
        if model and most is not None and len(self.input_images or ()) > most:
            return {"input_images": [f"{model.id} takes up to {most}"]}
        if self.input_images:
            return {}
        takes_images = model is None or "input_images" in model.params
        lacking = "is not set" if takes_images or not model else f"{model.id} does not take"
        reason = f'"{MATCH_INPUT}" goes with input_images, which {lacking}'
        return {
            name: [reason]
            for name in ("aspect_ratio", "resolution")
            if getattr(self, name) == MATCH_INPUT
        }


def respell(
    params: Mapping[str, Any], refused: Collection[str], *, model: str | None = None
) -> dict[str, Any] | None:
    """Say the same in the other spelling.

    :param params: ``fluxParams`` as they were sent.
    :param refused: the names of the parameters the API refused.
    :param model: model id; nothing moves to a parameter that a known model does not take.
    :returns: the other spelling, or None when one of the refused parameters has none.
    """
    known_model = MODELS.get(model or "")
    other = dict(params)
    for name in refused:
        value = params.get(name)
        if name == "resolution" and isinstance(value, str) and value.endswith("MP"):
            number = value.removesuffix("MP").rstrip()
            other["resolution"] = f"{number}MP" if " " in value else f"{number} MP"
        elif name == "aspect_ratio" and value == "custom":
            del other["aspect_ratio"]
        elif name == "aspect_ratio" and value == MATCH_INPUT and "resolution" not in params:
            other["resolution"] = other.pop("aspect_ratio")
        elif name == "resolution" and value == MATCH_INPUT and "aspect_ratio" not in params:
            other["aspect_ratio"] = other.pop("resolution")
        else:
            return None
    if known_model and not other.keys() - params.keys() <= known_model.params:
        return None
    return other if refused else None
