"""The tables of docs/models.md, made from the table of models and the families' fields."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import groupby

from airflow_provider_apiframe.api.params.catalog import (
    BACKGROUND_MODELS,
    EDIT_MODELS,
    MODELS,
    UPSCALE_MODELS,
    Model,
)
from airflow_provider_apiframe.api.params.families import FAMILIES, params_class
from airflow_provider_apiframe.api.validation import allowed

MARKERS = ("<!-- models: begin -->", "<!-- models: end -->")

_TITLES = {
    "flux": "Flux",
    "flux_lora": "Flux with a LoRA",
    "nano_banana": "Nano Banana",
    "stable_diffusion": "Stable Diffusion",
    "dalle": "DALL-E",
    "gpt_image": "GPT Image 1.5",
    "gpt_image_2": "GPT Image 2",
    "qwen": "Qwen Image",
    "qwen_2": "Qwen Image 2",
    "wan": "Wan Image 2.6",
    "wan_27": "Wan Image 2.7",
    "topaz_upscale": "Topaz",
    "clarity_upscale": "Clarity",
    "flux_fill": "Flux Fill",
    "bria_background": "Bria",
    "lab851_background": "851 Labs",
}


def tables() -> str:
    """Return a section for each family and tool, in the order of the table of models."""
    parts = [_overview(), "## Making images\n", *_families(MODELS)]
    for title, operator, models in (
        ("Upscaling", "ImageUpscaleOperator", UPSCALE_MODELS),
        ("Editing", "ImageEditOperator", EDIT_MODELS),
        ("Removing the background", "ImageBackgroundRemoveOperator", BACKGROUND_MODELS),
    ):
        parts += [f"## {title}: `{operator}`\n", *_families(models)]
    return "\n".join(parts)


def _overview() -> str:
    rows = [
        f"| [{_title(family)}](#{_anchor(family)}) | `{FAMILIES[family].key}` | {_ids(models)} |"
        for family, models in _grouped(MODELS)
    ]
    head = "| Family | Object in the request | Models |\n|---|---|---|"
    return "\n".join([head, *rows, ""])


def _families(models: Mapping[str, Model]) -> list[str]:
    return [_family(family, members) for family, members in _grouped(models)]


def _family(family: str, members: list[Model]) -> str:
    lines = [f"### {_title(family)}\n", f"`{FAMILIES[family].key}`: {_ids(members)}\n"]
    prompt = {model.prompt_max for model in members} - {2000}
    if prompt:
        lines.append(f"The prompt may have {prompt.pop():,} characters.\n")
    lines += ["| Parameter | Takes |", "|---|---|"]
    fields = params_class(family)
    for name in fields.model_fields:
        takers = [model for model in members if name in model.params]
        text = allowed(fields, name).replace("|", "\\|")
        if len(takers) < len(members):
            text += f". Only {_ids(takers)}"
        needing = [model for model in members if name in model.required]
        if needing:
            text += f". **Required** by {_ids(needing)}"
        narrower = [
            f"`{model.id}` up to {most}"
            for model in takers
            for most in [_narrower(model, name)]
            if most is not None
        ]
        text += f". {', '.join(narrower)}" if narrower else ""
        lines.append(f"| `{name}` | {text} |")
    return "\n".join([*lines, ""])


def _narrower(model: Model, name: str) -> int | None:
    if name == "input_images":
        return model.max_input_images
    return model.max_side if name in ("width", "height") else None


def _grouped(models: Mapping[str, Model]) -> list[tuple[str, list[Model]]]:
    return [
        (family, list(group))
        for family, group in groupby(models.values(), key=lambda model: model.family)
    ]


def _ids(models: Iterable[Model]) -> str:
    return ", ".join(f"`{model.id}`" for model in models)


def _title(family: str) -> str:
    return _TITLES.get(family, family.capitalize())


def _anchor(family: str) -> str:
    return _title(family).lower().replace(" ", "-").replace(".", "")
