"""The arithmetic of the benchmarks. Their figures are not tested: machines differ."""

from __future__ import annotations

from itertools import pairwise

import pytest

pytest.importorskip("benchmarks.tables", reason="the benchmarks are not in the wheel")

from benchmarks.figures import Delivery, percentile, spread
from benchmarks.tables import between_markers, number, table

PAGE = "before\n<!-- benchmarks: begin -->\nold\n<!-- benchmarks: end -->\nafter\n"


def test_a_report_replaces_the_one_before_it():
    once = between_markers(PAGE, "new")
    assert "old" not in once
    assert once.startswith("before\n<!-- benchmarks: begin -->")
    assert once.endswith("<!-- benchmarks: end -->\nafter\n")
    assert between_markers(between_markers(PAGE, "other"), "new") == once


def test_a_report_goes_between_the_markers_of_its_name():
    page = PAGE + "<!-- batch: begin -->\nof batches\n<!-- batch: end -->\n"
    changed = between_markers(page, "new", "batch")
    assert "of batches" not in changed
    assert changed.startswith(PAGE)


def test_a_page_without_a_place_for_the_report_is_refused():
    with pytest.raises(ValueError, match="benchmarks: begin"):
        between_markers("no markers", "new")


def test_a_table_has_a_row_for_each():
    lines = table(("a", "b"), [["1", "2"], ["3", "4"]]).splitlines()
    assert len(lines) == 4
    assert [cell.strip() for cell in lines[2].strip("|").split("|")] == ["1", "2"]


@pytest.mark.parametrize(
    ("value", "decimals", "text"), [(2000, 0, "2,000"), (1.25, 1, "1.2"), (None, 2, "\u2013")]
)
def test_numbers_are_written_with_the_decimals_asked_for(value, decimals, text):
    assert number(value, decimals) == text


def test_a_percentile_is_a_value_that_was_seen():
    assert percentile(list(range(1, 101)), 0.99) in (99, 100)
    assert percentile([7.0], 0.99) == 7.0


def test_lengths_are_spread_evenly():
    seconds = sorted(spread(100, 10, 20))
    assert (seconds[0], sum(seconds) / 100) == (10, pytest.approx(15, abs=0.1))
    assert max(later - earlier for earlier, later in pairwise(seconds)) < 0.2


def test_an_image_that_is_lost_or_comes_twice_is_noticed():
    assert Delivery.of(["a", "b"], ["b", "a"]).exact
    assert not Delivery.of(["a", "b"], ["a"]).exact
    assert not Delivery.of(["a", "b"], ["a", "b", "b"]).exact
    assert not Delivery.of(["a"], ["a", "stranger"]).exact
