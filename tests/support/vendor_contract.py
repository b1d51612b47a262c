"""The vendor's OpenAPI file: beside the project where it is at hand, and not part of it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

OPENAPI = Path(__file__).resolve().parents[2].parent / "shared" / "apiframe-openapi.json"

_TOOLS = {
    "/v2/images/upscale": "ImageUpscaleRequest",
    "/v2/images/edit": "ImageEditRequest",
    "/v2/images/background-remove": "ImageBackgroundRemoveRequest",
}


@dataclass(frozen=True)
class Contract:
    """What the vendor says of one model.

    :param body: the JSON schema of a request's body.
    :param key: the name of the object with the model's parameters.
    """

    model: str
    path: str
    body: dict[str, Any]
    key: str

    @property
    def params(self) -> dict[str, Any]:
        """JSON schema of each parameter."""
        fields: dict[str, Any] = self.body["properties"][self.key]["properties"]
        return fields

    @property
    def required(self) -> set[str]:
        """The parameters that must be there."""
        return set(self.body["properties"][self.key].get("required", ()))


def schemas() -> dict[str, Any]:
    """Return the vendor's schemas by their names; none where the file is absent."""
    found: dict[str, Any] = _document().get("components", {}).get("schemas", {})
    return found


def image_models() -> dict[str, Contract]:
    """Return what the vendor says of the models that make an image from a prompt."""
    return _contracts("/v2/images/generate", "GenerateImageRequest")


def tool_models() -> dict[str, Contract]:
    """Return what the vendor says of the models that work on an image."""
    return {
        model: contract
        for path, schema in _TOOLS.items()
        for model, contract in _contracts(path, schema).items()
    }


def midjourney_actions() -> dict[str, dict[str, Any]]:
    """Return the JSON schema of the body of each of Midjourney's actions."""
    branches = schemas().get("MidjourneyActionRequest", {}).get("oneOf", ())
    return {branch["properties"]["action"]["enum"][0]: branch for branch in branches}


@cache
def _document() -> dict[str, Any]:
    document: dict[str, Any] = json.loads(OPENAPI.read_text()) if OPENAPI.is_file() else {}
    return document


def _contracts(path: str, schema: str) -> dict[str, Contract]:
    return {
        model: Contract(
            model,
            path,
            branch,
            next(name for name in branch["properties"] if name.endswith("Params")),
        )
        for branch in schemas().get(schema, {}).get("oneOf", ())
        for model in branch["properties"]["model"]["enum"]
    }
