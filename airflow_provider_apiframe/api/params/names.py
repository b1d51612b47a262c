"""Which parameter was meant, and which models take it: advice for a name that is wrong."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Sequence

from airflow_provider_apiframe.api.params.catalog import Model, models_taking

_SHOWN = 8  # models that are named; many take a seed


def unknown_parameter(name: str, takes: Sequence[str], model: Model | None) -> str:
    """Say what to do about a name that the family does not have.

    :param takes: names that the model takes, or the family.
    """
    if name in ("prompt", "model", *(model.arguments if model else ())):
        return "is an argument of its own, beside the parameters"
    if near := nearest_name(name, takes):
        return f"unknown parameter, did you mean {near!r}?"
    if others := models_taking(name):
        return f"unknown parameter, models that take it: {_some(others)}"
    return "unknown parameter, " + (f"known are {', '.join(takes)}" if takes else "there are none")


def other_models(name: str, model: Model) -> str:
    """Say that *model* does not take a parameter that others of its family do."""
    others = models_taking(name, family=model.family)
    return f"{model.id} does not take it; models that do: {_some(others)}"


def nearest_name(name: str, known: Sequence[str]) -> str | None:
    """Return the name that is probably meant: one that is spelt alike, or has the same words, as
    "image_input" and "input_images", or one word more, as "output_format" and "format"."""
    words = _words(name)
    related = [one for one in known if words and (words <= _words(one) or words >= _words(one))]
    if related:
        return max(related, key=lambda one: difflib.SequenceMatcher(None, name, one).ratio())
    return next(iter(difflib.get_close_matches(name.lower(), known, n=1)), None)


def _words(name: str) -> set[str]:
    words = re.findall(r"[A-Z]?[a-z]+|[A-Z]+|[0-9]+", name.replace("number_of", "num"))
    return {word.lower().rstrip("s") for word in words}


def _some(models: Iterable[str]) -> str:
    shown = list(models)
    rest = f" and {len(shown) - _SHOWN} more" if len(shown) > _SHOWN else ""
    return ", ".join(shown[:_SHOWN]) + rest
