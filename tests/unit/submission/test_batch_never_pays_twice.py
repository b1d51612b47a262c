"""The life of a batch task, try by try, against the sandbox: what is paid, what is saved, and what
the manifest says. Every rule is looked at with a task state store (Airflow 3.3) and without one.
"""

from __future__ import annotations

import itertools
import json
import threading
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import batch_lives as lives
import pytest
from airflow.providers.common.compat.sdk import AirflowFailException
from batch_lives import SMALL, BatchTask, requests
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from task_lives import Killed, Store

from airflow_provider_apiframe.api.errors import (
    ApiframeError,
    ConflictError,
    ConnectionFailedError,
    InsufficientCreditsError,
    InvalidRequestError,
    RateLimitedError,
    RequestRefusedError,
)
from airflow_provider_apiframe.api.retries import MAX_RETRY_SECONDS
from airflow_provider_apiframe.delivery.batch_result import BatchFailedError
from airflow_provider_apiframe.delivery.storage import ImageNotSavedError
from airflow_provider_apiframe.hooks.object_store import StorageError
from airflow_provider_apiframe.polling import schedule
from airflow_provider_apiframe.submission import batch, rate_gate
from airflow_provider_apiframe.submission.rate_gate import RateGate

COUNT = 12

KILLS = {
    "before the first POST": lives.submitting(1, done=False),
    "after the first POST": lives.submitting(1),
    "in the middle": lives.submitting(COUNT // 2),
    "after the last POST": lives.submitting(COUNT),
    "before the manifest": lives.before_the_manifest(),
    "after the manifest": lives.after_the_manifest(),
    "while it waits": lives.waiting(),
    "before the first save": lives.saving(1, done=False),
    "while it saves": lives.saving(COUNT // 2),
    "after the last save": lives.saving(COUNT),
    "at the end": lives.at_the_end(),
}


@pytest.fixture(autouse=True)
def _short_pauses(monkeypatch):
    monkeypatch.setattr(schedule, "ACCOUNT_PAUSE", 0.02)


@pytest.fixture(params=[True, False], ids=["store", "no store"])
def store(request) -> Store | None:
    return Store() if request.param else None


def check(task: BatchTask, sandbox: Any, count: int = COUNT) -> None:
    """Each request is paid once, and saved once; the manifest says so, in order."""
    lines = task.manifest()
    assert [line["index"] for line in lines] == list(range(count))
    assert {line["status"] for line in lines} == {"COMPLETED"}
    assert [line["error"] for line in lines] == [None] * count
    paid = {job.id: job for job in sandbox.state.jobs if not job.refunded}
    assert len(paid) == count
    assert [paid[line["job_id"]].input["prompt"] for line in lines] == [
        line["request"]["prompt"] for line in lines
    ]
    files = [Path(line["images"][0]["uri"].removeprefix("file://")) for line in lines]
    assert sorted(files) == task.images


@pytest.mark.parametrize("deferrable", [False, True], ids=["sync", "deferrable"])
@pytest.mark.parametrize("kill", KILLS.values(), ids=KILLS.keys())
def test_a_killed_try_is_followed_by_one_that_pays_nothing_more(
    kill, deferrable, store, connected, tmp_path
):
    task = BatchTask(tmp_path, store, requests=requests(COUNT), deferrable=deferrable)
    with pytest.raises(Killed):
        task.run(kill)
    result = task.run()
    assert (result["succeeded"], result["failed"], result["unfinished"]) == (COUNT, 0, 0)
    assert result["credit_cost"] == 12 * COUNT
    assert connected.state.jobs_created == COUNT
    check(task, connected)


def test_the_retry_says_how_many_jobs_it_found(connected, tmp_path):
    task = BatchTask(tmp_path, requests=requests(COUNT))
    with pytest.raises(Killed):
        task.run(lives.after_the_manifest())
    assert task.run()["reused"] == COUNT


@pytest.mark.parametrize("status", [401, 402, 403])
def test_a_refusal_that_meets_only_the_retry_is_left_to_another_one(status, connected, tmp_path):
    task = BatchTask(tmp_path, requests=requests(COUNT))
    with pytest.raises(Killed):
        task.run(lives.submitting(COUNT // 2))
    connected.faults.next("generate", status=status, body={"error": "No"}, times=20)
    with pytest.raises(ApiframeError, match="worth a retry"):  # which Airflow retries
        task.run()
    connected.faults.reset()
    connected.configure(latency=0.05)
    task.run()
    assert connected.state.jobs_created == COUNT
    check(task, connected)


def test_a_retry_that_only_saves_counts_all_jobs_as_reused(connected, tmp_path, monkeypatch):
    task = BatchTask(tmp_path, requests=requests(3))

    def save(self: Any, *args: Any, **kwargs: Any) -> Any:
        raise ImageNotSavedError("no space left on the device")

    with monkeypatch.context() as patched:
        patched.setattr(lives.ImageStorage, "save", save)
        with pytest.raises(ImageNotSavedError):
            task.run()
    assert task.run()["reused"] == 3


def test_a_retry_asks_for_no_image_again_that_the_manifest_knows_as_saved(connected, tmp_path):
    task = BatchTask(tmp_path, requests=requests(COUNT))
    with pytest.raises(Killed):
        task.run(lives.at_the_end())
    before = dict(connected.state.requests)
    assert task.run()["reused"] == COUNT
    for route in ("generate", "image", "job"):
        assert connected.state.requests[route] == before.get(route, 0)


@pytest.mark.parametrize("kill", [lives.after_the_manifest(), lives.at_the_end()])
def test_without_its_manifest_a_retry_finds_all_jobs_by_their_keys(
    kill, store, connected, tmp_path
):
    task = BatchTask(tmp_path, store, requests=requests(COUNT))
    with pytest.raises(Killed):
        task.run(kill)
    task.lose_manifests()
    task.run()
    assert connected.state.jobs_created == COUNT
    check(task, connected)


def test_a_manifest_that_is_gone_when_the_task_resumes_costs_nothing(connected, tmp_path):
    task = BatchTask(tmp_path, requests=requests(COUNT), deferrable=True)
    real = lives.BatchTry.resuming

    def resuming(*args: Any) -> Any:
        task.lose_manifests()
        lives.BatchTry.resuming = real
        return real(*args)

    lives.BatchTry.resuming = resuming
    try:
        task.run()
    finally:
        lives.BatchTry.resuming = real
    assert connected.state.jobs_created == COUNT
    check(task, connected)


@pytest.mark.parametrize("status", [401, 402, 403])
def test_a_refusal_that_meets_a_task_that_resumes_without_its_manifest_is_left_to_a_retry(
    status, connected, tmp_path, monkeypatch
):
    task = BatchTask(tmp_path, requests=requests(COUNT), deferrable=True)
    real = lives.BatchTry.resuming

    def resuming(*args: Any) -> Any:
        task.lose_manifests()
        connected.faults.next("generate", status=status, body={"error": "No"}, times=20)
        return real(*args)

    with monkeypatch.context() as patched:
        patched.setattr(lives.BatchTry, "resuming", resuming)
        with pytest.raises(ApiframeError) as error:  # an AirflowFailException would be final
            task.run()
    assert error.value.transient
    connected.faults.reset()
    task.run()
    assert connected.state.jobs_created == COUNT
    check(task, connected)


class RenderedAnew(BatchTask):
    """Its arguments have other values each time that they are rendered: on each start of it."""

    starts = 0

    def _operator(self) -> Any:
        self.starts += 1
        assert self.starts < 9, "it never ends"
        made = super()._operator()
        for name, value in self.anew(self.starts).items():
            setattr(made, name, value)
        return made

    def anew(self, start: int) -> dict[str, Any]:
        return {"requests": requests(COUNT, f"image {{}} of start {start}")}


def test_a_template_that_gives_another_value_when_the_task_resumes_pays_for_nothing_more(
    connected, tmp_path
):
    task = RenderedAnew(tmp_path, requests=requests(COUNT), deferrable=True)
    result = task.run()
    assert (result["total"], result["succeeded"]) == (COUNT, COUNT)
    assert connected.state.jobs_created == len(task.images) == COUNT


def test_requests_that_are_rendered_anew_before_all_are_submitted_are_refused_and_not_retried(
    connected, tmp_path
):
    task = RenderedAnew(tmp_path, requests=requests(COUNT), deferrable=True, max_active=5)
    with pytest.raises(AirflowFailException, match="7 of the 12 requests that this try began with"):
        task.run()
    assert connected.state.jobs_created == len(task.images) == 5


def test_a_request_that_changes_before_it_is_submitted_is_left_to_a_retry(connected, tmp_path):
    class Edited(RenderedAnew):
        def anew(self, start: int) -> dict[str, Any]:
            last = {"prompt": "a typo" if start == 1 else "no typo"}
            return {"requests": [*requests(COUNT - 1), last]}

    task = Edited(tmp_path, requests=requests(COUNT), deferrable=True, max_active=5)
    with pytest.raises(ApiframeError, match="1 of the 12 requests") as error:
        task.run()
    assert error.value.transient
    assert connected.state.jobs_created == len(task.images) == COUNT - 1
    task.run()
    assert connected.state.jobs_created == COUNT
    check(task, connected)


def test_a_folder_that_is_rendered_anew_keeps_the_manifest_of_the_try(connected, tmp_path):
    class Elsewhere(RenderedAnew):
        def anew(self, start: int) -> dict[str, Any]:
            return {"save_to": f"{tmp_path}/{start}/"}

    task = Elsewhere(tmp_path, requests=requests(COUNT), deferrable=True, max_active=5)
    task.run()
    assert task.deferrals == 3
    assert len(task.manifests) == 1
    assert connected.state.requests["generate"] == COUNT
    check(task, connected)


def test_a_file_whose_lines_moved_between_two_tries_pays_nothing_again(connected, tmp_path):
    wanted = requests(COUNT)
    file = tmp_path / "requests.jsonl"
    file.write_text("\n".join(map(json.dumps, wanted)))
    task = BatchTask(tmp_path, requests=str(file))
    with pytest.raises(Killed):
        task.run(lives.submitting(COUNT // 2))
    file.write_text("\n".join(map(json.dumps, reversed(wanted))))
    task.run()
    assert connected.state.jobs_created == COUNT
    check(task, connected)


def test_a_changed_id_is_another_image_and_the_others_are_kept(connected, tmp_path):
    wanted = [{**each, "id": f"sku-{n}"} for n, each in enumerate(requests(4))]
    task = BatchTask(tmp_path, requests=wanted)
    with pytest.raises(Killed):
        task.run(lives.at_the_end())
    task.arguments["requests"] = [{**wanted[0], "id": "sku-new"}, *wanted[1:]]
    result = task.run()
    assert connected.state.jobs_created == 5
    assert result["succeeded"] == 5  # what was paid stays in the manifest
    assert [line["id"] for line in task.manifest()] == [
        "sku-new",
        "sku-1",
        "sku-2",
        "sku-3",
        "sku-0",
    ]


def test_the_same_request_under_two_ids_is_two_images(connected, tmp_path):
    wanted = [{"prompt": "a mug", "id": "left"}, {"prompt": "a mug", "id": "right"}]
    task = BatchTask(tmp_path, requests=wanted)
    task.run()
    assert connected.state.jobs_created == 2


@pytest.mark.parametrize("deferrable", [False, True], ids=["sync", "deferrable"])
def test_an_api_that_gives_one_job_for_two_requests_ends_no_batch(
    deferrable, connected, tmp_path, monkeypatch
):
    task = BatchTask(tmp_path, requests=requests(2), deferrable=deferrable)
    real = lives.ApiframeClient.submit

    def submit(self: Any, request: Any, key: str, **options: Any) -> Any:
        return real(self, request.model_copy(update={"prompt": "one"}), "one key", **options)

    monkeypatch.setattr(lives.ApiframeClient, "submit", submit)
    assert task.run()["succeeded"] == 2
    assert len(task.images) == connected.state.jobs_created == 1


@pytest.mark.parametrize("deferrable", [False, True], ids=["sync", "deferrable"])
def test_requests_that_cannot_be_read_any_more_lose_nothing_that_was_paid(
    deferrable, connected, tmp_path
):
    file = tmp_path / "requests.jsonl"
    file.write_text("\n".join(map(json.dumps, requests(COUNT))))
    task = BatchTask(tmp_path, requests=str(file), deferrable=deferrable)
    with pytest.raises(Killed):
        task.run(lives.after_the_manifest())
    file.unlink()
    with pytest.raises(Exception, match="could not be read"):
        task.run()
    check(task, connected)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"flux_params": {**SMALL, "output_format": "png"}}, "output_format is 'png'"),
        ({"min_success": 9}, "min_success=9"),
    ],
)
def test_a_retry_with_an_argument_that_does_not_fit_collects_what_was_paid_and_pays_no_more(
    wrong, said, connected, tmp_path
):
    save_to = f"{tmp_path}/{{job_id}}.jpg"
    task = BatchTask(tmp_path, requests=requests(3), save_to=save_to, max_active=1)
    with pytest.raises(Killed):
        task.run(lives.waiting())
    assert connected.state.jobs_created == 1
    task.arguments |= {"requests": str(requests(3)), **wrong}
    with pytest.raises(Exception, match=said):
        task.run()
    assert connected.state.jobs_created == 1
    assert len(task.images) == 1


def test_a_run_made_again_under_the_id_of_a_deleted_one_takes_no_manifest_for_its_own(
    connected, tmp_path
):
    for _ in range(2):
        task = BatchTask(tmp_path, requests=requests(3))
        task.run()
    assert connected.state.requests["generate"] == 6
    assert connected.state.jobs_created == 3  # within a day by the keys
    check(task, connected, 3)


# Clearing


def test_clearing_pays_for_new_images_in_a_manifest_of_their_own(store, connected, tmp_path):
    task = BatchTask(tmp_path, store, requests=requests(3))
    first = task.run()
    task.clear()
    second = task.run()
    assert connected.state.jobs_paid == 6
    assert first["manifest"] != second["manifest"]
    assert second["reused"] == 0


@pytest.mark.parametrize("made", [1, 2])
def test_lowering_retries_by_the_tries_made_and_clearing_makes_new_images(
    made, connected, tmp_path
):
    task = BatchTask(tmp_path, Store(), requests=requests(3), retries=3)
    for _ in range(made - 1):
        with pytest.raises(Killed):
            task.run(lives.after_the_manifest())
    task.run()
    task.arguments["retries"] = 3 - made
    task.clear()
    assert task.max_tries == 3
    with pytest.raises(Killed):
        task.run(lives.submitting(2))
    task.run()
    assert connected.state.jobs_paid == 6


def test_lowering_retries_between_two_clears_makes_new_images_each_time(connected, tmp_path):
    task = BatchTask(tmp_path, Store(), requests=requests(2), retries=3)
    task.run()
    task.clear()
    task.run()
    task.arguments["retries"] -= 1
    task.clear()
    assert task.max_tries == 4  # as after the clear before
    task.run()
    assert connected.state.jobs_paid == 6


def test_clearing_with_regenerate_on_clear_false_keeps_the_images(store, connected, tmp_path):
    task = BatchTask(tmp_path, store, requests=requests(3), regenerate_on_clear=False)
    first = task.run()
    task.clear()
    assert task.run() == {**first, "reused": 3}
    assert connected.state.jobs_paid == 3


def test_clearing_with_regenerate_on_clear_false_makes_what_is_missing(connected, tmp_path):
    task = BatchTask(tmp_path, requests=requests(3), regenerate_on_clear=False)
    task.run()
    task.clear()
    task.arguments["requests"] = requests(5)
    assert task.run()["succeeded"] == 5
    assert connected.state.jobs_paid == 5


# Jobs that fail


def test_what_failed_for_a_passing_reason_is_made_by_the_retry_and_what_was_refused_is_left(
    store, connected, tmp_path
):
    wanted = [
        {"prompt": "a mug"},
        {"prompt": "[fail: No available capacity]"},
        {"prompt": "[cancel]"},
        {"prompt": "[fail: content policy violation]"},
    ]
    task = BatchTask(tmp_path, store, requests=wanted, min_success=1.0)
    with pytest.raises(BatchFailedError, match="1 of 4 requests have their images") as failed:
        task.run()
    assert failed.value.transient
    assert connected.state.jobs_created == 4
    with pytest.raises(BatchFailedError):
        task.run()
    assert connected.state.jobs_created == 6
    assert [line["generation"] for line in task.manifest()] == [0, 1, 1, 0]


def test_a_batch_whose_failures_would_not_pass_is_not_retried(connected, tmp_path):
    wanted = [{"prompt": "a mug"}, {"prompt": "[fail: content policy violation]"}]
    task = BatchTask(tmp_path, requests=wanted, min_success=2)
    with pytest.raises(AirflowFailException, match="change the requests that were refused"):
        task.run()
    assert len(task.images) == 1


@pytest.mark.parametrize(
    ("min_success", "enough"),
    [(0, True), (1, True), (2, True), (3, False), (0.5, True), (0.51, False)],
)
def test_the_task_succeeds_with_as_many_images_as_it_needs(
    min_success, enough, connected, tmp_path
):
    wanted = [*requests(2), *requests(2, "[fail: content policy] {}")]
    task = BatchTask(tmp_path, requests=wanted, min_success=min_success)
    if enough:
        result = task.run()
        assert (result["succeeded"], result["failed"]) == (2, 2)
    else:
        with pytest.raises(AirflowFailException, match="fewer than min_success"):
            task.run()
    assert [line["status"] for line in task.manifest()] == ["COMPLETED"] * 2 + ["FAILED"] * 2


def test_a_dead_job_that_no_manifest_knows_is_followed_by_the_next_generation(connected, tmp_path):
    connected.configure(fail_rate=1)
    task = BatchTask(tmp_path, requests=requests(3))
    with pytest.raises(Killed):
        task.run(lives.before_the_manifest())
    connected.configure(fail_rate=0)
    task.lose_manifests()
    assert task.run()["succeeded"] == 3
    assert (connected.state.jobs_created, connected.state.jobs_paid) == (6, 3)


@pytest.mark.parametrize("deferrable", [False, True], ids=["sync", "deferrable"])
def test_a_job_that_never_ends_is_unfinished_and_collected_by_a_retry(
    deferrable, connected, tmp_path
):
    wanted = [*requests(2), {"prompt": "[stuck]"}]
    task = BatchTask(tmp_path, requests=wanted, timeout=0.5, min_success=3, deferrable=deferrable)
    with pytest.raises(BatchFailedError, match="1 are not finished"):
        task.run()
    assert "not finished at the deadline" in task.manifest()[2]["error"]
    with pytest.raises(BatchFailedError):
        task.run()
    assert connected.state.jobs_created == 3
    task.arguments["min_success"] = 2
    result = task.run()
    assert (result["succeeded"], result["unfinished"], result["total"]) == (2, 1, 3)


# What goes wrong while it submits


def up_to(times: int, function: Any) -> Any:
    """Return a function that is called so often at most: what never ends fails."""
    left = iter(range(times))

    def counted(*args: Any) -> Any:
        assert next(left, None) is not None, "it never ends"
        return function(*args)

    return counted


def test_a_storm_of_429_is_no_failure(connected, tmp_path):
    connected.faults.next("generate", retry_after=0.05, times=40)
    task = BatchTask(tmp_path, requests=requests(COUNT))
    task.run()
    assert connected.state.jobs_created == COUNT
    check(task, connected)


def test_lost_responses_pay_nothing_twice(connected, tmp_path, monkeypatch):
    monkeypatch.setattr("airflow_provider_apiframe.submission.batch.retry_backoff", lambda *_: 0.01)
    connected.configure(drop_responses=0.5, seed=7)
    task = BatchTask(tmp_path, requests=requests(COUNT), retries=20)
    for _ in range(20):
        try:
            task.run()
            break
        except ApiframeError:  # a permanent one would be an AirflowFailException
            continue
    assert connected.state.jobs_created == COUNT
    check(task, connected)


@pytest.mark.parametrize("status", [400, 413, 422])
def test_a_refused_request_fails_alone_and_is_not_sent_again(status, connected, tmp_path):
    connected.faults.next("generate", status=status, body={"error": "No such prompt"})
    task = BatchTask(tmp_path, requests=requests(4))
    with pytest.raises(Killed):
        task.run(lives.at_the_end())
    result = task.run()
    assert (result["succeeded"], result["failed"]) == (3, 1)
    (line,) = [line for line in task.manifest() if line["error"]]
    assert (line["status"], line["job_id"]) == ("NOT_SUBMITTED", None)
    assert "No such prompt" in line["error"]
    assert connected.state.requests["generate"] == 4


def test_nothing_more_is_sent_after_a_refusal_that_meets_all(connected, tmp_path, monkeypatch):
    monkeypatch.setattr(batch, "MAX_THREADS", 1)
    connected.faults.next("generate", status=401, body={"error": "No"}, times=COUNT)
    task = BatchTask(tmp_path, requests=requests(COUNT))
    with pytest.raises(AirflowFailException):
        task.run()
    assert connected.state.requests["generate"] == 1


def test_a_task_that_is_stopped_submits_nothing_more(connected, tmp_path, monkeypatch):
    gates: list[RateGate] = []

    def gate() -> RateGate:
        gates.append(RateGate())
        return gates[-1]

    monkeypatch.setattr(batch, "RateGate", gate)
    task = BatchTask(tmp_path, requests=requests(COUNT))
    with pytest.raises(Killed):
        task.run(lives.submitting(1))
    assert [gate.wait() for gate in gates] == [False]


def test_limits_between_which_requests_pass_end_no_wave_however_long_they_last(
    connected, tmp_path, monkeypatch
):
    clock = itertools.count(0.0, MAX_RETRY_SECONDS / 5)  # a request with its limit takes three
    monkeypatch.setattr(rate_gate, "time", SimpleNamespace(monotonic=lambda: next(clock)))
    monkeypatch.setattr(batch, "MAX_THREADS", 1)
    real, limited = lives.ApiframeClient.submit, set()

    def submit(self: Any, request: Any, *args: Any, **options: Any) -> Any:
        if request.prompt not in limited:
            limited.add(request.prompt)
            raise RateLimitedError("slow down", retry_after=0.01)
        return real(self, request, *args, **options)

    monkeypatch.setattr(lives.ApiframeClient, "submit", submit)
    task = BatchTask(tmp_path, requests=requests(COUNT), deferrable=True)
    task.run()
    assert task.deferrals == 1  # all were submitted before it waited
    check(task, connected)


@pytest.mark.parametrize("deferrable", [False, True], ids=["sync", "deferrable"])
@pytest.mark.parametrize("status", [401, 402, 403])
def test_what_was_accepted_before_a_refusal_is_saved_before_the_task_fails(
    status, deferrable, connected, tmp_path
):
    connected.configure(credits=12 * 5)
    if status != 402:
        connected.configure(credits=12 * COUNT)
        lives_left = iter(range(5))
        real = lives.ApiframeClient.submit

        def submit(self: Any, *args: Any, **kwargs: Any) -> Any:
            if next(lives_left, None) is None:
                connected.faults.next("generate", status=status, body={"error": "No"})
            return real(self, *args, **kwargs)

        lives.ApiframeClient.submit = submit
    task = BatchTask(tmp_path, requests=requests(COUNT), deferrable=deferrable)
    try:
        with pytest.raises(AirflowFailException):
            task.run()
    finally:
        if status != 402:
            lives.ApiframeClient.submit = real
    made = [line for line in task.manifest() if line["images"]]
    assert len(made) == connected.state.jobs_paid == 5
    assert len(task.images) == 5


def test_a_refusal_leaves_jobs_that_go_on_to_a_retry(connected, tmp_path):
    connected.configure(credits=12 * 2)
    wanted = [{"prompt": "[stuck]"}, *requests(3)]
    task = BatchTask(tmp_path, requests=wanted, timeout=1, max_active=2)
    with pytest.raises(InsufficientCreditsError, match="go on and are paid for: 1") as error:
        task.run()  # an AirflowFailException would be final
    assert error.value.transient
    assert len(task.images) == 1


def failing_to_save(patched: Any) -> None:
    def save(self: Any, *args: Any, **kwargs: Any) -> Any:
        raise ImageNotSavedError("no space left on the device")

    patched.setattr(lives.ImageStorage, "save", save)


def test_a_refusal_leaves_images_that_are_not_saved_to_a_retry(connected, tmp_path, monkeypatch):
    connected.configure(credits=12 * 2)
    task = BatchTask(tmp_path, requests=requests(3))
    with monkeypatch.context() as patched:
        failing_to_save(patched)
        with pytest.raises(InsufficientCreditsError, match="not saved: 2") as error:
            task.run()  # an AirflowFailException would be final
    assert error.value.transient
    connected.configure(credits=12)
    task.run()
    assert connected.state.jobs_created == 3
    check(task, connected, 3)


def test_wrong_requests_leave_images_that_are_not_saved_to_a_retry(
    connected, tmp_path, monkeypatch
):
    task = BatchTask(tmp_path, requests=requests(3))
    with pytest.raises(Killed):
        task.run(lives.after_the_manifest())
    task.arguments["requests"] = str(tmp_path / "requests.csv")
    (tmp_path / "requests.csv").write_text("promt\na mug\n")
    with monkeypatch.context() as patched:
        failing_to_save(patched)
        with pytest.raises(ApiframeError, match=r"(?s)'prompt'.*not saved: 3") as error:
            task.run()
    assert error.value.transient
    with pytest.raises(AirflowFailException, match="did you mean 'prompt'"):
        task.run()
    check(task, connected, 3)


def no_credits() -> InsufficientCreditsError:
    return InsufficientCreditsError("Not enough credits", required=12, available=0)


def check_left_to_a_retry(task: BatchTask, submit: Any, sandbox: Any, monkeypatch: Any) -> None:
    """See that a try with another ``submit`` fails for now, and the next one finds its jobs."""
    with monkeypatch.context() as patched:
        patched.setattr(lives.ApiframeClient, "submit", submit)
        with pytest.raises(ApiframeError) as error:  # an AirflowFailException would be final
            task.run()
    assert error.value.transient
    task.run()
    assert sandbox.state.jobs_created == 3
    check(task, sandbox, 3)


@pytest.mark.parametrize("deferrable", [False, True], ids=["sync", "deferrable"])
@pytest.mark.parametrize("max_retries", [0, 4])
@pytest.mark.parametrize("accepted", [0, 1])
def test_a_refusal_beside_a_lost_response_is_left_to_a_retry_which_finds_the_job(
    accepted, max_retries, deferrable, connected, tmp_path, monkeypatch, connect
):
    """Nobody knows whether the second request was accepted; the others meet an empty balance.

    With retries of its own it waits for one, and the others end the submitting before that.
    """
    monkeypatch.setattr("airflow_provider_apiframe.submission.batch.retry_backoff", lambda *_: 10.0)
    extra = {"max_retries": max_retries, "requests_per_minute": 5000}
    connect(password=connected.api_key, host=connected.url, extra=extra)
    task = BatchTask(tmp_path, requests=requests(3), deferrable=deferrable)
    real, lost = lives.ApiframeClient.submit, threading.Event()

    def submit(self: Any, request: Any, *args: Any, **options: Any) -> Any:
        number = int(request.prompt.split()[1])
        if number == 1 and not lost.is_set():
            real(self, request, *args, **options)
            lost.set()
            raise ConnectionFailedError("the response was lost")
        if number < accepted:
            return real(self, request, *args, **options)
        lost.wait(10)
        raise no_credits()

    check_left_to_a_retry(task, submit, connected, monkeypatch)


@pytest.mark.parametrize(
    ("other", "loss"),
    [
        (RateLimitedError("Slow down"), ConnectionFailedError("the response was lost")),
        (no_credits(), RuntimeError("the process ran out of memory")),
    ],
    ids=["429", "402"],
)
def test_a_lost_response_is_not_forgotten_over_another_error(
    other, loss, connected, tmp_path, monkeypatch
):
    """One request is accepted, the next ends the submitting, the response to the third is lost."""
    monkeypatch.setattr(RateGate, "limit", lambda *_: False)
    monkeypatch.setattr("airflow_provider_apiframe.submission.batch.retry_backoff", lambda *_: 0.01)
    task = BatchTask(tmp_path, requests=requests(3))
    real, accepted, lost = lives.ApiframeClient.submit, threading.Event(), threading.Event()

    def submit(self: Any, request: Any, *args: Any, **options: Any) -> Any:
        number = int(request.prompt.split()[1])
        if number == 0:
            made = real(self, request, *args, **options)
            accepted.set()
            return made
        accepted.wait(10)
        if lost.is_set():
            raise no_credits()
        if number == 2:
            real(self, request, *args, **options)
            lost.set()
            raise loss
        lost.wait(10)
        raise other

    check_left_to_a_retry(task, submit, connected, monkeypatch)


@pytest.mark.parametrize(
    "second",
    [
        no_credits(),
        ConflictError("The key is in use"),
        InvalidRequestError("No such prompt"),
        RequestRefusedError("Too large", status_code=413),
    ],
    ids=lambda error: type(error).__name__,
)
def test_a_refusal_after_a_lost_response_to_the_same_request_is_left_to_a_retry(
    second, connected, tmp_path, monkeypatch
):
    monkeypatch.setattr("airflow_provider_apiframe.submission.batch.retry_backoff", lambda *_: 0.01)
    task = BatchTask(tmp_path, requests=requests(1))
    real, errors = lives.ApiframeClient.submit, [ConnectionFailedError("lost"), second]

    def submit(self: Any, *args: Any, **options: Any) -> Any:
        real(self, *args, **options)
        raise errors.pop(0)

    with monkeypatch.context() as patched:
        patched.setattr(lives.ApiframeClient, "submit", submit)
        with pytest.raises(ConnectionFailedError, match="Submitted again: ") as error:
            task.run()
    assert error.value.transient
    task.run()
    assert connected.state.jobs_created == 1
    check(task, connected, 1)


def test_an_outage_in_mid_submit_is_left_to_a_retry(connected, tmp_path, connect):
    connect(password=connected.api_key, host=connected.url, extra={"max_retries": 0})
    connected.faults.next("generate", status=503, times=3)
    task = BatchTask(tmp_path, requests=requests(COUNT))
    for _ in range(5):
        try:
            task.run()
            break
        except ApiframeError:  # a permanent one would be an AirflowFailException
            continue
    check(task, connected)


@pytest.mark.parametrize("deferrable", [False, True], ids=["sync", "deferrable"])
def test_a_job_whose_id_is_written_in_another_way_when_it_is_polled_ends_its_line(
    deferrable, connected, tmp_path, monkeypatch
):
    real = lives.ApiframeClient.submit

    def submit(self: Any, *args: Any, **options: Any) -> Any:
        accepted = real(self, *args, **options)
        return accepted.model_copy(update={"job_id": accepted.job_id.upper()})

    monkeypatch.setattr(lives.ApiframeClient, "submit", submit)
    task = BatchTask(tmp_path, requests=requests(3), deferrable=deferrable)
    with monkeypatch.context() as patched:
        patched.setattr(lives.BatchTry, "next_wave", up_to(9, lives.BatchTry.next_wave))
        assert task.run()["succeeded"] == 3
    assert len(task.images) == 3


# Saving


def test_a_storage_that_fails_for_some_images_keeps_the_others_and_a_retry_saves_the_rest(
    connected, tmp_path, monkeypatch
):
    task = BatchTask(tmp_path, requests=requests(COUNT))
    real, calls = lives.ImageStorage.save, []

    def save(self: Any, *args: Any, **kwargs: Any) -> Any:
        calls.append(args)
        if len(calls) <= 3:
            raise ImageNotSavedError("no space left on the device")
        return real(self, *args, **kwargs)

    monkeypatch.setattr(lives.ImageStorage, "save", save)
    with pytest.raises(ImageNotSavedError, match=r"3 of 12 requests were not saved.*no space"):
        task.run()
    assert len([line for line in task.manifest() if line["error"]]) == 3
    requested = connected.state.requests["image"]
    assert requested == COUNT - 3
    assert task.run()["reused"] == COUNT
    assert connected.state.requests["image"] == COUNT
    check(task, connected)


def test_a_storage_that_takes_no_manifest_is_found_before_anything_is_paid(connected, tmp_path):
    (tmp_path / "d").write_text("a file, where the folder should be")
    task = BatchTask(tmp_path, requests=requests(3))
    with pytest.raises(AirflowFailException, match="could not be written") as error:
        task.run()
    assert "earlier try" not in str(error.value)
    assert connected.state.jobs_created == 0


def test_a_storage_that_refuses_what_is_paid_is_left_to_a_retry(connected, tmp_path, monkeypatch):
    def reach(self: Any) -> None:
        if connected.state.jobs_created:
            raise StorageError("no such bucket", transient=False)

    task = BatchTask(tmp_path, requests=requests(3))
    with monkeypatch.context() as patched:
        patched.setattr(lives.ImageStorage, "reach", reach)
        with pytest.raises(StorageError, match="no such bucket") as error:
            task.run()  # an AirflowFailException would be final
    assert error.value.transient
    task.run()
    assert connected.state.jobs_created == 3
    check(task, connected, 3)


# Waves


@pytest.mark.parametrize("deferrable", [False, True], ids=["sync", "deferrable"])
def test_no_more_jobs_are_under_way_than_max_active(deferrable, connected, tmp_path):
    task = BatchTask(tmp_path, requests=requests(COUNT), max_active=5, deferrable=deferrable)
    most = 0
    real = lives.ApiframeClient.submit

    def submit(self: Any, *args: Any, **kwargs: Any) -> Any:
        nonlocal most
        accepted = real(self, *args, **kwargs)
        by_status = connected.state.jobs_by_status
        most = max(most, by_status["QUEUED"] + by_status["PROCESSING"])
        return accepted

    lives.ApiframeClient.submit = submit
    try:
        task.run()
    finally:
        lives.ApiframeClient.submit = real
    assert most <= 5
    assert task.deferrals == (3 if deferrable else 0)
    check(task, connected)


def test_a_retry_submits_no_more_than_there_is_room_for_beside_what_goes_on(connected, tmp_path):
    task = BatchTask(tmp_path, requests=requests(COUNT), max_active=5)
    for kill in (lives.after_the_manifest(), lives.waiting()):
        with pytest.raises(Killed):
            task.run(kill)
    assert connected.state.jobs_created == 5


# Whatever happens


EVENTS = st.lists(
    st.tuples(
        st.sampled_from([None, *KILLS]),
        st.sampled_from([0.0, 0.3, 1.0]),
        st.booleans(),
    ),
    max_size=4,
)


@given(
    events=EVENTS, with_store=st.booleans(), deferrable=st.booleans(), max_active=st.integers(1, 9)
)
@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_happens_each_request_is_paid_once_and_saved_once(
    connected, tmp_path_factory, events, with_store, deferrable, max_active
):
    connected.reset()
    count = 6
    task = BatchTask(
        tmp_path_factory.mktemp("batch"),
        Store() if with_store else None,
        requests=requests(count),
        retries=12,
        deferrable=deferrable,
        max_active=max_active,
        min_success=1.0,
    )
    for kill, fail_rate, loses_manifest in events:
        connected.configure(fail_rate=fail_rate)
        with suppress(Killed, ApiframeError):
            task.run(KILLS[kill] if kill else None)
        if loses_manifest:
            task.lose_manifests()
    connected.configure(fail_rate=0)
    for _ in range(2):
        try:
            task.run()
            break
        except ApiframeError:  # of jobs that were under way before
            continue
    assert connected.state.jobs_created <= count * task.try_number
    check(task, connected, count)
