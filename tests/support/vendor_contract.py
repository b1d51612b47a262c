"""The vendor's OpenAPI file: beside the project where it is at hand, and not part of it."""

from __future__ import annotations

from pathlib import Path

OPENAPI = Path(__file__).resolve().parents[2].parent / "shared" / "apiframe-openapi.json"
