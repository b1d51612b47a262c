"""The Airflow connection of type ``apiframe``: its form, and the settings that it stands for.

Airflow 3.2 and newer draw the form from metadata (``conn-fields``, ``ui-field-behaviour``); older
ones ask the hook class for wtforms widgets. Both are made from the fields of
:class:`airflow_provider_apiframe.api.settings.ClientOptions`.

Imports nothing of Airflow, which reads this module at each of its starts.
"""

from __future__ import annotations

import difflib
import json
import logging
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from airflow_provider_apiframe.api.errors import ConfigurationError
from airflow_provider_apiframe.api.settings import (
    DEFAULT_BASE_URL,
    ClientOptions,
    ClientSettings,
)
from airflow_provider_apiframe.api.validation import fields_of, value_range

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Connection

log = logging.getLogger(__name__)

CONNECTION_TYPE = "apiframe"
HOOK_NAME = "Apiframe"
DEFAULT_CONNECTION_ID = "apiframe_default"

# The port is shown although the base URL may hold it: the Test button of Airflow 3.3.2 posts 0 for
# a port that is not stored, and the server answers "Bad Request" because 0 is not null.
HIDDEN_FIELDS = ("schema", "login", "extra")
LABELS = {"password": "API key", "host": "Base URL"}
PLACEHOLDERS = {
    "password": "afk_...",
    "host": DEFAULT_BASE_URL,
    "port": "443 (the Test button of Airflow 3.3 needs one)",
}


class ConnectionNotFoundError(ConfigurationError):
    """Airflow has no such connection, or could not say: both look the same.

    While its database or API server is away, a connection reads as not found.

    :param conn_id: id of the connection.
    :param advice: how to add it; default: as a connection to Apiframe.
    """

    transient = True

    def __init__(self, conn_id: str, advice: str | None = None) -> None:
        own = (
            f"Add one: airflow connections add {conn_id} --conn-type apiframe --conn-password "
            "YOUR_API_KEY (keys are made at console.apiframe.ai). A connection in an environment "
            f"variable, {environment_variable(conn_id)}, must be set for the triggerer too. "
            "Outside a task Airflow 3 sees no other than those and secrets backends."
        )
        super().__init__(
            f"Airflow has no connection {conn_id!r}, or cannot read it just now. {advice or own}"
        )


def environment_variable(conn_id: str) -> str:
    """Return the name of the environment variable that may hold a connection."""
    return f"AIRFLOW_CONN_{conn_id.upper()}"


def conn_fields() -> dict[str, Any]:
    """Return the ``conn-fields`` metadata: field name -> label, description and JSON schema.

    A field that is left alone stores null: a default would be stored as text and hide a change of
    ours, and Airflow's secrets masker warns of a value as short as "true" in each task's log.
    """
    fields = {}
    for name, field in fields_of(ClientOptions).items():
        schema = {"type": [_kind(field), "null"], "default": None}
        for bound in ("minimum", "exclusiveMinimum"):
            if bound in _range(field):
                schema[bound] = _range(field)[bound]
        fields[name] = {
            "label": field["title"],
            "description": _description(field),
            "schema": schema,
        }
    return fields


def connection_form_widgets() -> dict[str, Any]:
    """Return the same as wtforms fields, for the form of Airflow 2.11 - 3.1 (Flask-AppBuilder)."""
    from flask_appbuilder.fieldwidgets import BS3TextFieldWidget
    from flask_babel import lazy_gettext
    from wtforms import BooleanField, IntegerField, StringField
    from wtforms.validators import NumberRange, Optional

    def widget(field: dict[str, Any]) -> Any:
        label, description = lazy_gettext(field["title"]), _description(field)
        if _kind(field) == "boolean":
            return BooleanField(label, description=description)
        whole = _kind(field) == "integer"
        # Airflow takes four kinds of field only, and none for fractions: those are text here, and
        # checked at use.
        return (IntegerField if whole else StringField)(
            label,
            validators=[Optional(), NumberRange(min=field["minimum"])] if whole else [Optional()],
            widget=BS3TextFieldWidget(),
            description=description,
        )

    return {name: widget(field) for name, field in fields_of(ClientOptions).items()}


def _kind(field: dict[str, Any]) -> str:
    # What may be true, false or text is text in a form.
    return str(_range(field).get("type", "string"))


def _range(field: dict[str, Any]) -> dict[str, Any]:
    """Return what a field allows besides being left empty."""
    kinds = [kind for kind in field.get("anyOf", ()) if kind["type"] != "null"]
    return kinds[0] if len(kinds) == 1 else field


def _description(field: dict[str, Any]) -> str:
    text = field["description"]
    default = json.dumps(field["default"]).removesuffix(".0")
    if field["default"] is None:
        default = "no limit"
    return f"{text[0].upper()}{text[1:]}: {value_range(field)}. Default: {default}."


def ui_field_behaviour_metadata() -> dict[str, Any]:
    """Return the ``ui-field-behaviour`` metadata, with the dashes that the schema wants."""
    behaviour = ui_field_behaviour()
    return {name.replace("_", "-"): value for name, value in behaviour.items()}


def ui_field_behaviour() -> dict[str, Any]:
    """Return the same for the hook method that Airflow 2.11 - 3.1 call."""
    return {
        "hidden_fields": list(HIDDEN_FIELDS),
        "relabeling": dict(LABELS),
        "placeholders": dict(PLACEHOLDERS),
    }


def settings_from(connection: Connection, conn_id: str) -> ClientSettings:
    """Return the client's settings that an Airflow connection stands for.

    :raises ConfigurationError: naming the connection, the field and what is allowed.
    """
    name = f"connection {conn_id!r}"
    return ClientSettings(
        name=name,
        api_key=connection.password,
        base_url=_base_url(connection),
        **_options(connection.extra, name),
    )


def _base_url(connection: Connection) -> str:
    """Put together what Airflow keeps apart when a connection is written as a URI."""
    host = (connection.host or "").strip().rstrip("/")
    if not host:
        return DEFAULT_BASE_URL
    scheme, _, rest = host.rpartition("://")
    if not scheme and connection.schema in ("http", "https"):
        scheme = connection.schema
    netloc, _, path = rest.partition("/")
    # A port that is written in the host counts.
    if connection.port and not re.search(r"[^:]:[0-9]+$", netloc):
        netloc = f"{netloc}:{connection.port}"
    return f"{scheme}://{netloc}/{path}" if scheme else f"{netloc}/{path}"


def _options(extra: str | None, name: str) -> dict[str, Any]:
    """Return the extras that are set; one that nobody knows is named and left out.

    The JSON is read here, not with ``extra_dejson``: that masks every value through a synchronous
    call to the supervisor, which must not happen on the triggerer's event loop.
    """
    try:
        values = json.loads(extra) if extra else {}
    except (ValueError, RecursionError):
        values = None
    if not isinstance(values, Mapping):
        raise ConfigurationError(f"{name}: the extra must be a JSON object")
    known = ClientOptions.model_fields
    for unknown in values.keys() - known.keys():
        near = difflib.get_close_matches(unknown, known, n=1)
        advice = f"; did you mean {near[0]!r}?" if near else ""
        log.warning("%s: unknown extra %r is ignored%s", name, unknown, advice)
    # Forms and environment variables give "" for what was left empty.
    return {key: value for key, value in values.items() if key in known and value not in (None, "")}
