"""One poll: the request that is to be made next."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto


class PollKind(Enum):
    """What a poll asks for."""

    JOB = auto()
    WHOLE_LIST = auto()
    COMPLETED_JOBS = auto()


@dataclass(frozen=True, slots=True)
class Poll:
    """The next thing to ask for.

    :param kind: one job, or the next page of a scan.
    :param at: when; infinite is never.
    :param due: since when it would be due but for the rate limit; who waited longest comes first.
    :param job_id: the job, if it is for one.
    """

    kind: PollKind
    at: float
    due: float
    job_id: str = ""
