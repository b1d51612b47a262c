"""The families of models: which class checks whose parameters."""

from __future__ import annotations

from airflow_provider_apiframe.api.params.base import ModelParams
from airflow_provider_apiframe.api.params.flux import FluxParams

FAMILIES: dict[str, type[ModelParams]] = {"flux": FluxParams}
"""The families of the catalogue, by ``Model.family``."""

BY_KEY: dict[str, type[ModelParams]] = {family.key: family for family in FAMILIES.values()}
"""The same, by the name of the object in a request's body."""

IMAGE_FIELDS = frozenset(name for family in FAMILIES.values() for name in family.image_fields)
"""The names of the parameters that are reference images in any of them."""
