"""The report as text: Markdown tables, numbers for readers, and their place in a file."""

from __future__ import annotations

from collections.abc import Sequence

NOTHING = "–"  # noqa: RUF001


def number(value: float | None, digits: int = 0) -> str:
    """Return *value* with thousands separators and *digits* decimals; a dash for None."""
    return NOTHING if value is None else f"{value:,.{digits}f}"


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a Markdown table: the first column is text, on the left; the others are numbers.

    :raises ValueError: a row has another number of cells than *head*.
    """
    for row in rows:
        if len(row) != len(head):
            raise ValueError(f"a row of {len(row)} cells under a head of {len(head)}: {row!r}")
    lines = [
        head,
        ["---", *["---:"] * (len(head) - 1)],
        *([cell.replace("|", "\\|") for cell in row] for row in rows),
    ]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def between_markers(document: str, report: str, name: str = "benchmarks") -> str:
    """Return *document* with *report* in place of what stands between two markers.

    :param name: of the markers.
    :raises ValueError: the markers are not there exactly once, in order.
    """
    first, last = f"<!-- {name}: begin -->", f"<!-- {name}: end -->"
    begin, end = document.find(first), document.find(last)
    if document.count(first) != 1 or document.count(last) != 1 or end < begin:
        raise ValueError(f"the report's place must be marked once, with {first} before {last}")
    return f"{document[: begin + len(first)]}\n\n{report.strip()}\n\n{document[end:]}"
