"""The connection form of the UI, by the calls that it makes: save, then Test."""

from __future__ import annotations

import json

from one_machine import OneMachine

from airflow_provider_apiframe.provider_info import provider_info
from airflow_provider_apiframe.sandbox.server import Sandbox

MASKED = "***"  # what the form knows of a password that is stored


def test_the_test_button_answers_for_a_connection_that_the_form_saved(airflow: OneMachine) -> None:
    (connection_type,) = provider_info()["connection-types"]
    left_alone = dict.fromkeys(connection_type["conn-fields"])
    with Sandbox() as sandbox:
        form = {
            "connection_id": "from_the_form",
            "conn_type": "apiframe",
            "description": "",
            "host": sandbox.url,
            "login": "",
            "password": sandbox.api_key,
            "schema": "",
            "port": 443,  # what the placeholder asks for; the one in the host counts
            "extra": json.dumps(left_alone),
        }
        airflow.api.post("/connections", form)
        said = airflow.api.post("/connections/test", {**form, "password": MASKED})
    assert said["status"], said
    assert said["message"].startswith("Connected to team")
    assert sandbox.api_key not in json.dumps(said)
