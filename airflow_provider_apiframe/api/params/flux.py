"""The ``fluxParams`` of a request: what may stand in them, in which spelling, and which rules span
several of them.

Two dialects exist. The Flux 2 Flex page writes "1 MP" and has the words "match_input_image" and
"custom" under ``aspect_ratio``; the vendor's OpenAPI file writes "1MP" and has "match_input_image"
under ``resolution``. Both are taken and sent as written;
:func:`respell` gives the other one when the API refuses the first.
"""

from __future__ import annotations

import ast
import difflib
import json
from collections.abc import Collection, Mapping, Sized
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationError,
)

from airflow_provider_apiframe.api.errors import InvalidRequestError
from airflow_provider_apiframe.api.params.catalog import FLUX_MODELS, FluxModel, models_taking

Reasons = dict[str, list[str]]

MATCH_INPUT = "match_input_image"
_SIZE = {"width", "height"}


def read_literal(text: str) -> Any:
    """Read *text* as JSON or, failing that, as a Python literal: what a Jinja template makes of a
    dict or a list.

    :raises ValueError: if it is neither.
    """
    try:
        return json.loads(text)
    except ValueError:
        try:
            return ast.literal_eval(text.strip())
        except (SyntaxError, ValueError, TypeError, MemoryError, RecursionError):
            raise ValueError("neither JSON nor a Python literal") from None


def _no_bool(value: Any) -> Any:
    # pydantic would read True as 1; nobody means that.
    if isinstance(value, bool):
        raise ValueError("a number is wanted")
    return value


def _list_from_text(value: Any) -> Any:
    return (
        read_literal(value) if isinstance(value, str) and value.lstrip().startswith("[") else value
    )


HttpUrl = Annotated[str, StringConstraints(pattern=r"^https?://[^\s/]+\S*$")]
_Int = Annotated[int, BeforeValidator(_no_bool)]
Number = Annotated[float, BeforeValidator(_no_bool), Field(allow_inf_nan=False)]
_Ratio = Annotated[
    str, StringConstraints(pattern=rf"^([1-9][0-9]*:[1-9][0-9]*|{MATCH_INPUT}|custom)$")
]
_Resolution = Literal[
    "0.5 MP", "1 MP", "2 MP", "4 MP", "0.5MP", "1MP", "2MP", "4MP", "match_input_image"
]

# What is allowed, in words, for the error that names a parameter and its value.
_ALLOWED = {
    "aspect_ratio": f'a ratio "W:H" such as "16:9", "{MATCH_INPUT}" or "custom"',
    "output_format": '"jpg", "png" or "webp"',
    "output_quality": "a whole number from 0 to 100 (no effect for png)",
    "seed": "a whole number",
    "width": "a whole number of pixels from 256 to 2048",
    "height": "a whole number of pixels from 256 to 2048",
    "resolution": f'"0.5 MP", "1 MP", "2 MP", "4 MP" (with or without the space) or "{MATCH_INPUT}"',
    "input_images": "a list of up to 10 http(s) URLs",
    "image_prompt": "one http(s) URL",
    "image_prompt_strength": "a number from 0 to 1",
    "steps": "a whole number from 1 to 50 (default 30)",
    "guidance": "a number from 1.5 to 10 (default 4.5)",
    "prompt_upsampling": "true or false",
    "raw": "true or false",
    "go_fast": "true or false",
}


class FluxParams(BaseModel):
    """The eleven parameters of Flux 2 Flex, and the four that only other Flux models take.

    Only what is set is sent; ``None`` means not set; numbers and lists may come as text, as
    templates give them. Ranges: OpenAPI GenerateImageRequest. Defaults: the Flux 2 Flex page.

    :param aspect_ratio: "W:H", "match_input_image" (with ``input_images``) or "custom" (with
        ``width`` and ``height``).
    :param output_format: "jpg", "png" or "webp".
    :param output_quality: 0-100, no effect for png.
    :param seed: whole number.
    :param width: pixels, 256-2048; only together with ``height``. The two imply
        ``aspect_ratio="custom"``.
    :param height: pixels, 256-2048.
    :param resolution: "0.5 MP", "1 MP", "2 MP", "4 MP" (the space may be left out) or
        "match_input_image".
    :param input_images: up to 10 http(s) URLs of reference images.
    :param steps: 1-50; the API's default is 30.
    :param guidance: 1.5-10; the API's default is 4.5.
    :param prompt_upsampling: let the model rewrite the prompt.
    :param image_prompt: URL of one guiding image (flux-1.1 models).
    :param image_prompt_strength: 0-1 (flux-1.1 models).
    :param raw: less processed look (flux-1.1-pro-ultra).
    :param go_fast: speed before quality (flux-2-dev).
    :raises InvalidRequestError: naming every wrong parameter, its value and what is allowed.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    aspect_ratio: _Ratio | None = None
    output_format: Literal["jpg", "png", "webp"] | None = None
    output_quality: Annotated[_Int, Field(ge=0, le=100)] | None = None
    seed: _Int | None = None
    width: Annotated[_Int, Field(ge=256, le=2048)] | None = None
    height: Annotated[_Int, Field(ge=256, le=2048)] | None = None
    resolution: _Resolution | None = None
    input_images: (
        Annotated[list[HttpUrl], BeforeValidator(_list_from_text), Field(max_length=10)] | None
    ) = None
    steps: Annotated[_Int, Field(ge=1, le=50)] | None = None
    guidance: Annotated[Number, Field(ge=1.5, le=10)] | None = None
    prompt_upsampling: bool | None = None
    image_prompt: HttpUrl | None = None
    image_prompt_strength: Annotated[Number, Field(ge=0, le=1)] | None = None
    raw: bool | None = None
    go_fast: bool | None = None

    def __init__(self, **values: Any) -> None:
        known = {name: value for name, value in values.items() if name in type(self).model_fields}
        reasons = _wrong_names(values, None)
        try:
            super().__init__(**known)
        except ValidationError as error:
            for name in dict.fromkeys(str(problem["loc"][0]) for problem in error.errors()):
                reasons[name] = [f"must be {_ALLOWED[name]}"]
        if reasons:
            raise InvalidRequestError(sentence("flux_params", reasons, values), fields=reasons)

    @classmethod
    def parse(
        cls, values: Mapping[str, Any], *, model: str | None, late: Collection[str] = ()
    ) -> FluxParams:
        """Check *values* for *model*, with the rules that span parameters, and return them.

        :param values: parameter name -> value.
        :param model: model id; None or an id the catalogue does not know means the general checks
            only.
        :param late: names whose values are not known yet, because they hold a template: their names
            are checked now, their values and the rules that need them are not.
        :raises InvalidRequestError: naming every wrong parameter, its value and what is allowed.
        """
        known_model = FLUX_MODELS.get(model or "")
        given = {
            name: value for name, value in values.items() if value is not None and name not in late
        }
        reasons = _wrong_names([*values, *late], None) | _wrong_names([*given, *late], known_model)
        try:
            params = cls(
                **{name: value for name, value in given.items() if name in cls.model_fields}
            )
        except InvalidRequestError as error:
            for name, why in error.fields.items():
                reasons.setdefault(name, []).extend(why)
        else:
            for name, reason in _conflicts(params, set(late), known_model):
                reasons.setdefault(name, []).append(reason)
            if not reasons:
                return params
        raise InvalidRequestError(sentence("flux_params", reasons, values), fields=reasons)

    def as_dict(self) -> dict[str, Any]:
        """Return only what is set."""
        return self.model_dump(exclude_none=True)

    def to_payload(self) -> dict[str, Any]:
        """Return what is sent: what is set, and "custom" where width and height imply it.

        The docs page says that width and height count only with aspect_ratio "custom". Where the
        API does not know the word it answers 400 before anything is paid; the other way round it
        would quietly paint another size.
        """
        return self.as_dict() | ({"aspect_ratio": "custom"} if self.width else {})


def _wrong_names(names: Collection[str], model: FluxModel | None) -> Reasons:
    reasons: Reasons = {}
    for name in names:
        if name not in FluxParams.model_fields:
            takes = [
                param for param in FluxParams.model_fields if model is None or param in model.params
            ]
            near = difflib.get_close_matches(str(name).lower(), takes, n=1)
            advice = f"did you mean {near[0]!r}?" if near else f"known are {', '.join(takes)}"
            reasons[name] = [f"unknown parameter, {advice}"]
        elif model and name not in model.params:
            reasons[name] = [
                f"{model.id} does not take it; models that do: {', '.join(models_taking(name))}"
            ]
    return reasons


def _conflicts(
    params: FluxParams, late: set[str], model: FluxModel | None
) -> list[tuple[str, str]]:
    """Check the rules that span parameters or depend on the model; a rule that needs a late value waits."""
    found: list[tuple[str, str]] = []
    given = params.as_dict()
    ratio = params.aspect_ratio
    sized = sorted(_SIZE & given.keys())

    if ratio not in (None, "custom"):
        found += [
            (name, f'goes with aspect_ratio "custom" or none, not with {ratio!r}') for name in sized
        ]
    elif len(sized) == 1 and not _SIZE & late:
        found.append((sized[0], f"goes with {(_SIZE - set(sized)).pop()}, which is not set"))
    elif ratio == "custom" and not sized and not _SIZE & late:
        found.append(("aspect_ratio", '"custom" goes with width and height, which are not set'))

    if not params.input_images and "input_images" not in late:
        takes_images = model is None or "input_images" in model.params
        lacking = (
            "which is not set"
            if takes_images
            else f"which {model.id if model else ''} does not take"
        )
        found += [
            (name, f'"{MATCH_INPUT}" goes with input_images, {lacking}')
            for name in ("aspect_ratio", "resolution")
            if given.get(name) == MATCH_INPUT
        ]
    if model:
        found += [
            (name, f"must be at most {model.max_side} pixels for {model.id}")
            for name in sized
            if given[name] > model.max_side
        ]
        if len(params.input_images or ()) > model.max_input_images:
            found.append(("input_images", f"{model.id} takes up to {model.max_input_images}"))
    return found


def respell(
    params: Mapping[str, Any], refused: Collection[str], *, model: str | None = None
) -> dict[str, Any] | None:
    """Say the same in the other dialect.

    :param params: ``fluxParams`` as they were sent.
    :param refused: the names of the parameters the API refused.
    :param model: model id; nothing moves to a parameter that a known model does not take.
    :returns: the other spelling, or None when one of the refused parameters has none.
    """
    known_model = FLUX_MODELS.get(model or "")
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


def sentence(argument: str, reasons: Mapping[str, list[str]], values: Mapping[str, Any]) -> str:
    """Return one sentence that names each wrong parameter of *argument* with its value and the reasons."""
    shown = {
        name: f"{name}={truncated_repr(values[name])}" if name in values else name
        for name in reasons
    }
    return f"{argument}: " + "; ".join(
        f"{shown[name]}: {', '.join(why)}" for name, why in reasons.items()
    )


def truncated_repr(value: Any, limit: int = 80) -> str:
    """Return ``repr(value)``, cut to *limit* characters; what was cut says how long it is."""
    text = repr(value)
    if len(text) <= limit:
        return text
    length = (
        f" ({len(value)} {'characters' if isinstance(value, str) else 'items'})"
        if isinstance(value, Sized)
        else ""
    )
    return f"{text[:limit]}...{length}"
