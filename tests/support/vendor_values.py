"""Values that the vendor's JSON schema of a field takes, and values that break one limit of it."""

from __future__ import annotations

from typing import Any

from flux_strategies import URLS, flux_params
from hypothesis import strategies as st
from vendor_contract import Contract

from airflow_provider_apiframe.api.params.catalog import MODELS

URL = "https://images.example/a.png"

# Where the vendor names no limit, ours hold: whole numbers that JavaScript can tell apart, lists of
# 50 images, a word of 100 characters, and text of 10,000.
_MOST_IMAGES, _LONGEST = 50, 10_000
_WORDS = ("aspect_ratio", "resolution", "size", "style_type", "style_preset", "version")


def valid(name: str, schema: dict[str, Any]) -> st.SearchStrategy[Any]:
    """Draw what the field takes."""
    if choices := _choices(schema):
        return st.sampled_from(choices)
    kind = _kind(schema)
    if kind == "boolean":
        return st.booleans()
    if kind == "array":
        return st.lists(URLS, max_size=min(schema.get("maxItems", _MOST_IMAGES), 20))
    if kind == "integer":
        most = 2**53 - 1
        return st.integers(schema.get("minimum", -most), schema.get("maximum", most))
    if kind == "number":
        return st.floats(schema["minimum"], schema["maximum"])
    if schema.get("format") == "uri":
        return URLS
    if schema.get("format") == "uuid":
        return st.uuids().map(str)
    if "pattern" in schema:
        side = st.integers(1, 99)
        return st.tuples(side, side).map(lambda sides: f"{sides[0]}:{sides[1]}")
    if name in _WORDS:
        return st.sampled_from(["16:9", "1K", "1024x768", "auto", "V_2"])
    # Unicode's halves of characters cannot be sent, and a character may count as two.
    most = schema.get("maxLength", _LONGEST)
    least = schema.get("minLength", 0)
    letters = st.characters(exclude_categories=["Cs"])
    return st.text(letters, min_size=least, max_size=min(most // 2, 40)).filter(
        lambda text: not least or text.strip()
    )


def params_of(contract: Contract) -> st.SearchStrategy[dict[str, Any]]:
    """Draw what the model takes as its parameters, in the vendor's spelling."""
    model = MODELS.get(contract.model)
    if model and model.family == "flux":
        return flux_params(contract.model, dialects=("openapi",))
    pool = {name: valid(name, schema) for name, schema in contract.params.items()}
    needed = {name: pool.pop(name) for name in contract.required}
    return st.fixed_dictionaries(needed, optional=pool)


def some_params(contract: Contract) -> dict[str, Any]:
    """Return the fewest parameters that the model takes."""
    return {
        name: {"uri": URL, "uuid": "0b1c2d3e-0000-4000-8000-000000000000"}.get(
            schema.get("format"), (_choices(schema) or ["text"])[0]
        )
        for name, schema in contract.params.items()
        if name in contract.required
    }


def broken(name: str, schema: dict[str, Any]) -> list[Any]:
    """Return values that each break one limit of the field, and values of other types."""
    wrong: list[Any] = [{}, [{}], object()]
    kind = _kind(schema)
    if choices := _choices(schema):
        numeric = not isinstance(choices[0], str)
        return [*wrong, 3.7 if numeric else "no such", True, "", -1]
    if kind in ("integer", "number"):
        wrong += [True, "many", "", float("nan"), float("inf")]
        wrong += [schema["minimum"] - 1] if "minimum" in schema else []
        wrong += [schema["maximum"] + 1] if "maximum" in schema else []
        wrong += [1.5] if kind == "integer" else []
        wrong += [2**53] if kind == "integer" and "maximum" not in schema else []
    elif kind == "boolean":
        wrong += ["perhaps", 7]
    elif kind == "array":
        most = schema.get("maxItems", _MOST_IMAGES)
        wrong += [[URL] * (most + 1), ["relative.png"], ["ftp://"], [7], 7]
    elif schema.get("format") == "uri":
        wrong += ["relative.png", "data:image/png;base64,AAAA", "", 7, [URL, URL]]
    elif schema.get("format") == "uuid":
        wrong += ["not-a-uuid", "", 7]
    elif "pattern" in schema:
        wrong += ["16x9", "16:9:1", "", "wide", 1.5]
    else:
        most = 100 if name in _WORDS else schema.get("maxLength", _LONGEST)
        wrong += ["x" * (most + 1), "\N{PILE OF POO}" * (most // 2 + 1), "\ud800", 7]
        wrong += [" "] if name in _WORDS or schema.get("minLength") else []
    return wrong


def _choices(schema: dict[str, Any]) -> list[Any]:
    return schema.get("enum") or [branch["enum"][0] for branch in schema.get("anyOf", ())]


def _kind(schema: dict[str, Any]) -> str:
    kind = schema.get("type", "number")
    return kind if isinstance(kind, str) else next(one for one in kind if one != "null")
