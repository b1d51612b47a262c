"""The arithmetic of the report: plain functions over numbers."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass


def percentile(values: Iterable[float], share: float) -> float:
    """Return the smallest of *values* that at least *share* of them do not exceed (nearest rank).

    :param share: above 0, at most 1.
    :raises ValueError: no values, or a share out of its range.
    """
    ordered = sorted(values)
    if not ordered or not 0 < share <= 1:
        raise ValueError(
            f"percentile needs values and a share above 0 and up to 1, not {len(ordered)} values "
            f"and {share!r}"
        )
    return ordered[math.ceil(share * len(ordered)) - 1]


def spread(count: int, shortest: float, longest: float) -> list[float]:
    """Return *count* values from *shortest* to *longest*, spread evenly, neighbours far apart.

    They are the same on each call.
    """
    golden = (math.sqrt(5) - 1) / 2
    return [shortest + (longest - shortest) * (turn * golden % 1) for turn in range(count)]


@dataclass(frozen=True, slots=True)
class Delivery:
    """What became of the jobs that were submitted, by their ids.

    :ivar lost: submitted and never delivered.
    :ivar repeated: delivered more than once.
    :ivar foreign: delivered and never submitted.
    """

    lost: frozenset[str]
    repeated: frozenset[str]
    foreign: frozenset[str]

    @classmethod
    def of(cls, submitted: Iterable[str], delivered: Sequence[str]) -> Delivery:
        """Compare what was submitted with what was delivered."""
        ordered, counts = frozenset(submitted), Counter(delivered)
        return cls(
            lost=ordered - counts.keys(),
            repeated=frozenset(job_id for job_id, times in counts.items() if times > 1),
            foreign=frozenset(counts.keys() - ordered),
        )

    @property
    def exact(self) -> bool:
        """Whether every job was delivered exactly once, and no other."""
        return not (self.lost or self.repeated or self.foreign)

    def __str__(self) -> str:
        return (
            f"{len(self.lost)} lost, {len(self.repeated)} delivered more than once, "
            f"{len(self.foreign)} never submitted"
        )
