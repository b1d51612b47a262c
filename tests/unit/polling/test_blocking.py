"""wait_for_job with a real client against the sandbox, whose time the sleeping turns."""

from __future__ import annotations

import pytest

from airflow_provider_apiframe.api.client import ApiframeClient
from airflow_provider_apiframe.api.errors import JobTimeoutError
from airflow_provider_apiframe.api.models import Job
from airflow_provider_apiframe.api.params.request import GenerateRequest
from airflow_provider_apiframe.api.settings import ClientSettings
from airflow_provider_apiframe.polling.blocking import wait_for_job, wait_for_jobs
from airflow_provider_apiframe.polling.wait import Wait

PAGE = "<html><body><h1>Oops</h1></body></html>"


class Waiter:
    """A client, and a clock that jumps where it would sleep."""

    def __init__(self, client: ApiframeClient, clock) -> None:
        self.client = client
        self.pauses: list[float] = []
        self._clock = clock

    def submit(self, prompt: str = "a poster", key: str = "key-1") -> str:
        return self.client.submit(GenerateRequest.parse(prompt=prompt), key).job_id

    def wait_for_all(
        self, job_ids: list[str], *, every: float = 5, seconds: float = 1000.0, **options
    ):
        waits = [Wait(job_id, self._clock() + seconds, every) for job_id in job_ids]
        return wait_for_jobs(self.client, waits, sleep=self._pause, clock=self._clock, **options)

    def wait(self, job_id: str, *, every: float, seconds: float = 1000.0) -> Job:
        wait = Wait(job_id, self._clock() + seconds, every)
        return wait_for_job(self.client, wait, sleep=self._pause, clock=self._clock)

    def _pause(self, seconds: float) -> None:
        self.pauses.append(round(seconds, 2))
        self._clock.advance(seconds)


@pytest.fixture
def waiter(sandbox, clock):
    settings = ClientSettings(
        api_key=sandbox.api_key, base_url=sandbox.url, timeout=20.0, max_retries=0, verify=False
    )
    with ApiframeClient(settings) as client:
        yield Waiter(client, clock)


def test_waiting_polls_in_the_interval_until_the_job_is_finished(waiter, sandbox):
    assert waiter.wait(waiter.submit(), every=4).status == "COMPLETED"
    # After 8 s the progress tells that it ends at 10 s: the last poll comes then, not at 12 s.
    assert waiter.pauses[:2] == [4, 4]
    assert waiter.pauses[2] == pytest.approx(2.05, abs=0.05)
    assert sandbox.state.requests["job"] == 4


@pytest.mark.parametrize(
    ("prompt", "status"), [("[fail: no luck]", "FAILED"), ("[cancel]", "CANCELLED")]
)
def test_waiting_ends_with_a_job_that_failed(waiter, prompt, status):
    assert waiter.wait(waiter.submit(prompt), every=5).status == status


def test_waiting_goes_on_through_a_status_that_is_not_known(waiter, sandbox):
    job_id = waiter.submit()
    sandbox.faults.next("job", body={"id": job_id, "status": "PAUSED"}, times=7)
    assert waiter.wait(job_id, every=5).status == "COMPLETED"


def test_waiting_rides_out_an_outage_longer_than_max_retries(waiter, sandbox):
    job_id = waiter.submit()
    for fault in (
        {"status": 503},
        {"status": 502},
        {"drop": True},
        {"status": 429},
        {"body": PAGE},
        {"cut_after": 3},
    ):
        sandbox.faults.next("job", times=3, **fault)
    assert waiter.wait(job_id, every=1).status == "COMPLETED"
    assert waiter.pauses == [1, 2, 4, 8, 16] + [30] * 13


@pytest.mark.parametrize(
    "fault",
    [
        {"status": 401},
        {"status": 403},
        {"status": 403, "body": PAGE},
        {"status": 404},
        {"status": 302, "headers": {"Location": "/elsewhere"}},
        {"status": 400},
        {"status": 409},
        {"status": 421},
        {"status": 425},
        {"body": PAGE},
    ],
)
def test_a_response_that_looks_final_is_ridden_out(waiter, sandbox, fault):
    """The submit was accepted and is paid for: an odd response ends nothing."""
    job_id = waiter.submit()
    sandbox.faults.next("job", times=6, **fault)
    assert waiter.wait(job_id, every=1).status == "COMPLETED"


def test_one_failure_does_not_slow_down_the_polls_after_it(waiter, sandbox):
    job_id = waiter.submit()
    for _ in range(2):
        sandbox.faults.next("job", status=503)
        sandbox.faults.next("job", body={"id": job_id, "status": "PAUSED"})
    waiter.wait(job_id, every=1)
    assert waiter.pauses[:4] == [1, 1, 1, 1]


@pytest.mark.parametrize(
    ("fault", "pause"),
    [
        ({"retry_after": "20"}, 20),
        ({"status": 503, "retry_after": "30"}, 30),
        ({"retry_after": "1"}, 2),
    ],
)
def test_retry_after_stretches_the_pause_between_two_requests(waiter, sandbox, fault, pause):
    job_id = waiter.submit()
    sandbox.faults.next("job", **fault)
    waiter.wait(job_id, every=2)
    assert waiter.pauses[0] == pause
    assert all(pause <= 2 for pause in waiter.pauses[1:])


def test_a_completed_job_without_images_is_polled_until_they_are_there(waiter, sandbox, clock):
    job_id = waiter.submit()
    clock.advance(10)
    body = {"id": job_id, "status": "COMPLETED", "result": None}
    sandbox.faults.next("job", body=body, times=3)
    assert waiter.wait(job_id, every=60).image_urls
    assert waiter.pauses == [1, 2, 3]


@pytest.mark.parametrize(
    ("fault", "last_seen"),
    [
        (None, "QUEUED"),
        ({"status": 503}, "Service Unavailable"),
        ({"status": 401}, "rejected the API key"),
        ({"drop": True}, "no response"),
    ],
)
def test_at_the_deadline_the_job_and_what_was_last_seen_are_told(waiter, sandbox, fault, last_seen):
    job_id = waiter.submit()
    if fault:
        sandbox.faults.next("job", **fault)
    with pytest.raises(JobTimeoutError) as raised:
        waiter.wait(job_id, every=1, seconds=-1)
    assert raised.value.job_id == job_id
    assert raised.value.transient  # a retry of the task finds the job again
    assert str(raised.value).startswith("The job was not finished at the deadline (last seen: ")
    assert last_seen in str(raised.value)
    assert job_id in str(raised.value)


def test_a_job_that_is_finished_at_the_deadline_is_returned(waiter, clock):
    job_id = waiter.submit()
    clock.advance(10)
    assert waiter.wait(job_id, every=1, seconds=-1).status == "COMPLETED"


def test_a_wait_lasts_from_now(monkeypatch):
    monkeypatch.setattr("time.time", lambda: 1000.0)
    assert Wait.starting_now("j-1", timeout=600, poll_interval=2).deadline == 1600


def test_many_jobs_are_waited_for_together(waiter, sandbox):
    job_ids = [waiter.submit(f"number {number}", f"key-{number}") for number in range(120)]
    ended = waiter.wait_for_all(job_ids)
    assert {job_id: job.status for job_id, job in ended.items()} == dict.fromkeys(
        job_ids, "COMPLETED"
    )
    assert sandbox.state.requests["jobs"] + sandbox.state.requests["job"] <= 12


def test_one_of_many_that_is_not_finished_in_time_keeps_no_other_from_its_end(waiter):
    done = [waiter.submit(f"number {number}", f"key-{number}") for number in range(3)]
    stuck = waiter.submit("[stuck]", "stuck")
    ended = waiter.wait_for_all([*done, stuck], seconds=60)
    assert [ended[job_id].status for job_id in done] == ["COMPLETED"] * 3
    assert isinstance(ended[stuck], JobTimeoutError)


def test_an_outage_is_ridden_out_while_many_are_waited_for(waiter, sandbox):
    job_ids = [waiter.submit(f"number {number}", f"key-{number}") for number in range(5)]
    sandbox.faults.next("jobs", status=503, times=3)
    sandbox.faults.next("job", drop=True, times=3)
    ended = waiter.wait_for_all(job_ids)
    assert {job.status for job in ended.values()} == {"COMPLETED"}


def test_waiting_for_many_stays_within_its_rate_limit(waiter, sandbox):
    job_ids = [waiter.submit(f"number {number}", f"key-{number}") for number in range(5)]
    waiter.wait_for_all(
        [*job_ids, waiter.submit("[stuck]", "stuck")],
        every=0.1,
        seconds=120,
        requests_per_minute=10,
    )
    assert sandbox.state.requests["jobs"] + sandbox.state.requests["job"] <= 25


def test_who_waits_for_many_is_told_how_many_have_ended(waiter):
    told = []
    job_ids = [waiter.submit(f"number {number}", f"key-{number}") for number in range(3)]
    waiter.wait_for_all(job_ids, on_poll=told.append)
    assert told == sorted(told)
    assert told[-1] == 3
