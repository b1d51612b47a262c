"""The public address of a saved image."""

from __future__ import annotations


def public_url(uri: str) -> str | None:
    """Return the public address of a saved image, None where it has none."""
    return None
