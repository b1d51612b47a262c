"""The requests that work on images which are there already: upscale, edit, cut out.

Source: OpenAPI ImageUpscaleRequest, ImageEditRequest, ImageBackgroundRemoveRequest.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import Field, ValidationInfo, field_validator, model_validator

from airflow_provider_apiframe.api.params.base import (
    BrokenRulesError,
    ModelParams,
    ParseContext,
    Reasons,
    invalid,
)
from airflow_provider_apiframe.api.params.catalog import (
    BACKGROUND_MODELS,
    BY_PATH,
    DEFAULT_BACKGROUND_MODEL,
    DEFAULT_EDIT_MODEL,
    DEFAULT_UPSCALE_MODEL,
    EDIT_MODELS,
    UPSCALE_MODELS,
    nearest_model,
)
from airflow_provider_apiframe.api.params.fields import Image, Length
from airflow_provider_apiframe.api.params.given import parse_params
from airflow_provider_apiframe.api.params.request import ImageRequest, model_field

_Outpaint = Literal[
    "Zoom out 1.5x",
    "Zoom out 2x",
    "Make square",
    "Left outpaint",
    "Right outpaint",
    "Top outpaint",
    "Bottom outpaint",
]


class ToolRequest(ImageRequest):
    """What the tools share: an image, a model, and its parameters.

    The vendor has the image among the parameters; here it is an argument of its own.

    :param model: model id. One that the catalogue does not know is not refused, see *params*.
    :param image: URL, path or result of an earlier task.
    :param params: the model's parameters, but for what are arguments of their own. For a model that
        the catalogue does not know, one object by its name in the request's body:
        ``{"fooParams": {...}}``.
    """

    image_fields: ClassVar[tuple[str, ...]] = ("image",)
    # What stands among the parameters in the body, in this order.
    own_params: ClassVar[tuple[str, ...]] = ("image",)

    model: str
    image: Image
    params: ModelParams = Field(None, validate_default=True)  # those of the model

    @field_validator("params", mode="plain")
    @classmethod
    def _parse_params(cls, value: Any, info: ValidationInfo) -> ModelParams:
        context: ParseContext = info.context or ParseContext()
        model, templated = info.data.get("model"), context.templated_params
        models = BY_PATH[cls.path]
        params = parse_params(value, name="params", model=model, templated=templated, models=models)
        if model is not None and not params.body_key and not templated:
            near = nearest_model(model, models)
            meant = f" (did you mean {near!r}?)" if near else ""
            raise invalid(
                "model",
                model,
                f"is no model that this provider knows{meant}; with such a model params must have "
                'one mapping by its name in the request\'s body: {"fooParams": {}}',
            )
        for name in cls.own_params:
            if (found := params.value(name)) is not None:
                raise invalid(f"params: {name}", found, "is an argument of its own")
        return params

    def _body(self) -> dict[str, Any]:
        own = {name: getattr(self, name) for name in self.own_params}
        own = {name: value for name, value in own.items() if value is not None}
        return {"model": self.model, self.params.body_key: {**own, **self.params.to_payload()}}


class UpscaleRequest(ToolRequest):
    """A larger copy of an image: the body of ``POST /v2/images/upscale``. Made with :meth:`parse`.

    :param model: "topaz-image-upscale", whose price goes by the megapixels that come out, or
        "clarity-upscale", whose price is flat.
    """

    path: ClassVar[str] = "/v2/images/upscale"

    model: str = model_field(DEFAULT_UPSCALE_MODEL, UPSCALE_MODELS)

    @property
    def prompt(self) -> str | None:
        """What ``clarity-upscale`` was told of the image, if anything."""
        found = self.params.value("prompt")
        return found if isinstance(found, str) else None

    @classmethod
    def parse(
        cls,
        *,
        image: Any,
        model: Any = DEFAULT_UPSCALE_MODEL,
        params: ModelParams | Mapping[str, Any] | str | None = None,
        webhook_url: Any = None,
        webhook_events: Any = None,
    ) -> Self:
        """Check everything and return the request.

        :raises InvalidRequestError: naming every wrong argument, its value and what is allowed.
            Nothing was sent.
        """
        return cls.checked(
            {
                "image": image,
                "model": model,
                "params": params,
                "webhook_url": webhook_url,
                "webhook_events": webhook_events,
            },
            ParseContext(params_name="params"),
        )


class BackgroundRemoveRequest(ToolRequest):
    """A cut-out: the body of ``POST /v2/images/background-remove``. Made with :meth:`parse`.

    :param model: "bria-bg-remove" or "851-bg-remove".
    """

    path: ClassVar[str] = "/v2/images/background-remove"

    model: str = model_field(DEFAULT_BACKGROUND_MODEL, BACKGROUND_MODELS)

    @property
    def prompt(self) -> str | None:
        """There is none."""
        return None

    @property
    def output_format(self) -> str | None:
        """The format that is asked for, None for the API's choice: a PNG."""
        found = self.params.value("format")
        return found if isinstance(found, str) else None

    @classmethod
    def parse(
        cls,
        *,
        image: Any,
        model: Any = DEFAULT_BACKGROUND_MODEL,
        params: ModelParams | Mapping[str, Any] | str | None = None,
        webhook_url: Any = None,
        webhook_events: Any = None,
    ) -> Self:
        """Check everything and return the request.

        :raises InvalidRequestError: naming every wrong argument, its value and what is allowed.
            Nothing was sent.
        """
        return cls.checked(
            {
                "image": image,
                "model": model,
                "params": params,
                "webhook_url": webhook_url,
                "webhook_events": webhook_events,
            },
            ParseContext(params_name="params"),
        )


class EditRequest(ToolRequest):
    """An image of which a part is painted anew, or which grows beyond its borders: the body of
    ``POST /v2/images/edit``. Made with :meth:`parse`.

    :param prompt: what is to be painted, 1-2000 characters (UTF-16 units).
    :param mode: "inpaint", which needs a mask, or "outpaint", which needs *outpaint*.
    :param mask: the part to paint anew is white in it. URL, path or result of an earlier task.
    :param outpaint: how the image grows, e.g. "Zoom out 1.5x".
    """

    path: ClassVar[str] = "/v2/images/edit"
    image_fields: ClassVar[tuple[str, ...]] = ("image", "mask")
    own_params: ClassVar[tuple[str, ...]] = ("image", "prompt", "mode", "mask", "outpaint")

    model: str = model_field(DEFAULT_EDIT_MODEL, EDIT_MODELS)
    prompt: Annotated[str, Length(2000, least=1)]
    mode: Literal["inpaint", "outpaint"]
    mask: Image | None = None
    outpaint: _Outpaint | None = None

    @classmethod
    def parse(
        cls,
        *,
        image: Any,
        prompt: Any,
        mode: Any,
        mask: Any = None,
        outpaint: Any = None,
        model: Any = DEFAULT_EDIT_MODEL,
        params: ModelParams | Mapping[str, Any] | str | None = None,
        webhook_url: Any = None,
        webhook_events: Any = None,
    ) -> Self:
        """Check everything and return the request.

        :raises InvalidRequestError: naming every wrong argument, its value and what is allowed.
            Nothing was sent.
        """
        return cls.checked(
            {
                "image": image,
                "prompt": prompt,
                "mode": mode,
                "mask": mask,
                "outpaint": outpaint,
                "model": model,
                "params": params,
                "webhook_url": webhook_url,
                "webhook_events": webhook_events,
            },
            ParseContext(params_name="params"),
        )

    @model_validator(mode="after")
    def _mode_decides(self, info: ValidationInfo) -> Self:
        """Check that what the mode needs is there, and nothing else: the API would ignore it."""
        templated = info.context.templated if info.context else frozenset()
        if "mode" in templated:
            return self
        needed, other = ("mask", "outpaint") if self.mode == "inpaint" else ("outpaint", "mask")
        reasons: Reasons = {}
        if getattr(self, needed) is None and needed not in templated:
            reasons[needed] = [f'is not set, and mode "{self.mode}" needs it']
        if getattr(self, other) is not None:
            reasons[other] = [f'does not go with mode "{self.mode}"']
        if reasons:
            raise BrokenRulesError(reasons)
        return self
