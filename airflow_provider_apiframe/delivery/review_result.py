"""What the tasks of a review hand to each other, and what comes out of it: small, JSON."""

from __future__ import annotations

from typing import TypedDict

from airflow_provider_apiframe.delivery.result import ImageJobResult


class ReviewRound(TypedDict):
    """What a round is going to make.

    ``number`` counts from 1. ``seeds`` are of its candidates. ``spent`` are credits of the rounds
    before it. ``price`` is the most that one candidate may cost, in credits; None without a budget.
    """

    number: int
    prompt: str
    seeds: list[int]
    spent: float
    price: float | None


class Shown(TypedDict):
    """What a form shows: each candidate's result, None where there is none.

    ``spent`` are the credits of all rounds so far; ``can_go_on`` says whether another round may be
    asked for.
    """

    round: ReviewRound
    results: list[ImageJobResult | None]
    spent: float
    can_go_on: bool


class Decision(TypedDict):
    """What came of a round: an image, another round, or neither.

    ``image`` is the number of the chosen candidate, from 1, and ``result`` what it returned. With
    ``again`` another round is made of ``prompt``. ``chosen_by`` is the name of who answered, None
    after a time-out. ``reason`` says why there is no image.
    """

    round: int
    image: int | None
    result: ImageJobResult | None
    again: bool
    prompt: str
    spent: float
    chosen_by: str | None
    reason: str | None


class ReviewResult(ImageJobResult):
    """What ``review_images`` returns: the chosen image's own result, and how it was chosen.

    ``round`` and ``image`` count from 1. ``chosen_by`` is the name of who chose it, None where a
    time-out did. ``credits_of_review`` are what all images of the review cost.
    """

    round: int
    image: int
    chosen_by: str | None
    credits_of_review: float
