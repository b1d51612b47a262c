"""What tasks on one machine know together of the credits of a day: a scan, and what they hold.

Values only; ``day_budget.py`` reads and writes them.
"""

from __future__ import annotations

import os
import socket
import uuid
from datetime import UTC, datetime
from typing import Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from airflow_provider_apiframe.submission.day_scan import LIST_LAG, DayScan, Scanned

HELD_SECONDS = 6 * 3600.0
"""For so long a process that runs on this host holds credits without a word, as a batch does while
it submits a wave under a rate limit. Later another process may have its number."""

UNSEEN_SECONDS = 900.0
"""The same for a process of another host, of which nobody can tell whether it runs: a container
that shares the folder."""


class Held(BaseModel):
    """Credits that the last scan does not show.

    :param reservation: who holds them.
    :param credits: how many.
    :param since: epoch seconds, by this machine's clock.
    :param process: the process that is about to submit; None once it is done with that.
    :param job_id: the job that was accepted; None before, and where that is not known.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    reservation: str
    credits: float = Field(ge=0)
    since: float
    process: str | None = None
    job_id: str | None = None

    def outlives(self, scanned: Scanned) -> bool:
        """Return whether a scan may not show yet what these credits were held for."""
        scan = scanned.scan
        age = abs(scan.begun - self.since)  # a clock that was set back makes nothing young
        if self.process is not None:
            seen = _is_running(self.process)
            longest = UNSEEN_SECONDS if seen is None else HELD_SECONDS if seen else 0.0
            return age < longest
        if self.job_id is None:
            return False  # its submit was over when the scan began
        if self.since < scan.midnight.timestamp():
            return False  # a job of yesterday
        return self.job_id not in scanned.job_ids and age < LIST_LAG.total_seconds()


class DayLedger(BaseModel):
    """The last scan of the day, and the credits that are held besides it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    scan: DayScan
    held: tuple[Held, ...] = ()

    @classmethod
    def read(cls, content: bytes | None) -> Self | None:
        """Return what :meth:`model_dump_json` wrote, None for anything else."""
        try:
            return None if content is None else cls.model_validate_json(content)
        except ValidationError:
            return None

    @property
    def spent(self) -> float:
        """The most that the day's jobs may cost, with those that are about to be submitted."""
        return self.scan.spent + sum(held.credits for held in self.held)

    @property
    def certain(self) -> float:
        """The same without what the next scan may show for less, or counts twice: what a process
        holds, and what was accepted since the scan began."""
        return self.scan.spent + sum(
            held.credits
            for held in self.held
            if held.process is None and held.since < self.scan.begun
        )

    @property
    def is_exact(self) -> bool:
        """Whether it is known of all held credits what they are held for."""
        return all(held.process or held.job_id for held in self.held)

    def is_fresh(self, now: float, max_age: float) -> bool:
        """Return whether the scan is of today, and no older than *max_age* seconds."""
        same_day = self.scan.day == datetime.fromtimestamp(now, UTC).date()
        return same_day and 0 <= now - self.scan.begun <= max_age

    def after(self, scanned: Scanned) -> DayLedger:
        """Return the ledger with a new scan, without what that shows."""
        return DayLedger(
            scan=scanned.scan, held=tuple(held for held in self.held if held.outlives(scanned))
        )

    def holding(self, credits: float, now: float) -> tuple[DayLedger, str]:
        """Return the ledger with *credits* held by this process, and the reservation's id."""
        held = Held(
            reservation=uuid.uuid4().hex, credits=credits, since=now, process=_this_process()
        )
        return self._with(*self.held, held), held.reservation

    def accepted(self, reservation: str, job_id: str, credits: float | None, now: float) -> Self:
        """Return the ledger with (part of) a reservation held for a job that was accepted.

        :param credits: the most that the job may cost; None means all that the reservation holds.
        """
        found = self._find(reservation)
        if found is None:
            return self
        taken = found.credits if credits is None else min(credits, found.credits)
        rest = found.model_copy(update={"credits": found.credits - taken, "since": now})
        job = Held(reservation=reservation, credits=taken, since=now, job_id=job_id)
        return self._with(*(held for held in self.held if held is not found), rest, job)

    def ended(self, reservation: str, now: float) -> Self:
        """Return the ledger once a reservation's submits are over: the next scan shows them."""
        found = self._find(reservation)
        if found is None:
            return self
        others = [held for held in self.held if held is not found]
        if not found.credits:
            return self._with(*others)
        return self._with(*others, found.model_copy(update={"process": None, "since": now}))

    def _find(self, reservation: str) -> Held | None:
        mine = (held for held in self.held if held.reservation == reservation)
        return next((held for held in mine if held.process is not None), None)

    def _with(self, *held: Held) -> Self:
        return self.model_copy(update={"held": held})


def _this_process() -> str:
    return f"{socket.gethostname()} {os.getpid()}"


def _is_running(process: str) -> bool | None:
    """Return whether a process runs, None where nobody can tell."""
    host, _, pid = process.rpartition(" ")
    if host != socket.gethostname() or not pid.isdigit():
        return None
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return False
    except (OSError, OverflowError):
        return True
    return True
