from __future__ import annotations

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException, Stats

from airflow_provider_apiframe.api.errors import BudgetExceededError, ServiceUnavailableError
from airflow_provider_apiframe.api.params.request import GenerateRequest
from airflow_provider_apiframe.delivery.metrics import CREDITS_METRIC
from airflow_provider_apiframe.hooks.apiframe import ApiframeHook
from airflow_provider_apiframe.operators.flux import FluxGenerateOperator
from airflow_provider_apiframe.sensors.job import ApiframeJobSensor

PRICE = 12  # of an image with flux-2-flex in the sandbox


def operator(**arguments) -> FluxGenerateOperator:
    return FluxGenerateOperator(
        **{"task_id": "poster", "prompt": "a poster", "poll_interval": 0.05, **arguments}
    )


@pytest.fixture
def counted(monkeypatch) -> list[tuple[str, int, dict[str, str]]]:
    """What went to Airflow's metrics."""
    seen = []
    monkeypatch.setattr(
        Stats,
        "incr",
        lambda stat, count=1, rate=1, *, tags=None: seen.append((stat, count, tags)),
        raising=False,
    )
    return seen


def said(caplog, capfd) -> str:
    return caplog.text + "".join(capfd.readouterr())


def test_an_image_within_its_limit_is_made(connected, ti):
    assert operator(max_credits=PRICE).execute({"ti": ti})["credit_cost"] == PRICE


@pytest.mark.parametrize(
    ("arguments", "credits", "pieces"),
    [
        (
            {"max_credits": PRICE - 1},
            5000,
            ["may cost 12 credits", "max_credits=11", "'flux-2-flex'"],
        ),
        ({"max_credits": 100}, PRICE - 1, ["may cost 12 credits", "the team has 11"]),
        (
            {"max_credits": 100, "model": "flux-9"},
            5000,
            ["catalogue does not say", "'flux-9'", "max_credits=100"],
        ),
    ],
)
def test_an_image_that_may_cost_too_much_is_refused_before_anything_is_submitted(
    arguments, credits, pieces, connected, ti
):
    connected.configure(credits=credits)
    with pytest.raises(AirflowFailException) as caught:
        operator(**arguments).execute({"ti": ti})
    for piece in [*pieces, "Nothing was submitted"]:
        assert piece in str(caught.value)
    assert "generate" not in connected.state.requests


def test_a_catalogue_that_cannot_be_read_is_left_to_a_retry_and_nothing_is_submitted(
    connected, connect, ti
):
    connect(password=connected.api_key, host=connected.url, extra={"max_retries": 0})
    connected.faults.next("models", status=503)
    with pytest.raises(ServiceUnavailableError):
        operator(max_credits=100).execute({"ti": ti})
    assert "generate" not in connected.state.requests


def test_without_a_limit_nothing_is_asked_but_the_image(connected, ti):
    operator().execute({"ti": ti})
    assert {"models", "me"} & connected.state.requests.keys() == set()


def test_an_empty_balance_does_not_keep_a_retry_from_the_image_it_paid_for(connected, connect, ti):
    connect(password=connected.api_key, host=connected.url, extra={"max_retries": 0})
    connected.configure(credits=PRICE)
    connected.faults.next("generate", status=504, applied=True)
    ti.max_tries = 1
    with pytest.raises(ServiceUnavailableError):
        operator(retries=1, max_credits=PRICE).execute({"ti": ti})
    ti.try_number = 2
    assert connected.state.credits == 0
    assert operator(retries=1, max_credits=PRICE).execute({"ti": ti})["reused"] is True


def test_an_image_that_cost_more_than_its_limit_is_delivered_with_a_warning(ti, caplog, capfd):
    job = {
        "id": "j-1",
        "status": "COMPLETED",
        "result": ["https://cdn.example/1.png"],
        "credit_cost": 30,
    }
    result = operator(max_credits=20).execute_complete(
        {"ti": ti}, {"status": "finished", "job": job}
    )
    assert result["credit_cost"] == 30
    assert "Job j-1 cost 30 credits, more than max_credits=20" in said(caplog, capfd)


def test_what_is_spent_is_counted_once_per_image(connected, ti, counted):
    operator().execute({"ti": ti})
    tags = {"model": "flux-2-flex", "dag_id": "a_dag", "task_id": "poster"}
    assert counted == [(CREDITS_METRIC, PRICE, tags)]


def test_an_image_that_only_the_sensor_collects_is_counted_there(connected, ti, counted):
    job_id = operator(wait_for_completion=False).execute({"ti": ti})["job_id"]
    assert counted == []
    ApiframeJobSensor(task_id="collect", job_id=job_id, poke_interval=0.05).execute({"ti": ti})
    assert [(name, count) for name, count, _ in counted] == [(CREDITS_METRIC, PRICE)]


def test_a_price_that_is_not_told_is_not_counted(connected, ti, counted, caplog, capfd):
    connected.configure(cost_null=True)
    operator().execute({"ti": ti})
    assert counted == []
    assert "does not say what job" in said(caplog, capfd)


def test_the_error_can_be_told_apart(connected):
    from airflow_provider_apiframe.submission.budget import check_budget

    with pytest.raises(BudgetExceededError):
        check_budget(ApiframeHook(), GenerateRequest.parse(prompt="x"), 1, first_try=True)
