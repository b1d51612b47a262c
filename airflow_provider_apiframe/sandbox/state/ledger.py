"""The team's credits: what was charged, and what is given back when a job ends without an image.

Not safe across threads by itself.
"""

from __future__ import annotations

from heapq import heappop, heappush

from airflow_provider_apiframe.sandbox.state.jobs import Job


class InsufficientCredits(Exception):
    """The team's balance doesn't cover a job."""

    def __init__(self, required: int, available: int) -> None:
        super().__init__(f"{required} credits required, {available} available")
        self.required = required
        self.available = available


class Ledger:
    """The balance and how it came to be.

    :param balance: credits at the start.
    :ivar balance: credits left.
    :ivar spent: credits charged and not refunded.
    :ivar refunds: how many jobs were refunded.
    """

    def __init__(self, balance: int) -> None:
        self.balance = balance
        self.spent = self.refunds = 0
        # A heap, as this is looked through at every request: the first to end comes first.
        self._to_refund: list[tuple[float, str, Job]] = []

    def check(self, cost: int) -> None:
        """Check that the balance covers a cost.

        :raises InsufficientCredits: it doesn't.
        """
        if cost > self.balance:
            raise InsufficientCredits(cost, self.balance)

    def charge(self, job: Job) -> None:
        """Take the cost of a new job."""
        self.balance -= job.cost
        self.spent += job.cost
        if job.ending != "COMPLETED":
            heappush(self._to_refund, (job.finish_at, job.id, job))

    def refund(self, now: float) -> None:
        """Give back the cost of the jobs that ended without an image by `now` (epoch seconds)."""
        while self._to_refund and self._to_refund[0][0] <= now:
            _, _, job = heappop(self._to_refund)
            self.balance += job.cost
            self.spent -= job.cost
            self.refunds += 1
            job.refunded = True
