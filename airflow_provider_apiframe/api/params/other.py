"""The parameters of models that this provider does not know: sent as they are."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from typing import Any, Self

from airflow_provider_apiframe.api.params.base import ModelParams, invalid

MAX_DEPTH = 8
"""Levels of lists and objects."""

MAX_BYTES = 100_000
"""As JSON."""

BODY_KEY = re.compile(r"[a-z][A-Za-z0-9]{0,60}Params")
"""What the names of these objects look like. No other field of a body does, so none is replaced."""


class OtherParams(ModelParams):
    """One object of JSON under its name in the request's body. Made with :meth:`of`.

    Paths in it are not uploaded: which of its texts are images is not known.
    """

    body_name: str
    values: dict[str, Any]

    @classmethod
    def of(cls, body_key: str, values: Mapping[Any, Any], *, name: str) -> Self:
        """Check that *values* can be sent, and return a copy.

        :param body_key: e.g. "fooParams".
        :param values: JSON values, at most 8 levels deep, and 100 kB.
        :param name: what errors call the argument.
        :raises InvalidRequestError: something in it is no JSON, or it is too deep or too large.
        """
        if reason := _wrong(values, MAX_DEPTH):
            raise invalid(f"{name}[{body_key!r}]", values, reason)
        text = json.dumps(values)
        if len(text) > MAX_BYTES:
            reason = f"must have at most {MAX_BYTES} bytes as JSON, has {len(text)}"
            raise invalid(f"{name}[{body_key!r}]", values, reason)
        return cls(body_name=body_key, values=json.loads(text))

    @property
    def body_key(self) -> str:
        """The name of the object in a request's body."""
        return self.body_name

    def as_dict(self) -> dict[str, Any]:
        """Return what was given."""
        return dict(self.values)

    def value(self, name: str) -> Any:
        """Return the parameter *name*, None where it is not set."""
        return self.values.get(name)


def _wrong(value: Any, depth: int) -> str | None:
    """Return why *value* is no JSON, None if it is."""
    if value is None or isinstance(value, (str, bool)):
        return None
    if isinstance(value, (int, float)):
        return None if _is_finite(value) else "JSON has no number that is not finite"
    if not depth:
        return f"is nested more than {MAX_DEPTH} levels deep"
    if isinstance(value, dict):
        if not all(isinstance(name, str) for name in value):
            return "the names in a JSON object must be text"
        value = list(value.values())
    if isinstance(value, (list, tuple)):
        return next((reason for item in value if (reason := _wrong(item, depth - 1))), None)
    return f"must be JSON, not {type(value).__name__}"


def _is_finite(number: int | float) -> bool:
    try:
        return math.isfinite(number)
    except OverflowError:  # a whole number that is infinite to all but Python
        return False
