"""After a submit was accepted nothing is final but the job's own end: how an image that was paid
could get lost.
"""

from __future__ import annotations

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException
from task_lives import KILLS, Killed, Store, Task, wait_until

from airflow_provider_apiframe.api.errors import ApiframeError, JobFailedError
from airflow_provider_apiframe.polling import schedule
from airflow_provider_apiframe.submission.records import RECORD_KEY

PRICE = 12  # of an image with flux-2-flex in the sandbox
ODD_RESPONSES = [
    {"status": 401, "body": {"error": "Invalid API key"}},
    {"status": 403, "body": {"error": "API key is inactive"}},
    {"status": 403, "body": "error code: 1010"},
    {"status": 404},
    {"status": 302, "headers": {"Location": "https://elsewhere.example/"}},
    {"status": 400},
    {"status": 409},
    {"status": 421},
    {"status": 425},
    {"status": 200, "body": "<html>"},
]
names = [f"{fault['status']}-{number}" for number, fault in enumerate(ODD_RESPONSES)]


@pytest.fixture(autouse=True)
def _short_pauses(monkeypatch):
    monkeypatch.setattr(schedule, "ACCOUNT_PAUSE", 0.02)


@pytest.fixture(params=[True, False], ids=["store", "no store"])
def store(request) -> Store | None:
    return Store() if request.param else None


@pytest.mark.parametrize("deferrable", [False, True], ids=["sync", "deferrable"])
@pytest.mark.parametrize("fault", ODD_RESPONSES, ids=names)
def test_an_odd_response_while_waiting_is_ridden_out(fault, deferrable, store, connected):
    task = Task(store, deferrable=deferrable)
    for route in ("job", "jobs"):
        connected.faults.next(route, times=2, **fault)
    assert task.run()["image_urls"]
    assert connected.state.jobs_paid == 1


@pytest.mark.parametrize("fault", ODD_RESPONSES, ids=names)
def test_an_odd_response_while_reconnecting_is_ridden_out(fault, store, connected):
    task = Task(store)
    with pytest.raises(Killed):
        task.run("before waiting")
    connected.faults.next("job", times=2, **fault)
    assert task.run()["image_urls"]
    assert connected.state.jobs_paid == 1


@pytest.mark.parametrize("status", [401, 402, 403, 404, 302, 421])
def test_a_refusal_that_meets_only_the_retry_is_left_to_another_one(status, connected):
    task = Task(None)
    with pytest.raises(Killed):
        task.run("before waiting")
    connected.faults.next("generate", status=status, body={"error": "No"})
    with pytest.raises(ApiframeError, match="worth a retry"):  # which Airflow retries
        task.run()
    assert task.run()["reused"] is True
    assert connected.state.jobs_paid == 1


@pytest.mark.parametrize("jobs", [[], None], ids=["empty", "hidden"])
def test_a_retry_gets_past_a_dead_job_without_the_list(jobs, connected):
    """The repeat answers with the job's first status, and the list shows nothing of it."""
    connected.configure(fail_rate=1, replay_status="original")
    body = {"jobs": jobs or [], "nextCursor": None}
    connected.faults.next("jobs", body=body, times=99)
    task = Task(None, retries=5)
    for _ in range(2):
        with pytest.raises(JobFailedError):
            task.run()
    connected.configure(fail_rate=0)
    assert task.run()["image_urls"]
    assert (connected.state.jobs_created, connected.state.jobs_paid) == (3, 1)


# The budget


def kill_after_paying(task: Task) -> None:
    with pytest.raises(Killed):
        task.run("before waiting")


def test_a_price_that_rose_keeps_no_retry_from_the_image_it_has_paid(store, connected):
    task = Task(store, max_credits=PRICE)
    kill_after_paying(task)
    connected.faults.next("models", body={"models": [{"id": "flux-2-flex", "costMax": 99}]})
    assert task.run()["reused"] is True


def test_a_model_that_left_the_catalogue_keeps_no_retry_from_the_image_it_has_paid(
    store, connected
):
    task = Task(store, max_credits=PRICE)
    kill_after_paying(task)
    connected.faults.next("models", body={"models": []})
    assert task.run()["reused"] is True


def test_a_price_that_rose_before_anything_was_submitted_is_refused_on_a_retry_too(
    store, connected
):
    task = Task(store, max_credits=PRICE)
    with pytest.raises(Killed):
        task.run("before the POST")
    connected.faults.next("models", body={"models": [{"id": "flux-2-flex", "costMax": 99}]})
    with pytest.raises(AirflowFailException, match="may cost 99 credits"):
        task.run()
    assert connected.state.jobs_created == 0


@pytest.mark.parametrize("price", ["NaN", "-1", "Infinity", "null", '"free"'])
def test_a_price_that_is_none_is_no_price(price, connected):
    body = f'{{"models": [{{"id": "flux-2-flex", "costMax": {price}}}]}}'
    connected.faults.next("models", body=body)
    with pytest.raises(AirflowFailException, match="catalogue does not say"):
        Task(None, max_credits=100).run()
    assert connected.state.jobs_created == 0


def test_one_bad_entry_of_the_catalogue_hides_no_other(connected):
    models = [{"id": ""}, {"name": "?"}, None, {"id": "flux-2-flex", "costMax": PRICE}]
    connected.faults.next("models", body={"models": models})
    assert Task(None, max_credits=PRICE).run()["image_urls"]


# Scopes and records


@pytest.mark.parametrize("made", [1, 2])
def test_lowering_retries_by_the_tries_made_and_clearing_makes_a_new_image(made, connected):
    task = Task(Store(), retries=3)
    for _ in range(made - 1):
        kill_after_paying(task)
    first = task.run()
    task.arguments["retries"] = 3 - made
    task.clear()
    assert task.max_tries == 3
    second = task.run()
    assert second["job_id"] != first["job_id"]
    assert second["reused"] is False


@pytest.mark.parametrize("kill", [kill for kill in KILLS if kill != "before the POST"])
def test_the_retries_after_such_a_clear_reconnect_to_their_own_job(kill, connected):
    task = Task(Store(), retries=3)
    first = task.run()
    task.arguments["retries"] = 2
    task.clear()
    with pytest.raises(Killed):
        task.run(kill)
    second = task.run()
    assert second["job_id"] != first["job_id"]
    assert connected.state.jobs_created == 2


def test_another_task_that_is_cleared_pays_for_nothing_here(store, connected):
    task = Task(store, retries=3)
    kill_after_paying(task)
    task.dag_run.clear_number += 1
    assert task.run()["reused"] is True
    assert connected.state.jobs_created == 1


@pytest.mark.parametrize(
    "value",
    [
        {"job_id": 7, "fingerprint": [], "scope": "x", "generation": None},
        {"job_id": "j-1", "fingerprint": "x", "scope": 3, "generation": "0"},
        {"job_id": "j-1"},
        ["j-1"],
    ],
)
def test_a_record_with_wrong_types_is_ignored_and_the_log_says_so(value, connected, caplog, capfd):
    store = Store()
    task = Task(store)
    kill_after_paying(task)
    store.set(RECORD_KEY, value)
    assert task.run()["reused"] is True
    assert "is no record of this provider; ignored" in caplog.text + "".join(capfd.readouterr())


def test_a_try_that_is_repeated_without_a_new_number_gets_past_its_dead_job(connected):
    """Airflow 3.4: RetryAction.RESCHEDULE runs a try again under the same number."""
    connected.configure(fail_rate=1)
    task = Task(None)
    with pytest.raises(JobFailedError):
        task.run()
    wait_until(lambda: connected.state.refunds == 1)
    connected.configure(fail_rate=0)
    task.try_number -= 1
    task.reschedules = 1
    assert task.run()["image_urls"]
    assert connected.state.jobs_paid == 1
