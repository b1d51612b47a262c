"""The life of one task, try by try, against the sandbox: what is paid, and which image is
delivered.

A try is a new operator, as a new process has it. ``Killed`` stands for a process that ends at some
point; the real kills are in tests/lifecycle. Every rule is looked at with a task state store
(Airflow 3.3) and without one (before).
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from task_lives import KILLS, Killed, Store, Task, wait_until

from airflow_provider_apiframe.api.errors import (
    JobFailedError,
    JobTimeoutError,
    UnexpectedResponseError,
)
from airflow_provider_apiframe.sandbox.server import Sandbox
from airflow_provider_apiframe.submission.records import RECORD_KEY

DAY = 24 * 3600.0


@pytest.fixture(params=[True, False], ids=["store", "no store"])
def store(request) -> Store | None:
    return Store() if request.param else None


@pytest.mark.parametrize("deferrable", [False, True], ids=["sync", "deferrable"])
@pytest.mark.parametrize("kill", KILLS)
def test_a_killed_try_is_followed_by_one_that_pays_nothing_more(kill, deferrable, store, connected):
    task = Task(store, deferrable=deferrable)
    with pytest.raises(Killed):
        task.run(kill)
    result = task.run()
    assert [job.id for job in connected.state.jobs] == [result["job_id"]]
    assert result["reused"] is (kill != "before the POST")
    assert result["image_urls"]


def test_the_log_says_that_nothing_was_paid(store, connected, caplog, capfd):
    task = Task(store)
    with pytest.raises(Killed):
        task.run("at the end")
    job_id = task.run()["job_id"]
    assert f"reconnected to job {job_id} of an earlier try, nothing paid" in caplog.text + "".join(
        capfd.readouterr()
    )


def test_a_finished_job_is_delivered_without_waiting_or_deferring(store, connected):
    task = Task(store, deferrable=True)
    with pytest.raises(Killed):
        task.run("at the end")
    assert task.run("if it waits")["reused"] is True


def test_a_first_try_is_not_called_reused(store, connected):
    assert Task(store).run()["reused"] is False


def test_a_retry_without_waiting_finds_the_job_too(store, connected):
    task = Task(store, wait_for_completion=False)
    with pytest.raises(Killed):
        task.run("after the POST")
    assert task.run()["reused"] is True
    assert connected.state.jobs_created == 1


def test_a_failed_job_is_refunded_and_followed_by_a_new_one(store, connected):
    task = Task(store)
    connected.configure(fail_rate=1)
    for _ in range(2):
        with pytest.raises(JobFailedError, match="capacity"):
            task.run()
    connected.configure(fail_rate=0)
    result = task.run()
    assert (connected.state.jobs_created, connected.state.jobs_paid, result["reused"]) == (
        3,
        1,
        False,
    )


def test_refused_content_is_not_submitted_again(store, connected):
    task = Task(store, prompt="a poster [fail: Content policy violation]")
    with pytest.raises(AirflowFailException, match="change the prompt"):
        task.run()
    assert connected.state.credits_spent == 0


def test_a_refusal_that_only_the_retry_sees_is_final_too(store, connected):
    task = Task(store, prompt="a poster [fail: Content policy violation]")
    with pytest.raises(Killed):
        task.run("before waiting")
    wait_until(lambda: connected.state.refunds == 1)
    with pytest.raises(AirflowFailException, match="change the prompt"):
        task.run()
    assert connected.state.jobs_created == 1


def test_a_cleared_task_that_keeps_its_image_tries_again_after_a_refusal(store, connected):
    task = Task(
        store, prompt="a poster [fail: Content policy violation]", regenerate_on_clear=False
    )
    for _ in range(2):
        with pytest.raises(AirflowFailException, match="change the prompt"):
            task.run()
        task.clear()
    assert connected.state.jobs_created == 2


def test_a_dead_job_is_no_success_where_nobody_waits(store, connected):
    connected.configure(fail_rate=1)
    task = Task(store, wait_for_completion=False)
    task.run()
    wait_until(lambda: connected.state.refunds == 1)
    with pytest.raises(JobFailedError):
        Task(store, wait_for_completion=False).run()  # a run made again under the same id


@pytest.mark.parametrize(
    "fault", [{"status": 200, "body": "<html>"}, {"status": 200, "body": "<html>", "applied": True}]
)
def test_an_unreadable_answer_is_left_to_a_retry_which_finds_the_job(fault, store, connected):
    task = Task(store)
    connected.faults.next("generate", **fault)
    with pytest.raises(UnexpectedResponseError):
        task.run()
    assert task.run()["reused"] is fault.get("applied", False)
    assert connected.state.jobs_paid == 1


def test_what_is_said_to_be_reused_does_not_hang_on_this_machines_clock(store, connect):
    for ahead in (-3600, 3600):
        with Sandbox(latency=0.05, clock=lambda ahead=ahead: time.time() + ahead) as sandbox:
            connect(password=sandbox.api_key, host=sandbox.url)
            task = Task(store, run_id=f"r{ahead}")
            with pytest.raises(Killed):
                task.run("before the POST")
            with pytest.raises(Killed):
                task.run("before waiting")
            assert task.run()["reused"] is True
            task.clear()
            assert task.run()["reused"] is False


def test_a_list_of_jobs_that_cannot_be_read_keeps_nobody_from_the_image(store, connected):
    task = Task(store)
    with pytest.raises(Killed):
        task.run("after the POST")
    connected.faults.next("jobs", status=200, body="<html>")
    assert task.run()["image_urls"]
    assert connected.state.jobs_paid == 1


def test_a_job_that_died_after_its_try_was_killed_is_followed_by_a_new_one(store, connected):
    task = Task(store)
    connected.configure(fail_rate=1)
    with pytest.raises(Killed):
        task.run("before waiting")
    wait_until(lambda: connected.state.refunds == 1)
    connected.configure(fail_rate=0)
    assert task.run()["reused"] is False
    assert (connected.state.jobs_created, connected.state.jobs_paid) == (2, 1)


@pytest.mark.parametrize("deferrable", [False, True], ids=["sync", "deferrable"])
def test_a_run_that_is_deleted_and_made_again_under_its_id_gets_its_image_again(
    deferrable, store, connected
):
    first = Task(store, deferrable=deferrable).run()
    assert Task(store, deferrable=deferrable).run() == {**first, "reused": True}
    assert connected.state.jobs_paid == 1


def test_a_run_made_again_under_the_id_of_one_that_failed_gets_a_new_job_with_its_first_retry(
    store, connected
):
    connected.configure(fail_rate=1)
    with pytest.raises(JobFailedError):
        Task(store).run()
    connected.configure(fail_rate=0)
    task = Task(store)
    with pytest.raises(JobFailedError):
        task.run()
    task.run()
    assert (connected.state.jobs_created, connected.state.jobs_paid) == (2, 1)


def test_clearing_pays_for_a_new_image_and_says_so(store, connected, caplog, capfd):
    task = Task(store)
    first = task.run()
    task.clear()
    second = task.run()
    assert {first["job_id"], second["job_id"]} == {job.id for job in connected.state.jobs}
    assert (second["reused"], connected.state.jobs_paid) == (False, 2)
    if store:
        assert f"Cleared since job {first['job_id']}: this is a new image" in caplog.text + "".join(
            capfd.readouterr()
        )


def test_clearing_with_regenerate_on_clear_false_gives_the_image_that_was_paid_for(
    store, connected
):
    task = Task(store, regenerate_on_clear=False)
    first = task.run()
    task.clear()
    second = task.run()
    assert second == {**first, "reused": True}
    assert connected.state.jobs_paid == 1


@pytest.mark.parametrize("clears", [0, 1])
def test_with_a_store_regenerate_on_clear_set_to_false_later_keeps_the_last_image(
    clears, connected
):
    task = Task(Store())
    last = task.run()
    for _ in range(clears):
        task.clear()
        last = task.run()
    task.arguments["regenerate_on_clear"] = False
    task.clear()
    assert task.run()["job_id"] == last["job_id"]
    assert connected.state.jobs_paid == clears + 1


def test_a_killed_try_after_a_clear_reconnects_to_the_job_of_its_own_scope(store, connected):
    task = Task(store)
    first = task.run()
    task.clear()
    with pytest.raises(Killed):
        task.run("after the POST")
    second = task.run()
    assert second["job_id"] != first["job_id"]
    assert (second["reused"], connected.state.jobs_paid) == (True, 2)


@pytest.mark.parametrize("change", [-2, 2])
@pytest.mark.parametrize("clears", [0, 1])
def test_another_number_of_retries_between_two_tries_pays_nothing_and_loses_nothing(
    change, clears, store, connected
):
    task = Task(store)
    for _ in range(clears):
        task.run()
        task.clear()
    with pytest.raises(Killed):
        task.run("before waiting")
    task.arguments["retries"] += (
        change  # max_tries stays: Airflow sets it when the task instance is made, and at a clear
    )
    assert task.run()["job_id"] == connected.state.jobs[-1].id
    assert connected.state.jobs_paid == clears + 1


def test_a_try_after_clears_makes_one_job_even_if_that_fails_before_it_is_read(store, connected):
    task = Task(store)
    for _ in range(2):
        task.run()
        task.clear()
    connected.configure(fail_rate=1, latency=0)
    with pytest.raises(JobFailedError, match="capacity"):
        task.run()
    assert connected.state.jobs_created == 3


def test_clearing_a_task_that_waits_for_its_retry_pays_for_a_new_image(store, connected):
    task = Task(store)
    with pytest.raises(Killed):
        task.run("before waiting")
    task.clear()
    assert task.run()["reused"] is False
    assert connected.state.jobs_paid == 2


def test_a_request_that_changes_between_tries_is_another_image_and_the_log_says_so(
    store, connected, caplog, capfd
):
    task = Task(store)
    with pytest.raises(Killed):
        task.run("before waiting")
    first = connected.state.jobs[0].id
    task.arguments["prompt"] = "another poster"
    assert task.run()["reused"] is False
    assert connected.state.jobs_paid == 2
    if store:
        said = caplog.text + "".join(capfd.readouterr())
        assert f"Another request than the one of job {first}" in said


def test_a_conflict_fails_for_good_and_submits_nothing_under_another_key(store, connected):
    connected.faults.next("generate", status=409, body={"error": "Idempotency key reused"})
    with pytest.raises(AirflowFailException, match="another key"):
        Task(store).run()
    assert connected.state.requests["generate"] == 1


@pytest.fixture
def later(connect) -> Iterator[Any]:
    """A sandbox whose clock runs ahead of this machine's by ``later.by`` seconds."""

    class Later:
        by = 0.0

    ahead = Later()
    with Sandbox(latency=0.05, clock=lambda: time.time() + ahead.by) as sandbox:
        connect(password=sandbox.api_key, host=sandbox.url)
        ahead.state, ahead.configure = sandbox.state, sandbox.configure
        yield ahead


def test_with_a_store_a_retry_finds_its_job_when_the_api_has_forgotten_the_key(later):
    task = Task(Store())
    with pytest.raises(Killed):
        task.run("before waiting")
    later.by = DAY + 60
    assert task.run()["reused"] is True
    assert later.state.jobs_paid == 1


def test_with_a_store_a_later_generation_is_found_when_the_api_has_forgotten_the_first_ones_key(
    later,
):
    task = Task(Store())
    later.configure(fail_rate=1)
    with pytest.raises(JobFailedError):
        task.run()
    later.configure(fail_rate=0)
    later.by = DAY - 3600
    with pytest.raises(Killed):
        task.run("after the POST")
    later.by = DAY + 60
    assert task.run()["reused"] is True
    assert (later.state.jobs_created, later.state.jobs_paid) == (2, 1)


def test_without_a_store_a_retry_after_24_hours_pays_again(later):
    # Not wanted, but what the README says: the key is all there is, and the API forgets it.
    task = Task(None)
    with pytest.raises(Killed):
        task.run("before waiting")
    later.by = DAY + 60
    task.run()
    assert later.state.jobs_paid == 2


def test_the_record_holds_the_job_and_nothing_of_the_prompt(connected):
    store = Store()
    result = Task(store, prompt="a secret campaign").run()
    record = store.get(RECORD_KEY)
    assert (record["job_id"], record["scope"], record["generation"]) == (result["job_id"], 3, 0)
    assert "secret" not in store.values[RECORD_KEY]
    assert connected.api_key not in store.values[RECORD_KEY]


@pytest.mark.parametrize("value", ["text", 7, {}, {"job_id": "j"}, {"unknown": 1}, []])
def test_a_record_that_cannot_be_read_leaves_the_key_to_find_the_job(value, connected):
    store = Store()
    task = Task(store)
    with pytest.raises(Killed):
        task.run("before waiting")
    store.set(RECORD_KEY, value)
    assert task.run()["reused"] is True
    assert connected.state.jobs_paid == 1


def test_a_store_that_cannot_be_read_stops_the_try_before_anything_is_paid(connected):
    class Broken(Store):
        def get(self, key: str, default: Any = None) -> Any:
            raise RuntimeError("no store today")

    task = Task(Broken())
    with pytest.raises(Killed):
        task.run("before the POST")
    with pytest.raises(RuntimeError, match="no store today"):
        task.run()
    assert connected.state.jobs_created == 0


def test_a_store_that_cannot_be_written_costs_neither_the_image_nor_the_task(
    connected, caplog, capfd
):
    class Broken(Store):
        def set(self, key: str, value: Any) -> None:
            raise RuntimeError("no store today")

    result = Task(Broken()).run()
    assert result["image_urls"]
    assert f"Job {result['job_id']} could not be recorded" in caplog.text + "".join(
        capfd.readouterr()
    )


def test_a_job_that_is_gone_is_not_paid_for_again(connected):
    task = Task(Store(), timeout=0.3)
    with pytest.raises(Killed):
        task.run("before waiting")
    connected.faults.next("job", status=404, times=99)
    with pytest.raises(JobTimeoutError, match="does not exist"):
        task.run()
    assert connected.state.jobs_created == 1


class Life(Task):
    """Runs to success, through whatever happens, and clears as often as it is told."""

    def live(self, tries: list[tuple[str | None, bool]], sandbox: Sandbox) -> dict[str, Any]:
        """*tries* says of each try but the last how it is killed, and whether a job that it makes
        will fail.
        """
        for kill, fails in tries:
            sandbox.configure(fail_rate=1 if fails else 0)
            try:
                return self.run(kill)
            except (Killed, JobFailedError, JobTimeoutError):
                continue
        sandbox.configure(fail_rate=0)
        try:
            return self.run()
        except JobFailedError:  # of an earlier try, still running when this one came
            return self.run()


TRIES = st.lists(st.tuples(st.sampled_from([None, *KILLS]), st.booleans()), max_size=4)


@given(
    scope=st.lists(TRIES, min_size=1, max_size=3),
    with_store=st.booleans(),
    deferrable=st.booleans(),
    regenerate=st.booleans(),
)
@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_happens_each_scope_pays_for_one_image_and_delivers_it(
    connected, scope, with_store, deferrable, regenerate
):
    connected.reset()
    life = Life(
        Store() if with_store else None,
        retries=8,
        deferrable=deferrable,
        regenerate_on_clear=regenerate,
    )
    delivered = []
    for tries in scope:
        made_before = connected.state.jobs_created
        tries_before = life.try_number
        delivered.append(life.live(tries, connected)["job_id"])
        made = connected.state.jobs_created - made_before
        assert made <= life.try_number - tries_before, "a try makes one job at most"
        life.clear()
    wait_until(
        lambda: (
            not connected.state.jobs_by_status["QUEUED"]
            + connected.state.jobs_by_status["PROCESSING"]
        )
    )
    paid = {job.id for job in connected.state.jobs if not job.refunded}
    assert paid == set(delivered)
    assert len(paid) == (len(scope) if regenerate else 1)
