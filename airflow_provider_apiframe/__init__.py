"""Apache Airflow provider for Apiframe's image generation API.

This module imports nothing of Airflow: Airflow itself imports it to learn what the provider offers.
"""

from __future__ import annotations

from typing import Any

from airflow_provider_apiframe import connection_form

__version__ = "0.1.0"

_INTEGRATION = "Apiframe"
_PACKAGE = "airflow_provider_apiframe"


def get_provider_info() -> dict[str, Any]:
    """What Airflow's provider discovery reads (entry point group ``apache_airflow_provider``)."""
    return {
        "package-name": "airflow-provider-apiframe",
        "name": "Apiframe",
        "description": "Generate images with `Apiframe <https://apiframe.ai/>`__ (Flux 2 Flex and the other Flux models).",
        "integrations": [
            {
                "integration-name": _INTEGRATION,
                "external-doc-url": "https://apiframe.ai/docs",
                "tags": ["service"],
            }
        ],
        "hooks": [{"integration-name": _INTEGRATION, "python-modules": [f"{_PACKAGE}.hooks.apiframe"]}],
        "operators": [{"integration-name": _INTEGRATION, "python-modules": [f"{_PACKAGE}.operators.flux"]}],
        "sensors": [{"integration-name": _INTEGRATION, "python-modules": [f"{_PACKAGE}.sensors.job"]}],
        "triggers": [{"integration-name": _INTEGRATION, "python-modules": [f"{_PACKAGE}.triggers.job"]}],
        "connection-types": [
            {
                "connection-type": connection_form.CONNECTION_TYPE,
                "hook-class-name": f"{_PACKAGE}.hooks.apiframe.ApiframeHook",
                "hook-name": connection_form.HOOK_NAME,
                "conn-fields": connection_form.conn_fields(),
                "ui-field-behaviour": connection_form.ui_field_behaviour_metadata(),
            }
        ],
    }
