"""Hypothesis strategies: ``fluxParams`` that a model takes, within all limits and all rules."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from airflow_provider_apiframe.api.params.catalog import MODELS

FLUX_MODELS = {id: model for id, model in MODELS.items() if model.family == "flux"}

RANGES: dict[str, tuple[float, float]] = {
    "output_quality": (0, 100),
    "width": (256, 2048),
    "height": (256, 2048),
    "steps": (1, 50),
    "guidance": (1.5, 10),
    "image_prompt_strength": (0, 1),
}

URLS = st.sampled_from(
    [
        f"https://images.example/{name}"
        for name in ("a.png", "b.jpg?size=1", "c/d", "~e", "%20.webp")
    ]
)
SIDES = st.integers(1, 99)
OPENAPI_RESOLUTIONS = ["0.5MP", "1MP", "2MP", "4MP"]
PAGE_RESOLUTIONS = ["0.5 MP", "1 MP", "2 MP", "4 MP"]

_SIMPLE: dict[str, st.SearchStrategy[Any]] = {
    "output_format": st.sampled_from(["jpg", "png", "webp"]),
    "output_quality": st.integers(0, 100),
    "seed": st.integers(-(2**53) + 1, 2**53 - 1),
    "steps": st.integers(1, 50),
    "guidance": st.floats(1.5, 10),
    "prompt_upsampling": st.booleans(),
    "image_prompt": URLS,
    "image_prompt_strength": st.floats(0, 1),
    "raw": st.booleans(),
    "go_fast": st.booleans(),
}


@st.composite
def flux_params(
    draw: st.DrawFn, model_id: str, dialects: tuple[str, ...] = ("openapi", "page")
) -> dict[str, Any]:
    """Draw parameters for a model, in the spellings of the OpenAPI file, the docs page, or both."""
    model = MODELS[model_id]
    pool = {name: values for name, values in _SIMPLE.items() if name in model.params}
    if "input_images" in model.params:
        pool["input_images"] = st.lists(URLS, max_size=model.max_input_images)
    if "resolution" in model.params:
        spellings = ("openapi" in dialects) * OPENAPI_RESOLUTIONS + (
            "page" in dialects
        ) * PAGE_RESOLUTIONS
        pool["resolution"] = st.sampled_from(spellings)
    params: dict[str, Any] = draw(st.fixed_dictionaries({}, optional=pool))

    shapes = ["free", "ratio", "size", "custom size"] if "page" in dialects else ["free", "ratio"]
    if params.get("input_images"):
        shapes += ["match ratio"] * ("page" in dialects) + ["match resolution"] * (
            "resolution" in model.params
        )
    shape = draw(st.sampled_from(shapes))
    if shape == "ratio":
        params["aspect_ratio"] = f"{draw(SIDES)}:{draw(SIDES)}"
    elif shape == "match ratio":
        params["aspect_ratio"] = "match_input_image"
    elif shape == "match resolution":
        params["resolution"] = "match_input_image"
    elif shape in ("size", "custom size"):
        side = st.integers(256, model.max_side or 2048)
        params |= {"width": draw(side), "height": draw(side)}
        if shape == "custom size":
            params["aspect_ratio"] = "custom"
    return params


def model_and_params(
    dialects: tuple[str, ...] = ("openapi", "page"),
) -> st.SearchStrategy[tuple[str, dict[str, Any]]]:
    """Draw a model id and parameters it takes."""
    return st.sampled_from(list(FLUX_MODELS)).flatmap(
        lambda model: st.tuples(st.just(model), flux_params(model, dialects))
    )
