"""The provider's section in Airflow's configuration, ``[apiframe]``: its options, declared once.

Imports nothing of Airflow, which reads this module at each of its starts.
"""

from __future__ import annotations

from typing import Any

SECTION = "apiframe"
TRIGGERERS = "triggerers"
DEFAULT_TRIGGERERS = 1
PUBLIC_URLS = "public_urls"
NO_PUBLIC_URLS = ""  # not "{}": Airflow 3.3 formats defaults, and fails on braces


def config_sections() -> dict[str, Any]:
    """Return the ``config`` metadata: section -> description and options, as in config.yml."""
    return {
        SECTION: {
            "description": "Settings of the Apiframe provider.",
            "options": {
                TRIGGERERS: {
                    "description": (
                        "How many triggerers run at most, a whole number, at least 1. Each takes "
                        "this part of what a connection's requests_per_minute allows, so that all "
                        "of them together stay within it. With autoscaling: the highest number."
                    ),
                    "version_added": "0.1.0",
                    "type": "integer",
                    "example": "2",
                    "default": str(DEFAULT_TRIGGERERS),
                },
                PUBLIC_URLS: {
                    "description": (
                        "Where people may look at saved images: a JSON object from the beginning "
                        "of a storage URL to the public http(s) address that shows the same files. "
                        'The link "Image" of a task then leads there.'
                    ),
                    "version_added": "0.1.0",
                    "type": "string",
                    "example": '{"s3://brand-assets/": "https://cdn.example.com/brand-assets/"}',
                    "default": NO_PUBLIC_URLS,
                },
            },
        }
    }
