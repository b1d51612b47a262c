"""The response check that ``HttpEventTrigger`` wants, by its path.

The trigger loads this module anew for every response.
"""

from __future__ import annotations

from typing import Any


async def finished(response: Any) -> bool:
    """Return whether the response shows a job that has ended."""
    return response.json()["status"] in ("COMPLETED", "FAILED", "CANCELLED")
