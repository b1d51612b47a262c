"""The sensor that waits for credits."""

from __future__ import annotations

import tempfile

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException

from airflow_provider_apiframe.api.errors import UnexpectedResponseError
from airflow_provider_apiframe.exceptions import InvalidParameterError
from airflow_provider_apiframe.hooks.apiframe import ApiframeHook
from airflow_provider_apiframe.sensors.budget import ApiframeBudgetSensor

PRICE = 12  # of an image with flux-2-flex in the sandbox


@pytest.fixture(autouse=True)
def temporary_files(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))


@pytest.fixture
def limited(sandbox, connect):
    """Call it to set the connection's limit per day."""

    def limited(credits: float):
        extra = {"max_credits_per_day": credits}
        connect(password=sandbox.api_key, host=sandbox.url, extra=extra)
        return sandbox

    return limited


def sensor(credits: object, **arguments) -> ApiframeBudgetSensor:
    return ApiframeBudgetSensor(task_id="wait", credits=credits, **arguments)


def test_it_waits_in_reschedule_mode_and_pokes_every_five_minutes():
    waiting = sensor(100)
    assert (waiting.mode, waiting.poke_interval) == ("reschedule", 300)


@pytest.mark.parametrize(("balance", "covered"), [(99, False), (100, True), (5000, True)])
def test_it_waits_until_the_balance_covers_the_credits(balance, covered, connected):
    connected.configure(credits=balance)
    assert sensor(100).poke({}) is covered


def test_without_a_limit_per_day_a_poke_is_one_request(connected):
    sensor(100).poke({})
    assert connected.state.requests == {"me": 1}


@pytest.mark.parametrize(("credits", "covered"), [(20, True), (20.5, False)])
def test_it_waits_until_the_rest_of_the_day_covers_the_credits(credits, covered, limited):
    limited(20 + PRICE)
    ApiframeHook().generate_image(prompt="a poster")
    assert sensor(credits).poke({}) is covered


def test_more_than_a_day_ever_covers_fails_without_retry(limited):
    limited(20)
    with pytest.raises(AirflowFailException, match="no day covers it"):
        sensor(21).poke({})


def test_it_ends_once_the_credits_are_there(connected, ti, monkeypatch):
    connected.configure(credits=1)
    waiting = sensor(100, mode="poke", poke_interval=0.01)
    poke = waiting.poke

    def poke_and_buy(context):
        covered = poke(context)
        connected.configure(credits=100)
        return covered

    monkeypatch.setattr(waiting, "poke", poke_and_buy)
    waiting.execute({"ti": ti})
    assert connected.state.requests["me"] == 2


@pytest.mark.parametrize("route", ["me", "jobs"])
@pytest.mark.parametrize("fault", [{"status": 503}, {"retry_after": "3600"}])
def test_an_outage_is_waited_out_and_does_not_hold_a_poke_up(route, fault, limited):
    sandbox = limited(1000)
    sandbox.faults.next(route, **fault)
    waiting = sensor(100)
    assert not waiting.poke({})
    assert sandbox.state.requests[route] == 1
    assert waiting.poke({})


def test_an_unusable_answer_is_left_to_airflows_retry(connected):
    connected.faults.next("me", body="<html>")
    with pytest.raises(UnexpectedResponseError):
        sensor(100).poke({})


def test_a_connection_that_cannot_be_read_just_now_is_waited_for(monkeypatch):
    monkeypatch.delenv("AIRFLOW_CONN_APIFRAME_DEFAULT", raising=False)
    assert not sensor(100, apiframe_conn_id="none_such").poke({})


def test_a_bad_key_fails_without_retry(sandbox, connect):
    connect(password="afk_wrong", host=sandbox.url)
    with pytest.raises(AirflowFailException, match="API key"):
        sensor(100).poke({})


@pytest.mark.parametrize("credits", [0, -1, "many", None, True, float("inf"), float("nan")])
def test_credits_that_are_no_number_above_zero_are_refused_when_the_dag_is_read(credits):
    with pytest.raises(InvalidParameterError, match="task 'wait': credits="):
        sensor(credits)


def test_mapped_credits_are_checked_when_the_dag_is_read():
    partial = ApiframeBudgetSensor.partial(task_id="wait")
    with pytest.raises(InvalidParameterError, match="credits=0"):
        partial.expand(credits=[5, 0])


@pytest.mark.parametrize(("rendered", "covered"), [("100", True), ("9000", False)])
def test_credits_may_be_a_template(rendered, covered, connected):
    waiting = sensor("{{ params.credits }}")
    waiting.credits = rendered  # as rendering does
    assert waiting.poke({}) is covered


def test_credits_that_rendered_to_no_number_fail_without_retry(connected):
    waiting = sensor("{{ params.credits }}")
    waiting.credits = "plenty"
    with pytest.raises(InvalidParameterError, match="credits='plenty'"):
        waiting.poke({})
    assert connected.state.requests == {}
