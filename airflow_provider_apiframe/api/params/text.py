"""Text: how long it may be, and values as text, as a Jinja template makes of a dict or a list."""

from __future__ import annotations

import ast
import json
from typing import Any

from airflow_provider_apiframe.api.validation import RuleError

MAX_TEXT = 100_000
"""Characters of text that are read as a mapping or a list: ten times what the parameters can need,
and little enough to be read at once."""


def checked_text(value: Any, most: int, least: int = 1) -> str:
    """Return *value* if it is text of a length that may be sent.

    :param most: characters at most, in UTF-16 units, as the JavaScript backend counts: an emoji is
        two.
    :param least: 0, or 1 for a text that is not blank.
    :raises RuleError: it is no text, too long, blank, or holds half a character.
    """
    if not isinstance(value, str):
        raise RuleError(f"must be {text_noun(most, least)}")
    length = len(value.encode("utf-16-le", "surrogatepass")) // 2
    is_blank = least > 0 and not value.strip()
    if length > most or is_blank:
        found = "is only white space" if is_blank and value else "is empty" if is_blank else ""
        span = f"{least} to {most}" if least else f"at most {most}"
        raise RuleError(f"must have {span} characters, {found or f'has {length}'}")
    if any("\ud800" <= character <= "\udfff" for character in value):
        raise RuleError("holds half a character (a lone surrogate), which cannot be sent")
    return value


def text_noun(most: int, least: int = 1) -> str:
    """Say how long a text may be, e.g. "text of 1 to 2000 characters"."""
    return f"text of {f'{least} to' if least else 'at most'} {most} characters"


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
