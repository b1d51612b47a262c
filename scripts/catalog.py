"""make catalog: what the vendor has changed since the table of models was written.

Asks the live catalogue, which has ids only and needs no key, or reads an OpenAPI file of the
vendor, which has the parameters and their limits, too. Prints what is new, gone or different, and
ends with 1 if something is, with 2 if the list or the file cannot be read. With ``--write FILE`` it
writes the tables of that page anew instead.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
from model_tables import MARKERS, tables

from airflow_provider_apiframe.api.endpoints import USER_AGENT
from airflow_provider_apiframe.api.models import ModelList
from airflow_provider_apiframe.api.params.catalog import BY_PATH, MODELS, TOOLS, Model
from airflow_provider_apiframe.api.params.families import FAMILIES, params_class
from airflow_provider_apiframe.api.params.tools import (
    BackgroundRemoveRequest,
    EditRequest,
    UpscaleRequest,
)
from airflow_provider_apiframe.api.settings import DEFAULT_BASE_URL
from airflow_provider_apiframe.api.validation import fields_of

SCHEMAS = {
    "GenerateImageRequest": MODELS,
    "ImageUpscaleRequest": TOOLS,
    "ImageEditRequest": TOOLS,
    "ImageBackgroundRemoveRequest": TOOLS,
}
TOOL_REQUESTS = (UpscaleRequest, EditRequest, BackgroundRemoveRequest)
LIMITS = ("enum", "minimum", "maximum", "maxItems", "maxLength")
# Ours, where the vendor names none: they keep requests at a size that can be sent.
OWN_LIMITS = {
    "minimum": {1 - 2**53},
    "maximum": {2**53 - 1},
    "maxItems": {50},
    "maxLength": {100, 10_000},
}
# Rules of the two spellings of Flux, see api/params/flux.py: both are taken.
BOTH_SPELLINGS = {("flux", "resolution")}
SECONDS = 30.0


def main() -> int:
    """Compare, or write the page."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    source = parser.add_mutually_exclusive_group()
    source.add_argument("--openapi", type=Path, help="an OpenAPI file of the vendor")
    source.add_argument(
        "--base-url",
        default=DEFAULT_BASE_URL,
        help="of the API, or of a sandbox (default: %(default)s)",
    )
    source.add_argument("--write", type=Path, help="the page whose tables are written anew")
    arguments = parser.parse_args()
    if arguments.write:
        try:
            arguments.write.write_text(with_tables(arguments.write.read_text()))
        except (OSError, ValueError) as error:
            return unreadable(str(arguments.write), error)
        return 0
    if arguments.openapi:
        where = str(arguments.openapi)
        try:
            found = list(differences(json.loads(arguments.openapi.read_text())))
        # The last three: it is JSON, and of another shape.
        except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
            return unreadable(where, error)
    else:
        where = f"{arguments.base_url.rstrip('/')}/v2/models?modality=image"
        try:
            listed = listed_ids(where)
        except (httpx.HTTPError, httpx.InvalidURL, ValueError) as error:
            return unreadable(where, error)
        found = [f"{id}: new" for id in listed if id not in MODELS and id not in TOOLS]
        unlisted = [id for id in (*MODELS, *TOOLS) if id not in listed]
        if unlisted:  # the vendor curates the list, so that is no news
            print(f"{len(unlisted)} models are not listed, and may work: {', '.join(unlisted)}")
    print(
        "\n".join([*found, f"{where}: {len(found) or 'no'} differences from the table of models"])
    )
    return 1 if found else 0


def unreadable(where: str, error: Exception) -> int:
    """Say that there is nothing to compare with; return how the script ends."""
    reason = str(error).partition("\n")[0]
    print(f"{where} cannot be read: {type(error).__name__}: {reason}", file=sys.stderr)
    return 2


def listed_ids(url: str) -> list[str]:
    """Return the ids that the live catalogue lists."""
    response = httpx.get(url, headers={"User-Agent": USER_AGENT}, timeout=SECONDS)
    response.raise_for_status()
    return [model.id for model in ModelList.model_validate_json(response.content).models]


def differences(document: dict[str, Any]) -> Iterator[str]:
    """Say what an OpenAPI document has that the table has not, and the other way round."""
    schemas = document["components"]["schemas"]
    theirs = {
        id: branch
        for name in SCHEMAS
        for branch in schemas[name]["oneOf"]
        for id in branch["properties"]["model"]["enum"]
    }
    ours = {**MODELS, **TOOLS}
    for id in [*theirs, *(ours.keys() - theirs.keys())]:
        if id not in ours:
            yield f"{id}: new"
        elif id not in theirs:
            yield f"{id}: gone"
        else:
            yield from (f"{id}: {text}" for text in of_model(ours[id], theirs[id]))


def of_model(model: Model, branch: dict[str, Any]) -> Iterator[str]:
    """Say how a model differs from the vendor's schema of its request."""
    fields = dict(branch["properties"])
    most = fields.get("prompt", {}).get("maxLength", model.prompt_max)
    if most != model.prompt_max:
        yield f"prompt: has up to {most} characters, not {model.prompt_max}"
    key = FAMILIES[model.family].key
    others = [name for name in fields if name.endswith("Params") and name != key]
    if key not in fields:
        yield f"{key}: gone" + (f"; there is {', '.join(others)}" if others else "")
        return
    params = fields[key]["properties"]
    known = _fields(model)
    yield from (f"{name}: new" for name in params if name not in known)
    yield from (f"{name}: gone" for name in sorted(known.keys() - params.keys()))
    required = set(fields[key].get("required", ())) - model.arguments
    if required != model.required:
        yield f"required: {_listed(required)}, not {_listed(model.required)}"
    for name in params.keys() & (model.params | model.arguments):
        yield from _of_field(model, name, params[name])


def _fields(model: Model) -> dict[str, dict[str, Any]]:
    """Return the JSON schemas of what the vendor has among the parameters: ours, and arguments."""
    requests = (fields_of(kind) for kind in TOOL_REQUESTS if model.id in BY_PATH[kind.path])
    arguments = {name: fields[name] for fields in requests for name in model.arguments}
    return {**fields_of(params_class(model.family)), **arguments}


def _of_field(model: Model, name: str, theirs: dict[str, Any]) -> Iterator[str]:
    field = _fields(model)[name]
    ours = {**field, **field.get("anyOf", [{}])[0]}
    choices = [branch["enum"][0] for branch in theirs.get("anyOf", ()) if "enum" in branch]
    theirs = {"enum": choices, **theirs} if choices else theirs
    kind = theirs.get("type", ours.get("type"))
    if ours.get("type") not in (kind if isinstance(kind, list) else [kind]):
        yield f"{name}: is {kind}, not {ours.get('type')}"
    for limit in LIMITS:
        theirs_is, ours_is = theirs.get(limit), ours.get(limit)
        if limit == "enum":
            theirs_is, ours_is = _words(model, name, theirs_is), _words(model, name, ours_is)
        is_own = theirs_is is None and ours_is in OWN_LIMITS.get(limit, ())
        if theirs_is != ours_is and not is_own:
            yield f"{name}: {limit} is {_listed(theirs_is)}, not {_listed(ours_is)}"


def _words(model: Model, name: str, choices: list[Any] | None) -> set[str] | None:
    if choices is None:
        return None
    both = (model.family, name) in BOTH_SPELLINGS
    return {str(choice).replace(" ", "") if both else str(choice) for choice in choices}


def _listed(value: Any) -> str:
    if isinstance(value, (set, frozenset)):
        return ", ".join(sorted(value)) or "nothing"
    return "nothing" if value is None else str(value)


def with_tables(page: str) -> str:
    """Return *page* with the tables between the markers written anew.

    :raises ValueError: it has no markers.
    """
    begin, end = MARKERS
    if begin not in page or end not in page:
        raise ValueError(f"the page has no {begin} ... {end}")
    head, _, rest = page.partition(begin)
    return f"{head}{begin}\n\n{tables()}\n{end}{rest.partition(end)[2]}"


if __name__ == "__main__":
    sys.exit(main())
