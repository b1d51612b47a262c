"""The vendor's OpenAPI file, which lies beside the project where it is at hand, and is not part of
it.
"""

from __future__ import annotations

from pathlib import Path

OPENAPI = Path(__file__).resolve().parents[2].parent / "shared" / "apiframe-openapi.json"
