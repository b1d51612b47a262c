"""What Airflow discovers of this provider. Imports nothing of Airflow."""

from __future__ import annotations

from typing import Any

from airflow_provider_apiframe.hooks.config import config_sections
from airflow_provider_apiframe.hooks.connection import (
    CONNECTION_TYPE,
    HOOK_NAME,
    conn_fields,
    ui_field_behaviour_metadata,
)

_INTEGRATION = "Apiframe"
_PACKAGE = "airflow_provider_apiframe"


def provider_info() -> dict[str, Any]:
    """Return the provider's metadata, by the schema of Airflow's ``provider_info.schema.json``."""

    def modules(*names: str) -> list[dict[str, Any]]:
        return [
            {
                "integration-name": _INTEGRATION,
                "python-modules": [f"{_PACKAGE}.{name}" for name in names],
            }
        ]

    return {
        "package-name": "airflow-provider-apiframe",
        "name": "Apiframe",
        # Plain text: the UI shows it as it is.
        "description": "Generate and edit images with Apiframe: Flux 2 Flex, Midjourney, "
        "Nano Banana, Seedream, Ideogram, GPT Image and its other image models.",
        "integrations": [
            {
                "integration-name": _INTEGRATION,
                "external-doc-url": "https://apiframe.ai/docs",
                "tags": ["service"],
            }
        ],
        "hooks": modules("hooks.apiframe"),
        "operators": modules(
            "operators.batch",
            "operators.flux",
            "operators.image",
            "operators.image_tools",
            "operators.review",
            "operators.variants",
        ),
        "sensors": modules("sensors.budget", "sensors.job"),
        "triggers": modules("triggers.batch", "triggers.job"),
        "task-decorators": [
            {"name": "flux", "class-name": f"{_PACKAGE}.decorators.flux.flux_task"},
            {"name": "image", "class-name": f"{_PACKAGE}.decorators.image.image_task"},
        ],
        "connection-types": [
            {
                "connection-type": CONNECTION_TYPE,
                "hook-class-name": f"{_PACKAGE}.hooks.apiframe.ApiframeHook",
                "hook-name": HOOK_NAME,
                "conn-fields": conn_fields(),
                "ui-field-behaviour": ui_field_behaviour_metadata(),
            }
        ],
        "extra-links": [
            f"{_PACKAGE}.links.image.ImageLink",
            f"{_PACKAGE}.links.job.ApiframeJobLink",
        ],
        "config": config_sections(),
    }
