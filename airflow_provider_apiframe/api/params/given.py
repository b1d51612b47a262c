"""A model's parameters as callers give them: which family they are of, and in which forms."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from airflow_provider_apiframe.api.params.base import ModelParams, invalid
from airflow_provider_apiframe.api.params.catalog import MODELS, Model, nearest_model
from airflow_provider_apiframe.api.params.families import class_of_key, params_class
from airflow_provider_apiframe.api.params.flux import FluxParams
from airflow_provider_apiframe.api.params.other import BODY_KEY, OtherParams
from airflow_provider_apiframe.api.params.text import read_literal

FLUX = "flux_params"
"""The name that the parameters of Flux models may have, too. With it, a model that is not known is
taken for a Flux model."""


def params_mapping(value: Any, name: str) -> Mapping[Any, Any]:
    """Return *value* as a mapping: a ModelParams, a mapping, None (empty), or text holding JSON or
    a Python literal.

    :param name: what the caller calls the argument.
    :raises InvalidRequestError: if it is something else.
    """
    if value is None:
        return {}
    if isinstance(value, ModelParams):
        return value.as_dict()
    read: Any = value
    if isinstance(value, str):
        try:
            read = read_literal(value)
        except ValueError:
            read = None
    if isinstance(read, Mapping):
        return read
    kind = "FluxParams" if name == FLUX else "ModelParams"
    raise invalid(
        name,
        value,
        f"must be a mapping, a {kind}, or text that holds a mapping as JSON or as a Python literal",
    )


def parse_params(
    value: Any,
    *,
    name: str,
    model: str | None,
    templated: Collection[str] = (),
    models: Mapping[str, Model] = MODELS,
) -> ModelParams:
    """Check the parameters of *model*, and return them.

    :param value: see :func:`params_mapping`. With *name* "params" and a model that the catalogue
        does not know: one object by its name in the body, ``{"fooParams": {...}}``.
    :param name: what the caller calls them, "flux_params" or "params".
    :param model: model id; None where it is not known yet, or wrong.
    :param templated: names in *value*, or in the one object in it, whose values are not known yet.
    :param models: those that the request may have.
    :raises InvalidRequestError: naming every wrong parameter, its value and what is allowed.
    """
    given = params_mapping(value, name)
    known = models.get(model or "")
    family = params_class(known.family) if known else FluxParams if name == FLUX else None
    if family is None:
        if isinstance(value, ModelParams) and given:
            given = {value.body_key: given}
        return _of_unknown(given, name=name, model=model, templated=templated, models=models)
    if name == FLUX and given and family is not FluxParams:
        raise invalid(
            name,
            value,
            f"goes with Flux models, and {model!r} is none; give its parameters as params "
            "(ImageGenerateOperator)",
        )
    return family.parse(given, model=model, templated=templated, name=name)


def _of_unknown(
    given: Mapping[Any, Any],
    *,
    name: str,
    model: str | None,
    templated: Collection[str],
    models: Collection[str],
) -> ModelParams:
    if model is None or not given:
        return ModelParams()
    key, values = next(iter(given.items()))
    fits = isinstance(key, str) and BODY_KEY.fullmatch(key)
    if len(given) > 1 or not fits or not (isinstance(values, Mapping) or key in templated):
        near = nearest_model(model, models)
        meant = f" (did you mean {near!r}?)" if near else ""
        raise invalid(
            name,
            dict(given),
            f"{model!r} is no model that this provider knows{meant}; the parameters of such a "
            'model must be one mapping by its name in the request\'s body: {"fooParams": {...}}',
        )
    if not isinstance(values, Mapping):
        return ModelParams()  # a template: checked once it is rendered
    if family := class_of_key(key):
        return family.parse(values, templated=templated, name=name)
    # Not JSON yet where something in it is a template.
    return ModelParams() if key in templated else OtherParams.of(key, values, name=name)
