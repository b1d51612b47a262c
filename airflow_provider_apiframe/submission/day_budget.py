"""What all jobs of an API key's user may cost in a day: ``max_credits_per_day`` of the connection.

What was spent since midnight UTC is summed from the list of jobs, which is free. Tasks on one
machine share that sum for ``CACHE_SECONDS``, in a file (see ``shared_file.py``), and hold there
what they are about to spend. So:

- Tasks on one machine (with the same system user, folder for temporary files and API key) do not
  exceed the limit together, however many submit at the same moment.
- Tasks on several machines can exceed it by what the other machines submit within the
  ``CACHE_SECONDS`` before a submit, and while it is on its way (a batch's wave: for minutes): no
  machine knows what another one holds. The same goes for scripts, and for tasks that cannot use the
  file.
- A retry whose image may be paid already is not refused, for that would lose the image. Where it
  was not paid after all, the limit is exceeded by that image.
- Midnight is that of this machine's clock. Where it is ahead of the API's, what is submitted
  between the two midnights does not count.
"""

from __future__ import annotations

import hashlib
import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from types import TracebackType
from typing import TYPE_CHECKING

from airflow_provider_apiframe.api.errors import ApiframeError, BudgetExceededError
from airflow_provider_apiframe.api.settings import ClientSettings
from airflow_provider_apiframe.submission.day_ledger import DayLedger
from airflow_provider_apiframe.submission.day_scan import scan_day
from airflow_provider_apiframe.submission.shared_file import (
    HeldFileError,
    LockedFile,
    SharedFileError,
    locked_file,
)

if TYPE_CHECKING:
    from airflow_provider_apiframe.hooks.apiframe import ApiframeHook

log = logging.getLogger(__name__)

CACHE_SECONDS = 10.0
"""For so long the tasks on one machine share a scan."""

RECHECK_SECONDS = 1.0
"""Before a submit is refused, the scan is no older than that."""

SETTLING_SECONDS = 10.0
"""For so long a submit waits for what others hold, where that decides. A scan may show the jobs of
a process that still holds credits for them."""


class DayBudgetBusyError(ApiframeError):
    """Other tasks on this machine took too long over the day's sum. Nothing was submitted."""

    transient = True


@dataclass(frozen=True)
class DayReservation:
    """Credits that a task holds for what it is about to submit. Ends with its ``with`` block.

    :param limited: whether there is a limit; without one nothing is held.
    :param file: name of the file that it is noted in; None where there is none.
    :param id: the reservation's.
    """

    limited: bool = False
    file: str | None = None
    id: str = ""

    def accepted(self, job_id: str, credits: float | None = None) -> None:
        """Note that a job was accepted. Never fails: it is paid.

        :param credits: the most that it may cost; None means all that is held.
        """
        self.accepted_all({job_id: credits})

    def accepted_all(self, jobs: Mapping[str, float | None]) -> None:
        """Note that several jobs were accepted. Never fails.

        :param jobs: id -> the most that the job may cost, as in :meth:`accepted`.
        """

        def accepted(ledger: DayLedger, now: float) -> DayLedger:
            for job_id, credits in jobs.items():
                ledger = ledger.accepted(self.id, job_id, credits, now)
            return ledger

        self._note(accepted)

    def __enter__(self) -> DayReservation:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._note(lambda ledger, now: ledger.ended(self.id, now))

    def _note(self, change: Callable[[DayLedger, float], DayLedger]) -> None:
        if self.file is None:
            return
        try:
            with locked_file(self.file) as file:
                if ledger := DayLedger.read(file.read()):
                    file.write(change(ledger, time.time()).model_dump_json().encode())
        except SharedFileError as error:
            _warn(error)


def check_day_budget(hook: ApiframeHook, credits: float | None) -> DayReservation:
    """Refuse what may exceed the connection's ``max_credits_per_day``. Asks free routes only.

    Without that limit nothing is asked and nothing written.

    :param credits: the most that the jobs may cost that are about to be submitted; None where that
        is not known.
    :returns: holds the credits; submit within its ``with`` block, and tell it each job with
        :meth:`DayReservation.accepted`, so that other tasks do not count it twice.
    :raises BudgetExceededError: they may exceed it, or nobody can tell.
    :raises DayBudgetBusyError: others keep the file for too long, mostly because the list of jobs
        is slow or its rate limit is reached. Past them all that wait could submit at once.
    """
    settings = hook.client.settings
    limit = settings.max_credits_per_day
    if limit is None:
        return DayReservation()
    if credits is None:
        raise BudgetExceededError(
            "Apiframe's catalogue does not say what this may cost, so max_credits_per_day="
            f"{limit:g} of {settings.name} cannot be kept. Nothing was submitted. Choose a model "
            "of the catalogue (ApiframeHook().list_models())."
        )
    try:
        return _reserve(hook, credits, limit)
    except HeldFileError as error:
        raise DayBudgetBusyError(
            "Other tasks on this machine are summing what was spent since midnight UTC, so "
            f"max_credits_per_day={limit:g} of {settings.name} could not be checked: {error}. "
            "Nothing was submitted. Let Airflow retry the task."
        ) from None
    except SharedFileError as error:
        _warn(error)
    spent = scan_day(hook, time.time()).scan.spent
    if spent + credits > limit:
        raise _exceeded(settings, spent, credits, limit)
    return DayReservation(limited=True)


def rest_of_day(hook: ApiframeHook, *, retry: bool = True) -> float | None:
    """Return how many credits may be spent until midnight UTC, at least 0; None without a limit.

    :param retry: as in :meth:`.ApiframeHook.list_jobs`.
    """
    settings = hook.client.settings
    if settings.max_credits_per_day is None:
        return None
    try:
        with locked_file(_file_name(settings)) as file:
            spent = _ledger(hook, file, CACHE_SECONDS, retry=retry).spent
    except SharedFileError as error:
        _warn(error)
        spent = scan_day(hook, time.time(), retry=retry).scan.spent
    return max(0.0, settings.max_credits_per_day - spent)


def _reserve(hook: ApiframeHook, credits: float, limit: float) -> DayReservation:
    name = _file_name(hook.client.settings)
    give_up_at = time.monotonic() + SETTLING_SECONDS
    max_age = CACHE_SECONDS
    while True:
        with locked_file(name) as file:
            ledger = _ledger(hook, file, max_age)
            if ledger.spent + credits > limit:
                max_age = RECHECK_SECONDS if ledger.is_exact else 0.0
                ledger = _ledger(hook, file, max_age)
            if ledger.spent + credits <= limit:
                ledger, reservation = ledger.holding(credits, time.time())
                file.write(ledger.model_dump_json().encode())
                return DayReservation(limited=True, file=name, id=reservation)
        if ledger.certain + credits > limit or time.monotonic() >= give_up_at:
            raise _exceeded(hook.client.settings, ledger.spent, credits, limit)
        time.sleep(RECHECK_SECONDS)


def _ledger(
    hook: ApiframeHook, file: LockedFile, max_age: float, *, retry: bool = True
) -> DayLedger:
    """Return what the file holds, after a new scan if its scan is older than *max_age* seconds."""
    ledger, now = DayLedger.read(file.read()), time.time()
    if ledger and ledger.is_fresh(now, max_age):
        return ledger
    scanned = scan_day(hook, now, ledger.scan if ledger else None, retry=retry)
    ledger = ledger.after(scanned) if ledger else DayLedger(scan=scanned.scan)
    file.write(ledger.model_dump_json().encode())
    return ledger


def _file_name(settings: ClientSettings) -> str:
    key = hashlib.sha256(settings.api_key.encode()).hexdigest()
    return f"day-{hashlib.sha256(f'{settings.base_url} {key}'.encode()).hexdigest()[:32]}.json"


def _exceeded(
    settings: ClientSettings, spent: float, credits: float, limit: float
) -> BudgetExceededError:
    now = datetime.now(UTC)
    resets = (now + timedelta(days=1)).replace(hour=0, minute=0, second=0, microsecond=0)
    hours, minutes = divmod(int((resets - now).total_seconds() // 60), 60)
    return BudgetExceededError(
        f"{spent:g} credits were spent or are held since midnight UTC, and this may cost "
        f"{credits:g} more: together more than max_credits_per_day={limit:g} of {settings.name}. "
        f"Nothing was submitted. The limit starts anew at {resets:%Y-%m-%d %H:%M} UTC, in "
        f"{hours} h {minutes} min; ApiframeBudgetSensor waits for that."
    )


def _warn(error: SharedFileError) -> None:
    log.warning(
        "What tasks on this machine spend together cannot be noted, so at the same moment they may "
        "exceed max_credits_per_day: %s",
        error,
    )
