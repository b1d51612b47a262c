"""``max_credits_per_day``: what all jobs of a key's user may cost from midnight to midnight."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import day_spender
import pytest
from airflow.providers.common.compat.sdk import AirflowFailException
from task_lives import Killed, Store, Task, wait_until

from airflow_provider_apiframe.api.errors import BudgetExceededError, ServiceUnavailableError
from airflow_provider_apiframe.hooks.apiframe import ApiframeHook
from airflow_provider_apiframe.submission import day_budget, day_ledger, shared_file
from airflow_provider_apiframe.submission.day_budget import (
    DayBudgetBusyError,
    DayReservation,
    check_day_budget,
    rest_of_day,
)
from airflow_provider_apiframe.submission.day_ledger import DayLedger, Held
from airflow_provider_apiframe.submission.day_scan import DayScan, Scanned
from airflow_provider_apiframe.submission.records import NotRecordedError

PRICE = 12  # of an image with flux-2-flex in the sandbox


@pytest.fixture(autouse=True)
def temporary_files(tmp_path, monkeypatch) -> Path:
    """A folder for temporary files of its own, and nobody to wait for."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    monkeypatch.setattr(day_budget, "SETTLING_SECONDS", 0.0)
    return folder


@pytest.fixture
def limited(sandbox, connect):
    """Call it to set the limit of the connection."""

    def limited(credits: float | None, **extra):
        connect(
            password=sandbox.api_key,
            host=sandbox.url,
            extra={"requests_per_minute": 5000, "max_credits_per_day": credits, **extra},
        )
        return sandbox

    return limited


def submit(prompt: str = "a poster") -> str:
    return ApiframeHook().generate_image(prompt=prompt).job_id


def task(**arguments) -> Task:
    return Task(arguments.pop("store", None), **arguments)


def file_of(folder: Path) -> Path:
    (found,) = folder.glob("apiframe-*/day-*.json")
    return found


def later(monkeypatch, seconds: float) -> None:
    """Have the cache look at a clock that is ahead."""
    now = time.time
    monkeypatch.setattr(
        day_budget,
        "time",
        type(
            "Ahead",
            (),
            {"time": lambda: now() + seconds, "monotonic": time.monotonic, "sleep": time.sleep},
        ),
    )


def test_an_image_within_the_limit_is_made(limited):
    limited(PRICE)
    assert task().run()["credit_cost"] == PRICE


def test_an_image_that_may_exceed_the_limit_is_refused_before_anything_is_submitted(limited):
    sandbox = limited(2 * PRICE)
    submit()
    submit()
    with pytest.raises(AirflowFailException) as caught:
        task().run()
    for piece in (
        "24 credits were spent",
        "may cost 12 more",
        "max_credits_per_day=24 of connection 'apiframe_default'",
        "Nothing was submitted",
        "00:00 UTC",
    ):
        assert piece in str(caught.value)
    assert sandbox.state.jobs_created == 2


def test_without_a_limit_nothing_is_asked_and_nothing_written(limited, temporary_files):
    sandbox = limited(None)
    task().run()
    assert {"models", "me", "jobs"} & sandbox.state.requests.keys() == set()
    assert list(temporary_files.iterdir()) == []


def test_a_failed_job_is_refunded_and_does_not_count(limited):
    sandbox = limited(PRICE)
    submit("[fail: no luck]")
    wait_until(lambda: sandbox.state.jobs_by_status["FAILED"])
    assert task().run()["credit_cost"] == PRICE


def test_yesterdays_jobs_do_not_count(limited, monkeypatch):
    sandbox = limited(PRICE)
    with monkeypatch.context() as yesterday:
        yesterday.setattr(sandbox.state, "clock", lambda: time.time() - 86400)
        submit()
    assert task().run()["credit_cost"] == PRICE


def test_a_model_without_a_price_is_refused(limited):
    sandbox = limited(1000)
    with pytest.raises(AirflowFailException, match="catalogue does not say"):
        task(model="flux-9").run()
    assert "generate" not in sandbox.state.requests


def test_many_tasks_share_one_scan(limited):
    sandbox = limited(1000)
    for number in range(5):
        task(run_id=f"r{number}").run()
    assert sandbox.state.requests["jobs"] == 1


def test_what_other_tasks_of_the_machine_submitted_since_the_scan_counts(limited):
    limited(3 * PRICE)
    for number in range(3):
        task(run_id=f"r{number}").run()
    with pytest.raises(AirflowFailException, match="36 credits were spent"):
        task(run_id="one too many").run()


def test_a_scan_that_is_too_old_is_made_anew(limited, monkeypatch):
    sandbox = limited(2 * PRICE)
    task().run()
    ApiframeHook().generate_image(prompt="of another machine")
    later(monkeypatch, day_budget.CACHE_SECONDS + 1)
    with pytest.raises(AirflowFailException, match="24 credits were spent"):
        task(run_id="next").run()
    assert sandbox.state.jobs_created == 2


def test_other_machines_can_exceed_the_limit_within_the_seconds_of_a_scan(limited):
    """As docs/what-costs.md says."""
    sandbox = limited(2 * PRICE)
    task().run()
    ApiframeHook().generate_image(prompt="of another machine")
    task(run_id="next").run()
    assert sandbox.state.credits_spent == 3 * PRICE


def test_a_scan_of_yesterday_is_old_however_young_it_is():
    midnight = datetime(2026, 11, 26, tzinfo=UTC)
    before = (midnight - timedelta(seconds=1)).timestamp()
    scan = DayScan(day=midnight.date() - timedelta(days=1), begun=before)
    ledger = DayLedger(scan=scan)
    assert ledger.is_fresh(before + 0.5, 10)
    assert not ledger.is_fresh(before + 1.5, 10)


def test_nothing_is_refused_by_an_old_scan(limited, monkeypatch):
    sandbox = limited(PRICE)
    submit("[takes: 3600][fail: no luck]")
    with pytest.raises(BudgetExceededError):
        check_day_budget(ApiframeHook(), PRICE)
    monkeypatch.setattr(sandbox.state, "clock", lambda: time.time() + 3601)
    monkeypatch.setattr(day_budget, "RECHECK_SECONDS", 0.0)
    assert check_day_budget(ApiframeHook(), PRICE).limited


def test_credits_that_are_held_are_not_there_for_others(limited):
    limited(2 * PRICE)
    for _ in range(2):
        check_day_budget(ApiframeHook(), PRICE)
    with pytest.raises(BudgetExceededError, match="24 credits were spent or are held"):
        check_day_budget(ApiframeHook(), PRICE)


def test_credits_that_were_held_for_nothing_are_free_again(limited):
    limited(PRICE)
    with check_day_budget(ApiframeHook(), PRICE):
        pass
    assert rest_of_day(ApiframeHook()) == 0  # by the scan before: a lost job may be in the next
    assert check_day_budget(ApiframeHook(), PRICE).limited


def test_a_job_that_the_list_does_not_show_yet_counts(limited, monkeypatch):
    sandbox = limited(PRICE)
    monkeypatch.setattr(day_budget, "RECHECK_SECONDS", 0.0)
    with check_day_budget(ApiframeHook(), PRICE) as reservation:
        reservation.accepted(submit())
    sandbox.configure(hide_from_list=True)
    with pytest.raises(BudgetExceededError):
        check_day_budget(ApiframeHook(), PRICE)


def test_the_job_of_a_task_counts_until_the_list_shows_it(limited, monkeypatch):
    sandbox = limited(PRICE)
    monkeypatch.setattr(day_budget, "RECHECK_SECONDS", 0.0)
    task(wait_for_completion=False).run()
    sandbox.configure(hide_from_list=True)
    with pytest.raises(AirflowFailException, match="max_credits_per_day"):
        task(run_id="next").run()


def test_a_job_counts_once_while_its_task_still_holds_credits_for_it(limited, monkeypatch):
    """A scan shows the job before its task hears that it was accepted."""
    limited(2 * PRICE)
    monkeypatch.setattr(day_budget, "SETTLING_SECONDS", 60.0)
    monkeypatch.setattr(day_budget, "RECHECK_SECONDS", 0.0)
    reservation = check_day_budget(ApiframeHook(), PRICE)
    job_id = submit()
    later(monkeypatch, day_budget.CACHE_SECONDS + 1)
    waits = []

    def accept_meanwhile(seconds: float) -> None:
        waits.append(seconds)
        reservation.accepted(job_id)

    monkeypatch.setattr(day_budget.time, "sleep", accept_meanwhile)
    assert check_day_budget(ApiframeHook(), PRICE).limited
    assert len(waits) == 1


def test_what_a_wave_of_jobs_holds_shrinks_with_each_that_was_accepted(limited, monkeypatch):
    limited(4 * PRICE)
    monkeypatch.setattr(day_budget, "RECHECK_SECONDS", 0.0)
    with check_day_budget(ApiframeHook(), 3 * PRICE) as wave:
        for _ in range(2):
            wave.accepted(submit(), PRICE)
        later(monkeypatch, day_budget.CACHE_SECONDS + 1)
        assert rest_of_day(ApiframeHook()) == PRICE


def test_credits_that_a_process_holds_for_a_slow_wave_stay_held(limited, monkeypatch):
    limited(PRICE)
    check_day_budget(ApiframeHook(), PRICE)
    later(monkeypatch, 2 * 60 * 60)
    with pytest.raises(BudgetExceededError, match="12 credits were spent or are held"):
        check_day_budget(ApiframeHook(), PRICE)


@pytest.mark.parametrize(("seconds", "rest"), [(60, 0), (60 * 60, PRICE)])
def test_of_a_process_on_another_host_nobody_can_tell_so_its_credits_are_held_for_minutes(
    seconds, rest, limited, monkeypatch
):
    limited(PRICE)
    monkeypatch.setattr(day_ledger, "_this_process", lambda: "another-host 1")
    check_day_budget(ApiframeHook(), PRICE)
    later(monkeypatch, seconds)
    assert rest_of_day(ApiframeHook()) == rest


def test_credits_that_a_dead_process_held_are_free_again(limited, monkeypatch):
    limited(PRICE)
    monkeypatch.setattr(day_budget, "RECHECK_SECONDS", 0.0)
    check_day_budget(ApiframeHook(), PRICE)
    monkeypatch.setattr(day_ledger, "_is_running", lambda process: False)
    assert check_day_budget(ApiframeHook(), PRICE).limited


def test_what_was_accepted_since_the_scan_refuses_nothing_before_the_next_scan(
    limited, monkeypatch
):
    """It may have cost less than the most that it was held for."""
    limited(3 * PRICE)
    monkeypatch.setattr(day_budget, "SETTLING_SECONDS", 60.0)
    monkeypatch.setattr(day_budget, "RECHECK_SECONDS", 5.0)
    with check_day_budget(ApiframeHook(), 3 * PRICE) as reservation:
        reservation.accepted(submit())
    later(monkeypatch, 0)
    monkeypatch.setattr(day_budget.time, "sleep", lambda seconds: later(monkeypatch, 11))
    assert check_day_budget(ApiframeHook(), PRICE).limited


MIDNIGHT = datetime(2026, 11, 26, tzinfo=UTC)


def scanned_at(moment: datetime) -> Scanned:
    return Scanned(DayScan(day=moment.date(), begun=moment.timestamp()), frozenset())


def test_what_was_accepted_before_midnight_is_not_held_after_it():
    before = MIDNIGHT - timedelta(seconds=10)
    job = Held(reservation="r", credits=PRICE, since=before.timestamp(), job_id="j-1")
    ledger = DayLedger(scan=scanned_at(before).scan, held=(job,))
    assert ledger.after(scanned_at(before + timedelta(seconds=5))).spent == PRICE
    assert ledger.after(scanned_at(MIDNIGHT + timedelta(seconds=10))).spent == 0


@pytest.mark.parametrize("kind", [{"process": "here 1"}, {"job_id": "j-1"}, {}])
def test_a_clock_that_was_set_back_holds_no_credits(kind, monkeypatch):
    monkeypatch.setattr(day_ledger, "_is_running", lambda process: False)
    noon = MIDNIGHT + timedelta(hours=12)
    ahead = (noon + timedelta(hours=9)).timestamp()
    held = Held(reservation="r", credits=PRICE, since=ahead, **kind)
    ledger = DayLedger(scan=scanned_at(noon).scan, held=(held,))
    assert ledger.after(scanned_at(noon)).spent == 0


def test_a_process_is_known_to_be_dead():
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    mine = day_ledger._this_process()
    host = mine.rpartition(" ")[0]
    assert day_ledger._is_running(mine)
    assert not day_ledger._is_running(f"{host} {ended.pid}")
    assert day_ledger._is_running(f"another-{host} {ended.pid}") is None


def test_processes_that_submit_at_the_same_moment_do_not_exceed_the_limit(limited, temporary_files):
    sandbox = limited(None)
    limit = 2 * PRICE
    command = [sys.executable, day_spender.__file__, sandbox.url, sandbox.api_key]
    processes = [
        subprocess.Popen(
            [*command, str(limit), str(PRICE)],
            env={**os.environ, "TMPDIR": str(temporary_files)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(4)
    ]
    try:
        assert [process.stdout.readline() for process in processes] == ["ready\n"] * 4
        for process in processes:
            process.stdin.write("go\n")
            process.stdin.flush()
        ends = [process.stdout.readline().strip() for process in processes]
    finally:
        for process in processes:
            process.kill()
            process.communicate()
    assert sorted(ends) == ["paid", "paid", "refused", "refused"]
    assert sandbox.state.credits_spent == limit


def test_the_api_key_is_nowhere_in_the_file_or_its_name(limited, temporary_files):
    sandbox = limited(1000)
    task().run()
    file = file_of(temporary_files)
    texts = [str(path) for path in temporary_files.rglob("*")]
    texts += [path.read_text() for path in temporary_files.rglob("*") if path.is_file()]
    assert not [text for text in texts if sandbox.api_key in text or "afk" in text]
    assert re.fullmatch(r"day-[0-9a-f]{32}\.json", file.name)
    assert (file.stat().st_mode & 0o777, file.parent.stat().st_mode & 0o777) == (0o600, 0o700)


def test_another_key_has_another_file(limited, connect, temporary_files):
    sandbox = limited(1000)
    check_day_budget(ApiframeHook(), 1)
    ours = file_of(temporary_files).name
    settings = ApiframeHook().client.settings.model_copy(update={"api_key": "afk_other"})
    assert day_budget._file_name(settings) != ours
    other_host = settings.model_copy(
        update={"api_key": sandbox.api_key, "base_url": "https://api.example.com"}
    )
    assert day_budget._file_name(other_host) not in (ours, day_budget._file_name(settings))


def a_link(folder: Path, mine: Path) -> None:
    elsewhere = folder.parent / "elsewhere"
    elsewhere.mkdir(mode=0o700)
    mine.symlink_to(elsewhere, target_is_directory=True)


def open_to_others(folder: Path, mine: Path) -> None:
    mine.mkdir()
    mine.chmod(0o770)


def no_folder(folder: Path, mine: Path) -> None:
    mine.write_text("a file")


@pytest.mark.parametrize("make", [a_link, open_to_others, no_folder])
def test_a_folder_that_is_not_its_own_is_not_used_and_the_limit_is_kept_all_the_same(
    make, limited, temporary_files, caplog, capfd
):
    sandbox = limited(PRICE)
    folder = temporary_files / f"apiframe-{os.getuid()}"
    make(temporary_files, folder)
    task().run()
    with pytest.raises(AirflowFailException, match="12 credits were spent"):
        task(run_id="next").run()
    assert sandbox.state.jobs_created == 1
    assert "cannot be noted" in caplog.text + "".join(capfd.readouterr())
    assert not folder.is_dir() or list(folder.iterdir()) == []


def test_a_folder_of_another_user_is_not_used(limited, temporary_files, monkeypatch):
    limited(PRICE)
    (temporary_files / f"apiframe-{os.getuid() + 1}").mkdir(mode=0o700)
    uid = os.getuid()
    monkeypatch.setattr(shared_file.os, "getuid", lambda: uid + 1)
    assert check_day_budget(ApiframeHook(), PRICE) == DayReservation(limited=True)


@pytest.mark.parametrize("content", ["", "{", "[]", '{"scan": {"day": "soon"}}', "9" * 5000])
def test_a_file_that_cannot_be_read_is_written_anew(content, limited, temporary_files):
    limited(PRICE)
    check_day_budget(ApiframeHook(), 1)
    file_of(temporary_files).write_text(content)
    assert rest_of_day(ApiframeHook()) == PRICE


def test_a_file_that_is_a_link_is_not_followed(limited, temporary_files, tmp_path):
    limited(PRICE)
    check_day_budget(ApiframeHook(), 1)
    file = file_of(temporary_files)
    file.unlink()
    target = tmp_path / "target"
    target.write_text("precious")
    file.symlink_to(target)
    assert check_day_budget(ApiframeHook(), PRICE) == DayReservation(limited=True)
    assert target.read_text() == "precious"


def test_a_submit_that_others_keep_waiting_for_too_long_is_left_to_a_retry(limited, monkeypatch):
    sandbox = limited(PRICE)
    monkeypatch.setattr(shared_file, "LOCK_SECONDS", 0.0)
    name = day_budget._file_name(ApiframeHook().client.settings)
    with (
        shared_file.locked_file(name),
        pytest.raises(DayBudgetBusyError, match="Nothing was") as caught,
    ):
        task().run()
    assert caught.value.transient
    assert sandbox.state.jobs_created == 0


def test_the_rest_of_the_day_is_read_without_the_file_that_others_hold(limited, monkeypatch):
    limited(PRICE)
    monkeypatch.setattr(shared_file, "LOCK_SECONDS", 0.0)
    with shared_file.locked_file(day_budget._file_name(ApiframeHook().client.settings)):
        assert rest_of_day(ApiframeHook()) == PRICE


def test_a_lock_that_was_cleaned_away_is_made_anew(limited, temporary_files):
    limited(PRICE)
    with shared_file.locked_file("x"):
        (temporary_files / f"apiframe-{os.getuid()}" / "x.lock").unlink()
        with shared_file.locked_file("x"):
            pass


def test_a_list_that_cannot_be_read_is_left_to_a_retry_and_nothing_is_submitted(limited):
    sandbox = limited(1000, max_retries=0)
    sandbox.faults.next("jobs", status=503)
    with pytest.raises(ServiceUnavailableError):
        task().run()
    assert "generate" not in sandbox.state.requests


@pytest.mark.parametrize("store", [None, Store])
@pytest.mark.parametrize("kill", ["after the POST", "before waiting", "at the end"])
def test_a_retry_whose_image_is_paid_is_not_refused(limited, store, kill):
    sandbox = limited(PRICE)
    paid = task(store=store and store())
    with pytest.raises(Killed):
        paid.run(kill=kill)
    assert paid.run()["reused"] is True
    assert sandbox.state.credits_spent == PRICE


class BrokenStore(Store):
    """A task state store that takes nothing for now."""

    is_broken = True

    def set(self, key, value):
        if self.is_broken:
            raise OSError("no space left")
        super().set(key, value)


def test_nothing_is_submitted_that_a_retry_could_not_know_of(limited):
    sandbox = limited(PRICE)
    store = BrokenStore()
    each = task(store=store)
    with pytest.raises(NotRecordedError, match="no space left") as caught:
        each.run(kill="after the POST")
    assert caught.value.transient
    assert sandbox.state.jobs_created == 0
    store.is_broken = False
    assert each.run()["reused"] is False
    assert sandbox.state.credits_spent == PRICE


def test_without_a_limit_a_store_that_takes_nothing_is_no_obstacle(limited):
    sandbox = limited(None)
    each = task(store=BrokenStore())
    with pytest.raises(Killed):
        each.run(kill="after the POST")
    assert each.run()["reused"] is True
    assert sandbox.state.credits_spent == PRICE


def test_a_retry_that_is_recorded_is_not_refused_by_a_clock_that_is_wrong(limited):
    sandbox = limited(PRICE)
    paid = task(store=Store())
    paid.dag_run.start_date += timedelta(hours=1)
    with pytest.raises(Killed):
        paid.run(kill="after the POST")
    assert paid.run()["reused"] is True
    assert sandbox.state.credits_spent == PRICE


@pytest.mark.parametrize("store", [None, Store])
def test_a_retry_that_follows_up_a_failed_job_keeps_the_limit(limited, store):
    sandbox = limited(PRICE)
    failing = task(store=store and store(), prompt="a poster [fail: no capacity]")
    with pytest.raises(Exception, match="FAILED"):
        failing.run()
    submit("of another machine")
    with pytest.raises(AirflowFailException, match="max_credits_per_day"):
        failing.run()
    assert sandbox.state.credits_spent == PRICE


def test_retries_that_never_submitted_are_refused_although_others_of_the_run_did(limited):
    sandbox = limited(2 * PRICE, max_retries=0)
    mapped = [task(store=Store()) for _ in range(4)]
    for index, each in enumerate(mapped):
        each.map_index = index
        sandbox.faults.next("models", status=503)
        with pytest.raises(ServiceUnavailableError):
            each.run()
    ends = []
    for each in mapped:
        try:
            ends.append(each.run()["status"])
        except AirflowFailException:
            ends.append("refused")
    assert ends == ["COMPLETED", "COMPLETED", "refused", "refused"]
    assert sandbox.state.credits_spent == 2 * PRICE


def test_without_a_store_a_retry_is_refused_where_no_job_has_its_prompt(limited):
    limited(PRICE, max_retries=0)
    one, other = task(prompt="a poster"), task(prompt="a mug")
    other.map_index = 1
    for each in (one, other):
        with pytest.raises(Killed):
            each.run(kill="before the POST")
    assert one.run()["status"] == "COMPLETED"
    with pytest.raises(AirflowFailException, match="max_credits_per_day"):
        other.run()


@pytest.mark.parametrize("store", [None, Store])
def test_a_cleared_task_keeps_the_limit(limited, store):
    sandbox = limited(PRICE)
    cleared = task(store=store and store())
    cleared.run()
    cleared.clear()
    with pytest.raises(AirflowFailException, match="max_credits_per_day"):
        cleared.run()
    assert sandbox.state.credits_spent == PRICE


def test_an_image_that_exceeds_its_own_limit_is_refused_whatever_is_left_of_the_day(limited):
    limited(1000)
    with pytest.raises(AirflowFailException, match="max_credits=11"):
        task(max_credits=PRICE - 1).run()
