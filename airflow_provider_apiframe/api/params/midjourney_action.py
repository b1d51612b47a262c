"""The request to go on from a finished Midjourney job.

Source: OpenAPI MidjourneyActionRequest.
"""

from __future__ import annotations

import base64
import binascii
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, ValidationInfo, model_validator

from airflow_provider_apiframe.api.image_file import MAX_INLINE_CHARACTERS
from airflow_provider_apiframe.api.image_format import HEAD_BYTES, image_type
from airflow_provider_apiframe.api.params.base import BrokenRulesError, ParseContext, Reasons
from airflow_provider_apiframe.api.params.fields import Length, Uuid, WholeNumber
from airflow_provider_apiframe.api.params.references import is_url, one_reference
from airflow_provider_apiframe.api.params.request import ImageRequest
from airflow_provider_apiframe.api.validation import RuleError, truncated_repr

_NEEDS = {
    "upsample": "index",
    "variation": "index",
    "inpaint": "mask",
    "outpaint": "zoom_ratio",
    "pan": "direction",
}
_TAKES = {action: {needed} for action, needed in _NEEDS.items()}
_TAKES["inpaint"] |= {"prompt"}

_HEAD_CHARACTERS = HEAD_BYTES // 3 * 4


def _is_base64_of_an_image(text: str) -> bool:
    """Return whether *text* holds an image as base64. A JPEG's begins like a path: "/9j/"."""
    try:
        return image_type(base64.b64decode(text[:_HEAD_CHARACTERS], validate=True)) is not None
    except (binascii.Error, ValueError):
        return False


def _mask(value: Any) -> Any:
    if isinstance(value, str) and _is_base64_of_an_image(value):
        if len(value) > MAX_INLINE_CHARACTERS:
            raise RuleError(
                f"must have at most {MAX_INLINE_CHARACTERS} characters, has {len(value)}"
            )
        try:
            base64.b64decode(value, validate=True)
        except binascii.Error as error:
            raise RuleError(f"begins as base64, and is none: {error}") from None
        return value
    reference = one_reference(value)
    if reference is not None and is_url(reference):
        raise RuleError(
            f"{truncated_repr(reference)} is a URL, and Midjourney takes the mask itself: name a "
            "file on storage or a local one, or give the image as base64"
        )
    return reference


def _one_of_the_ratios(ratio: float) -> float:
    if ratio not in (1.5, 2):
        raise ValueError("another ratio")
    return ratio


class MidjourneyActionRequest(ImageRequest):
    """One action on a finished Midjourney job: the body of ``POST /v2/images/midjourney/action``.
    Made with :meth:`parse`.

    The API takes the mask as base64 text. Here it may be a file as well, which is read right before
    the submit: megabytes of base64 in a DAG would be stored with each run.

    :param parent_job_id: id of the job to go on from. "upsample" and "variation" go on from one
        with four images, the others from an upsampled one; else the API answers 409.
    :param action: "upsample" and "variation" (which need *index*), "inpaint" (*mask*, and
        optionally *prompt*), "outpaint" (*zoom_ratio*) or "pan" (*direction*). "upsample" makes one
        image, the others make four.
    :param index: which of the four images, 1-4, row by row.
    :param zoom_ratio: 1.5 or 2.
    :param direction: "up", "down", "left" or "right".
    :param mask: storage path, absolute local path or result of an earlier task that was saved; or
        the image as base64, at most 12,000,000 characters.
    :param prompt: at most 2000 characters (UTF-16 units).
    """

    path: ClassVar[str] = "/v2/images/midjourney/action"
    image_fields: ClassVar[tuple[str, ...]] = ("mask",)

    parent_job_id: Annotated[Uuid, Field(json_schema_extra={"noun": "the id of a Midjourney job"})]
    action: Literal["upsample", "variation", "inpaint", "outpaint", "pan"]
    index: Annotated[Literal[1, 2, 3, 4], WholeNumber] | None = Field(
        None, json_schema_extra={"noun": "1, 2, 3 or 4"}
    )
    zoom_ratio: Annotated[float, AfterValidator(_one_of_the_ratios)] | None = Field(
        None, json_schema_extra={"noun": "1.5 or 2"}
    )
    direction: Literal["up", "down", "left", "right"] | None = None
    mask: Annotated[str, BeforeValidator(_mask)] | None = Field(
        None,
        json_schema_extra={
            "noun": "a storage path, an absolute local path, the saved result of an earlier task, "
            "or an image as base64"
        },
    )
    prompt: Annotated[str, Length(2000)] | None = None

    @property
    def model(self) -> str:
        """What the price is that of."""
        return "midjourney"

    @property
    def params(self) -> None:
        """There are none."""

    @property
    def reference_images(self) -> list[str]:
        """The mask, where it is a file."""
        is_file = self.mask is not None and not _is_base64_of_an_image(self.mask)
        return [self.mask] if self.mask and is_file else []

    @property
    def inline_paths(self) -> frozenset[str]:
        """The mask, where it is a file: it is sent within the body."""
        return frozenset(self.paths)

    @classmethod
    def parse(
        cls,
        *,
        parent_job_id: Any,
        action: Any,
        index: Any = None,
        zoom_ratio: Any = None,
        direction: Any = None,
        mask: Any = None,
        prompt: Any = None,
        webhook_url: Any = None,
        webhook_events: Any = None,
    ) -> Self:
        """Check everything and return the request.

        :raises InvalidRequestError: naming every wrong argument, its value and what is allowed.
            Nothing was sent.
        """
        return cls.checked(
            {
                "parent_job_id": parent_job_id,
                "action": action,
                "index": index,
                "zoom_ratio": zoom_ratio,
                "direction": direction,
                "mask": mask,
                "prompt": prompt,
                "webhook_url": webhook_url,
                "webhook_events": webhook_events,
            },
            ParseContext(),
        )

    @model_validator(mode="after")
    def _action_decides(self, info: ValidationInfo) -> Self:
        """Check that what the action needs is there, and nothing else: the API takes no more."""
        templated = info.context.templated if info.context else frozenset()
        if "action" in templated:
            return self
        reasons: Reasons = {}
        needed = _NEEDS[self.action]
        if getattr(self, needed) is None and needed not in templated:
            reasons[needed] = [f'is not set, and action "{self.action}" needs it']
        for name in ("index", "zoom_ratio", "direction", "mask", "prompt"):
            if getattr(self, name) is not None and name not in _TAKES[self.action]:
                takers = [f'"{action}"' for action, taken in _TAKES.items() if name in taken]
                others = ", ".join(takers)
                reasons[name] = [f'"{self.action}" does not take it; actions that do: {others}']
        if reasons:
            raise BrokenRulesError(reasons)
        return self

    def _body(self) -> dict[str, Any]:
        body = {
            "parentJobId": self.parent_job_id,
            "action": self.action,
            "index": self.index,
            "zoomRatio": self.zoom_ratio,
            "direction": self.direction,
            "mask": self.mask,
            "prompt": self.prompt,
        }
        return {name: value for name, value in body.items() if value is not None}
