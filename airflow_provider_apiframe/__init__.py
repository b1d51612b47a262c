"""Apache Airflow provider for Apiframe's image generation API.

Airflow imports this module at every start to learn what the provider offers, so it imports nothing.
"""

from __future__ import annotations

from typing import Any

__version__ = "0.1.0"


def get_provider_info() -> dict[str, Any]:
    """What Airflow's provider discovery reads (entry point group ``apache_airflow_provider``)."""
    from airflow_provider_apiframe.provider_info import provider_info

    return provider_info()
