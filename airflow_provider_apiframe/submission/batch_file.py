"""The requests of a batch as they stand in a file: one JSON object per line, or CSV.

Only their form is read here; what is asked for is checked in ``batch_requests.py``. Lines are
numbered from 1, as an editor shows them, and a record that spans lines by its first one.
"""

from __future__ import annotations

import csv
import json
import tempfile
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import chain
from pathlib import Path
from typing import IO, Any

from airflow_provider_apiframe.api.validation import truncated_repr
from airflow_provider_apiframe.hooks.object_store import (
    StorageError,
    check_connection,
    local_copy,
    storage_path,
)

EXTENSIONS = (".jsonl", ".csv")

MAX_FILE_BYTES = 64 * 1024 * 1024
MAX_LINE_BYTES = 1024 * 1024

_BOM = b"\xef\xbb\xbf"
_TEMPLATES = (("{{", "}}"), ("{%", "%}"), ("{#", "#}"))
_OTHER_SEPARATORS = {";": "';'", "\t": "tabs"}


@dataclass(frozen=True)
class Entry:
    """One request as it is written, or why it cannot be read.

    :param place: where it is, e.g. "line 7".
    :param values: what is written there.
    :param params: the parameters that stand in columns of their own.
    :param problem: why it cannot be read; None where it can.
    """

    place: str
    values: Any = None
    params: Mapping[str, str] = field(default_factory=dict)
    problem: str | None = None


@dataclass(frozen=True)
class Columns:
    """What the columns of a CSV file may be.

    :param names: of the request itself, such as "prompt".
    :param params: of the models' parameters.
    :param unknown: says what is wrong with a name that is none of these.
    """

    names: Collection[str]
    params: Collection[str]
    unknown: Callable[[str], str]


class _UnreadableLineError(ValueError):
    """A line is too long, or no text."""


def entries_of_file(location: str, conn_id: str | None, columns: Columns) -> Iterator[Entry]:
    """Yield what is in a file, in order.

    :param location: of a ``.jsonl`` or ``.csv`` file: an absolute path or a storage URL.
    :param conn_id: Airflow connection for a location that names none.
    :param columns: what a CSV file may hold.
    :returns: each as it is written; one with a template has a problem, for nothing renders a file.
    :raises StorageError: the file is missing, has more than 64 MB, or its storage is away.
    :raises ConnectionNotFoundError: the connection is missing.
    """
    check_connection(location, conn_id)
    source = storage_path(location, conn_id)
    try:
        with tempfile.TemporaryDirectory(prefix="apiframe-") as folder:
            local = Path(folder) / "requests"
            local_copy(source, local, max_bytes=MAX_FILE_BYTES)
            if local.is_dir():  # what Spark calls a file
                raise StorageError(
                    f"{location} is a folder; name one file in it, or pass a list", transient=False
                )
            with local.open("rb") as file:
                is_csv = location.lower().endswith(".csv")
                entries = _csv_entries(file, columns) if is_csv else _json_entries(file)
                yield from map(_without_templates, entries)
    except OSError as error:
        raise StorageError(f"The worker's own disk: {error}", transient=True) from None


def _without_templates(entry: Entry) -> Entry:
    """Return an entry with a problem where a template would be sent, and paid for, as it stands."""
    if entry.problem or not isinstance(entry.values, Mapping):
        return entry
    for name, value in {**entry.values, **entry.params}.items():
        if any(map(_is_template, _texts_in(value))):
            return replace(
                entry,
                problem=f"{name}={truncated_repr(value)} holds a template, and nothing renders a "
                "file: write what it stands for. Or let a task read the file, and pass what it "
                "returns (requests=that_task.output): that is sent as it is, with its braces",
            )
    return entry


def _texts_in(value: Any) -> Iterator[str]:
    left = [value]
    while left:
        value = left.pop()
        if isinstance(value, str):
            yield value
        elif isinstance(value, Mapping):
            left += [*value, *value.values()]
        elif isinstance(value, list):
            left += value


def _is_template(text: str) -> bool:
    return any(
        begin in text and end in text[text.index(begin) + len(begin) :] for begin, end in _TEMPLATES
    )


def _lines(file: IO[bytes]) -> Iterator[str | _UnreadableLineError]:
    """Yield each line with its end, or what is wrong with it. Never holds more than one."""
    is_first = True
    while line := file.readline(MAX_LINE_BYTES + 1):
        if len(line) > MAX_LINE_BYTES:
            while line and not line.endswith(b"\n"):
                line = file.readline(MAX_LINE_BYTES)
            yield _UnreadableLineError("has more than 1 MB; a request is one line")
        else:
            yield _text(line.removeprefix(_BOM) if is_first else line)
        is_first = False


def _text(line: bytes) -> str | _UnreadableLineError:
    try:
        return line.decode()
    except UnicodeDecodeError as error:
        return _UnreadableLineError(
            f"is not UTF-8 text, by its byte {error.start + 1} (0x{line[error.start]:02x}); save "
            'the file as UTF-8, in Excel as "CSV UTF-8"'
        )


def _json_entries(file: IO[bytes]) -> Iterator[Entry]:
    for number, line in enumerate(_lines(file), 1):
        place = f"line {number}"
        if isinstance(line, _UnreadableLineError):
            yield Entry(place, problem=str(line))
        elif line.strip():
            try:
                yield Entry(place, _JSON.decode(line.strip()))
            except (ValueError, RecursionError) as error:
                yield Entry(place, problem=f"is not one JSON object: {_json_reason(error)}")


def _json_reason(error: Exception) -> str:
    if isinstance(error, json.JSONDecodeError):
        return f"{error.msg} at column {error.colno}"
    return "it is nested too deep" if isinstance(error, RecursionError) else str(error)


def _one_of_each(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):  # JSON readers take the last one, and nobody sees it
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"{truncated_repr(twice)} is given twice")
    return found


def _no_number(constant: str) -> Any:
    raise ValueError(f"{constant} is no number")


_JSON = json.JSONDecoder(object_pairs_hook=_one_of_each, parse_constant=_no_number)


def _csv_entries(file: IO[bytes], columns: Columns) -> Iterator[Entry]:
    lines = _readable(_lines(file))
    header: list[str] | None = None
    start = 1
    try:
        first = next(lines, "")
        if problem := _wrong_separator(first):
            yield Entry("line 1", problem=problem)
            return
        # csv's own bound of a cell (128 KiB) stays as it is: it is one for the whole process.
        reader = csv.reader(chain([first], lines), strict=True)
        for cells in reader:
            place, start = f"line {start}", reader.line_num + 1
            if not any(cell.strip() for cell in cells):
                continue
            if header is not None:
                yield _csv_entry(place, header, cells, columns)
                continue
            header = [name.strip() for name in cells]
            if problem := _wrong_header(header, columns):
                yield Entry(place, problem=problem)
                return
    except csv.Error as error:
        hint = "maybe a quote is missing or one too many"
        if "new-line character" in str(error):  # \r alone, as in old files of a Mac
            hint = "the file may need the line ends of Windows or Unix"
        yield Entry(
            f"line {start}",
            problem=f"cannot be read as CSV, {hint} ({error}). What follows was not read",
        )
    except _UnreadableLineError as error:
        yield Entry(f"line {start}", problem=f"{error}. What follows was not read")


def _readable(lines: Iterator[str | _UnreadableLineError]) -> Iterator[str]:
    for line in lines:
        if isinstance(line, _UnreadableLineError):
            raise line
        yield line


def _wrong_separator(first_line: str) -> str | None:
    for separator, shown in _OTHER_SEPARATORS.items():
        if separator not in first_line:
            continue
        # A name of another column may have a comma in it: "id;prompt;size, cm".
        if "," not in first_line or _names_prompt(first_line, separator):
            return (
                f"has its cells separated by {shown}, and a CSV file needs ','. Excel separates "
                "them as the computer's region does, in German with ';': choose another "
                'separator there, take "CSV UTF-8 (comma delimited)" in an English one, or write '
                "JSON lines"
            )
    return None


def _names_prompt(header: str, separator: str) -> bool:
    return "prompt" in (name.strip('" \r\n') for name in header.split(separator))


def _wrong_header(header: list[str], columns: Columns) -> str | None:
    named = [name for name in header if name]
    if twice := next((name for name in named if named.count(name) > 1), None):
        return f"has the column {truncated_repr(twice)} twice"
    known = {*columns.names, *columns.params}
    wrong = [columns.unknown(name) for name in named if name not in known]
    if "prompt" not in header:
        wrong.append("must name the columns, and 'prompt' is not among them")
    return "; ".join(wrong) or None


def _csv_entry(place: str, header: list[str], cells: list[str], columns: Columns) -> Entry:
    # Fewer cells than columns are fine: Excel leaves out empty ones at the end of a line.
    if any(cell.strip() for cell in cells[len(header) :]):
        return Entry(
            place,
            problem=f"has {len(cells)} cells, the header has {len(header)}; a cell with a comma "
            "in it needs quotes",
        )
    values: dict[str, str] = {}
    params: dict[str, str] = {}
    for name, cell in zip(header, cells, strict=False):
        text = cell.strip()
        if text and not name:
            return Entry(place, problem=f"has {truncated_repr(text)} in a column without a name")
        if text:
            (params if name in columns.params else values)[name] = text
    if "prompt" in values:
        values["prompt"] = cells[header.index("prompt")]
    return Entry(place, values, params)
