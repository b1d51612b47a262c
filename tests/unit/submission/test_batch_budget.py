"""What a batch may cost: asked before each wave, and never in the way of what is paid."""

from __future__ import annotations

import tempfile
from contextlib import suppress

import batch_lives as lives
import pytest
from airflow.providers.common.compat.sdk import AirflowFailException
from batch_lives import BatchTask, requests
from task_lives import Killed, wait_until

from airflow_provider_apiframe.api.client import ApiframeClient
from airflow_provider_apiframe.api.errors import ApiframeError, ConnectionFailedError
from airflow_provider_apiframe.delivery.batch_result import BatchFailedError
from airflow_provider_apiframe.delivery.manifest import ManifestFile, ManifestLine
from airflow_provider_apiframe.hooks.apiframe import ApiframeHook
from airflow_provider_apiframe.hooks.object_store import StorageError
from airflow_provider_apiframe.submission import batch, day_budget
from airflow_provider_apiframe.submission.batch_limits import _held
from airflow_provider_apiframe.submission.batch_plan import Batch
from airflow_provider_apiframe.submission.day_budget import rest_of_day

PRICE = 12  # of an image with flux-2-flex in the sandbox


@pytest.fixture(autouse=True)
def _own_temporary_files(tmp_path_factory, monkeypatch):
    """Where a day's sum is noted: other tests leave theirs in the usual folder."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path_factory.mktemp("temporary")))


def dearer(sandbox, price: float = 99, times: int = 1) -> None:
    models = [{"id": "flux-2-flex", "costMax": price}]
    sandbox.faults.next("models", body={"models": models}, times=times)


def test_a_batch_that_may_cost_too_much_is_not_submitted_and_says_how_many_would_fit(
    connected, tmp_path
):
    task = BatchTask(tmp_path, requests=requests(10), max_credits=5 * PRICE + 1)
    with pytest.raises(AirflowFailException) as error:
        task.run()
    assert "10 images may cost 120 credits, more than max_credits=61" in str(error.value)
    assert "the first 5 of them would fit. Nothing was submitted. " in str(error.value)
    assert connected.state.jobs_created == 0


def test_a_batch_within_its_budget_is_made_in_waves(connected, tmp_path):
    task = BatchTask(tmp_path, requests=requests(9), max_credits=9 * PRICE, max_active=2)
    assert task.run()["succeeded"] == 9


def test_a_batch_that_the_team_cannot_pay_is_not_begun(connected, tmp_path):
    connected.configure(credits=5 * PRICE)
    task = BatchTask(tmp_path, requests=requests(6), max_credits=1000)
    with pytest.raises(AirflowFailException, match="6 images may cost 72 credits, the team has 60"):
        task.run()
    assert connected.state.jobs_created == 0
    connected.configure(credits=6 * PRICE)
    assert BatchTask(tmp_path, requests=requests(6), max_credits=1000).run()["succeeded"] == 6


def test_a_model_without_a_price_keeps_no_budget(connected, tmp_path):
    task = BatchTask(tmp_path, requests=requests(2), max_credits=1000)
    connected.faults.next("models", body={"models": []})
    with pytest.raises(AirflowFailException, match="does not say what an image may cost"):
        task.run()
    assert connected.state.jobs_created == 0


def test_a_price_that_rises_between_two_waves_ends_the_batch_and_saves_what_was_made(
    connected, tmp_path
):
    task = BatchTask(tmp_path, requests=requests(4), max_credits=4 * PRICE, max_active=2)
    real = lives.BatchTry.take

    def take(self, jobs):
        dearer(connected, PRICE + 1)  # what is left would fit, were nothing spent before
        return real(self, jobs)

    lives.BatchTry.take = take
    try:
        with pytest.raises(AirflowFailException, match="after 24 for those before them"):
            task.run()
    finally:
        lives.BatchTry.take = real
    assert connected.state.jobs_paid == len(task.images) == 2


@pytest.mark.parametrize("kill", [lives.submitting(3), lives.after_the_manifest()])
def test_a_price_that_rose_keeps_no_retry_from_what_it_has_paid(kill, connected, tmp_path):
    task = BatchTask(tmp_path, requests=requests(3), max_credits=3 * PRICE)
    with pytest.raises(Killed):
        task.run(kill)
    dearer(connected, times=9)
    assert task.run()["succeeded"] == 3
    assert connected.state.jobs_created == 3


@pytest.mark.parametrize("is_start_known", [True, False])
def test_a_price_that_rose_lets_a_retry_make_no_more_than_the_wave_that_may_be_paid(
    is_start_known, connected, tmp_path
):
    task = BatchTask(tmp_path, requests=requests(9), max_credits=9 * PRICE, max_active=3)
    if not is_start_known:
        task.dag_run.start_date = None
    with pytest.raises(Killed):
        task.run(lives.submitting(2))
    dearer(connected, times=9)
    with pytest.raises(AirflowFailException, match="more than max_credits"):
        task.run()
    assert connected.state.jobs_created <= 3
    assert len(task.images) == connected.state.jobs_paid


def test_a_price_that_rose_before_anything_was_submitted_is_refused_on_a_retry_too(
    connected, tmp_path
):
    task = BatchTask(tmp_path, requests=requests(2), max_credits=2 * PRICE)
    with pytest.raises(Killed):
        task.run(lives.submitting(1, done=False))
    ApiframeHook().generate_image(prompt="another task's")
    dearer(connected, times=9)
    with pytest.raises(AirflowFailException, match="more than max_credits"):
        task.run()
    assert connected.state.jobs_created == 1


def test_a_price_that_rose_lets_no_retry_follow_up_jobs_that_failed(connected, tmp_path):
    wanted = requests(2, "[fail: No available capacity] {}")
    task = BatchTask(tmp_path, requests=wanted, max_credits=2 * PRICE)
    with pytest.raises(BatchFailedError):
        task.run()
    dearer(connected, times=9)
    with pytest.raises(AirflowFailException, match="more than max_credits"):
        task.run()
    assert connected.state.jobs_created == 2


@pytest.mark.parametrize("deferrable", [False, True], ids=["sync", "deferrable"])
@pytest.mark.parametrize("before", ["[fail: No available capacity] {}", "[stuck] {}"])
def test_a_price_that_rose_keeps_no_retry_from_a_later_wave_that_is_paid(
    before, deferrable, connected, tmp_path
):
    """What else is left of the wave before it is made anew, or waited for, after that."""
    task = BatchTask(
        tmp_path,
        requests=[*requests(2, before), *requests(2)],
        max_credits=4 * PRICE,
        max_active=2,
        timeout=1,
        deferrable=deferrable,
    )
    with pytest.raises(Killed):
        task.run(lives._killing(lives.BatchRun, "_write_if_possible", 2, done=False))
    assert connected.state.jobs_created == 4
    dearer(connected, times=99)
    with suppress(ApiframeError, AirflowFailException):
        task.run()
    assert len(task.images) == 2
    assert connected.state.jobs_created == 4


def test_jobs_whose_requests_are_gone_count_until_they_have_ended(connected, tmp_path):
    task = BatchTask(
        tmp_path, requests=requests(3, "[stuck] {}"), max_credits=3 * PRICE, timeout=0.5
    )
    with pytest.raises(ApiframeError):
        task.run()
    task.arguments["requests"] = requests(3, "another {}")
    with pytest.raises(ApiframeError, match="after 36 for those before them, more than"):
        task.run()
    assert connected.state.jobs_created == 3


def test_of_many_models_without_a_price_a_few_are_named(connected, tmp_path):
    wanted = [{"prompt": "a mug", "model": f"flux-new-{number:03}"} for number in range(100)]
    task = BatchTask(tmp_path, requests=wanted, max_credits=1000, flux_params=None)
    with pytest.raises(AirflowFailException, match="'flux-new-004' and 95 others, so max_credits"):
        task.run()


@pytest.mark.parametrize("hide_from_list", [False, True])
def test_the_budget_of_a_day_is_held_for_each_wave_whether_the_list_shows_its_jobs_or_not(
    hide_from_list, connected, connect, tmp_path, monkeypatch
):
    monkeypatch.setattr(day_budget, "RECHECK_SECONDS", 0.0)
    monkeypatch.setattr(day_budget, "SETTLING_SECONDS", 0.0)
    connected.configure(hide_from_list=hide_from_list)
    extra = {"max_credits_per_day": 5 * PRICE, "requests_per_minute": 5000}
    connect(password=connected.api_key, host=connected.url, extra=extra)
    task = BatchTask(tmp_path, requests=requests(8), max_active=4)
    with pytest.raises((AirflowFailException, ApiframeError), match="max_credits_per_day"):
        task.run()
    assert connected.state.jobs_paid == len(task.images) == 4


@pytest.mark.parametrize(
    ("status", "cost", "held"),
    [
        ("PROCESSING", 0, PRICE),
        ("PROCESSING", None, PRICE),
        ("PROCESSING", 7, 7),
        ("COMPLETED", 0, 0),
        ("COMPLETED", None, PRICE),
        ("FAILED", 7, 0),
    ],
)
def test_a_job_that_goes_on_counts_with_its_price_until_its_charge_is_known(status, cost, held):
    line = ManifestLine(
        index=0,
        request={},
        job_id="j-1",
        status=status,
        credit_cost=cost,
        model="flux-2-flex",
        key="a" * 64,
    )
    assert _held(line, Batch({}, {line.key: line}), {line.key: PRICE}) == held


def test_what_the_list_shows_of_a_wave_is_not_held_any_more_while_the_rest_is_submitted(
    connected, connect, tmp_path, monkeypatch
):
    monkeypatch.setattr(day_budget, "CACHE_SECONDS", 0.0)
    monkeypatch.setattr(batch, "_NOTE_EVERY", 1)
    extra = {"max_credits_per_day": 5 * PRICE, "requests_per_minute": 5000}
    connect(password=connected.api_key, host=connected.url, extra=extra)
    submit, of_others = ApiframeClient.submit, ApiframeHook()

    def submit_last_after_the_others(client, request, *args, **kwargs):
        if request.prompt == "image 3":
            wait_until(lambda: rest_of_day(of_others) == PRICE, seconds=60)
        return submit(client, request, *args, **kwargs)

    monkeypatch.setattr(ApiframeClient, "submit", submit_last_after_the_others)
    assert BatchTask(tmp_path, requests=requests(4)).run()["succeeded"] == 4


def test_the_limit_of_a_day_keeps_no_try_from_a_job_whose_response_was_lost(
    connected, connect, tmp_path, monkeypatch
):
    extra = {"max_credits_per_day": 3 * PRICE, "requests_per_minute": 5000, "max_retries": 0}
    connect(password=connected.api_key, host=connected.url, extra=extra)
    task = BatchTask(tmp_path, requests=requests(3))
    real, lost = lives.ApiframeClient.submit, []

    def submit(self, request, *args, **options):
        made = real(self, request, *args, **options)
        if request.prompt == "image 2" and not lost:
            lost.append(made)
            raise ConnectionFailedError("the response was lost")
        return made

    monkeypatch.setattr(lives.ApiframeClient, "submit", submit)
    assert task.run()["succeeded"] == 3
    assert connected.state.jobs_created == 3


@pytest.mark.parametrize("limit", ["max_credits", "max_credits_per_day"])
def test_a_manifest_that_was_not_written_keeps_no_task_that_resumes_from_what_is_paid(
    limit, connected, connect, tmp_path, monkeypatch
):
    extra = {"requests_per_minute": 5000}
    if limit == "max_credits_per_day":
        extra[limit] = 3 * PRICE
    connect(password=connected.api_key, host=connected.url, extra=extra)
    task = BatchTask(tmp_path, requests=requests(3), deferrable=True, max_credits=3 * PRICE)
    real, calls = ManifestFile.write, []

    def write(self, lines):
        calls.append(self)
        if len(calls) == 2:  # after the wave was submitted
            if limit == "max_credits":
                dearer(connected, times=99)
            raise StorageError("the storage is away", transient=True)
        real(self, lines)

    monkeypatch.setattr(ManifestFile, "write", write)
    assert task.run()["succeeded"] == 3
    assert connected.state.jobs_created == len(task.images) == 3
