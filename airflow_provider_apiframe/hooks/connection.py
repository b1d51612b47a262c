"""The form of the connection type ``apiframe``, declared once.

Airflow 3.2 and newer draw the form from metadata (``conn-fields``, ``ui-field-behaviour``); older
ones ask the hook class for wtforms widgets. Both are made from :data:`EXTRA_FIELDS` and the
constants below.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from airflow_provider_apiframe.api.settings import DEFAULT_BASE_URL

CONNECTION_TYPE = "apiframe"
HOOK_NAME = "Apiframe"
DEFAULT_CONNECTION_ID = "apiframe_default"

HIDDEN_FIELDS = ("schema", "login", "port", "extra")
LABELS = {"password": "API key", "host": "Base URL"}
PLACEHOLDERS = {"password": "afk_...", "host": DEFAULT_BASE_URL}


@dataclass(frozen=True)
class ExtraField:
    """One extra of the connection.

    ``kind`` is a JSON schema type: number, integer, boolean or string.
    """

    name: str
    label: str
    kind: str
    default: float | int | bool | str
    description: str
    minimum: float | None = None


EXTRA_FIELDS = (
    ExtraField(
        "timeout",
        "Timeout per request (s)",
        "number",
        60.0,
        "Seconds one HTTP request may take. Default 60.",
        minimum=0.1,
    ),
    ExtraField(
        "max_retries",
        "Retries per request",
        "integer",
        4,
        "How often a request is repeated after 408, 429, 5xx or a lost connection. Default 4.",
        minimum=0,
    ),
    ExtraField(
        "verify",
        "Verify TLS",
        "string",
        "true",
        'Certificate check: "true", or the path of a CA bundle. Default true.',
    ),
    ExtraField(
        "requests_per_minute",
        "Requests per minute",
        "integer",
        120,
        "How many requests each triggerer may make per minute to wait for jobs. Default 120; the API allows 500 for everything.",
        minimum=1,
    ),
    ExtraField(
        "allow_http",
        "Allow http://",
        "boolean",
        False,
        "Accept an unencrypted base URL on a host other than this machine. Default off.",
    ),
)


def conn_fields() -> dict[str, Any]:
    """Return the ``conn-fields`` metadata: field name -> label, description and JSON schema."""
    return {field.name: _metadata(field) for field in EXTRA_FIELDS}


def _metadata(field: ExtraField) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": [field.kind, "null"], "default": field.default}
    if field.minimum is not None:
        schema["minimum"] = field.minimum
    return {"label": field.label, "description": field.description, "schema": schema}


def ui_field_behaviour_metadata() -> dict[str, Any]:
    """Return the ``ui-field-behaviour`` metadata (kebab-case keys, as the provider schema wants them)."""
    return {
        "hidden-fields": list(HIDDEN_FIELDS),
        "relabeling": dict(LABELS),
        "placeholders": dict(PLACEHOLDERS),
    }


def ui_field_behaviour() -> dict[str, Any]:
    """Return the same for the hook method that Airflow 2.11 - 3.1 call (snake-case keys)."""
    return {
        "hidden_fields": list(HIDDEN_FIELDS),
        "relabeling": dict(LABELS),
        "placeholders": dict(PLACEHOLDERS),
    }


def connection_form_widgets() -> dict[str, Any]:
    """Return the extras as wtforms fields, for the form of Airflow 2.11 - 3.1 (needs Flask-AppBuilder)."""
    from flask_appbuilder.fieldwidgets import BS3TextFieldWidget
    from flask_babel import lazy_gettext
    from wtforms import BooleanField, IntegerField, StringField
    from wtforms.validators import NumberRange, Optional

    def widget(field: ExtraField) -> Any:
        label = lazy_gettext(field.label)
        if field.kind == "boolean":
            return BooleanField(label, default=field.default, description=field.description)
        whole = field.kind == "integer"
        # Airflow takes four kinds of field only, and none for fractions: those are text here, and
        # checked at use.
        return (IntegerField if whole else StringField)(
            label,
            validators=[Optional(), NumberRange(min=field.minimum)] if whole else [Optional()],
            widget=BS3TextFieldWidget(),
            default=field.default,
            description=field.description,
        )

    return {field.name: widget(field) for field in EXTRA_FIELDS}
