"""Values as text: what a Jinja template makes of a dict or a list."""

from __future__ import annotations

import ast
import json
from typing import Any

MAX_TEXT = 100_000
"""Characters of text that are read as a mapping or a list: ten times what the parameters can need,
and little enough to be read at once."""


def read_literal(text: str, max_length: int = MAX_TEXT) -> Any:
    """Read *text* as JSON or, failing that, as a Python literal: what a Jinja template makes of a
    dict or a list.

    :param max_length: characters, default 100,000.
    :raises ValueError: if it is neither, or longer than *max_length*.
    """
    if len(text) > max_length:
        raise ValueError("too long")
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        try:
            return ast.literal_eval(text.strip())
        except (SyntaxError, ValueError, TypeError, MemoryError, RecursionError):
            raise ValueError("neither JSON nor a Python literal") from None
