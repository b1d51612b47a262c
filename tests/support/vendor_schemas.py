"""Validators of the vendor's OpenAPI file, and values that try each of its limits."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from functools import cache
from typing import Any
from urllib.parse import urlsplit

import jsonschema
from vendor_contract import OPENAPI

REQUESTS = {
    "generate": "GenerateImageRequest",
    "upscale": "ImageUpscaleRequest",
    "edit": "ImageEditRequest",
    "background-remove": "ImageBackgroundRemoveRequest",
    "midjourney/action": "MidjourneyActionRequest",
}
DATE = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")
UUID = "3f2504e0-4f89-41d3-9a0c-0305e82c3301"


def _is_uri(value: object) -> bool:
    if not isinstance(value, str):
        return True
    parts = urlsplit(value)
    return bool(parts.scheme and (parts.netloc or parts.scheme not in ("http", "https")))


FORMATS = jsonschema.FormatChecker(formats=["uuid", "email", "regex"])
FORMATS.checks("uri")(_is_uri)
FORMATS.checks("date-time")(lambda value: not isinstance(value, str) or bool(DATE.fullmatch(value)))


@cache
def document() -> dict[str, Any]:
    """Return the vendor's file."""
    return dict(json.loads(OPENAPI.read_text()))


@cache
def variants(kind: str) -> dict[str, dict[str, Any]]:
    """Return the schemas of a kind of submission, by model or by action."""
    schemas = document()["components"]["schemas"][REQUESTS[kind]]["oneOf"]
    name = discriminator(kind)
    return {choice: schema for schema in schemas for choice in schema["properties"][name]["enum"]}


def discriminator(kind: str) -> str:
    """Return the field that says which variant a submission is."""
    return "action" if kind == "midjourney/action" else "model"


@cache
def validator(name: str) -> Any:
    """Return a validator of a named schema."""
    components = document()["components"]
    schema = {"$ref": f"#/components/schemas/{name}", "components": components}
    return jsonschema.Draft202012Validator(schema, format_checker=FORMATS)


@cache
def variant_validator(kind: str, choice: str) -> Any:
    """Return a validator of one variant of a submission."""
    schema = {**variants(kind)[choice], "components": document()["components"]}
    return jsonschema.Draft202012Validator(schema, format_checker=FORMATS)


def smallest(schema: dict[str, Any]) -> Any:
    """Return a valid value with nothing in it that may be left out."""
    if "enum" in schema:
        return schema["enum"][0]
    if "anyOf" in schema:
        return smallest(schema["anyOf"][0])
    kind = schema["type"]
    if kind == "object":
        properties = schema["properties"]
        return {name: smallest(properties[name]) for name in schema.get("required", ())}
    texts = {"uri": "https://x.test/a.png", "uuid": UUID}
    text = "1:1" if "pattern" in schema else texts.get(schema.get("format", ""), "a")
    number = schema.get("minimum", 1)
    return {"string": text, "integer": number, "number": number, "boolean": True}[kind]


def attempts(schema: dict[str, Any]) -> Iterator[Any]:
    """Yield values at, within and beyond each limit of a schema, and values of other types."""
    yield from (None, True, False, 0, 1, 1.5, 2.0, -1, "", "1", "text", [], {}, {"a": 1}, ["a"])
    yield from ("16:9", "1:", "custom", "4MP", "4 MP", "jpeg", "a.png", "https://", UUID, UUID[1:])
    yield from schema.get("enum", ())
    for each in schema.get("anyOf", ()):
        yield from each["enum"]
    for limit in ("minimum", "maximum"):
        if limit in schema:
            yield from (schema[limit] + step for step in (-1, -1e-6, 0, 1e-6, 1))
    for limit in ("minLength", "maxLength"):
        if limit in schema:
            yield from ("a" * max(0, schema[limit] + step) for step in (-1, 0, 1))
    if "items" in schema:
        for count in (1, schema.get("maxItems", 20), schema.get("maxItems", 20) + 1):
            yield [smallest(schema["items"])] * count
        yield from ([value] for value in attempts(schema["items"]))
    elif schema.get("type") == "string":
        yield smallest(schema)


def bodies(kind: str, choice: str) -> Iterator[dict[str, Any]]:
    """Yield bodies of one variant: the smallest, and those that differ from it in one place."""
    schema = variants(kind)[choice]
    start = smallest(schema)
    name = discriminator(kind)
    yield start
    yield {**start, "unknown": 1}
    for field in start.keys() - {name}:
        yield {key: value for key, value in start.items() if key != field}
    for field, inner in schema["properties"].items():
        if field == name:
            continue
        yield from ({**start, field: value} for value in attempts(inner))
        if inner.get("type") != "object":
            continue
        least = smallest(inner)
        yield from ({**start, field: {**least, key: 1}} for key in ("unknown", "Seed"))
        for required in least:
            yield {**start, field: {k: v for k, v in least.items() if k != required}}
        for param, limits in inner["properties"].items():
            for value in attempts(limits):
                yield {**start, field: {**least, param: value}}
