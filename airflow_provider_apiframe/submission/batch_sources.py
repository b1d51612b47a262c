"""In which forms the requests of a batch may be given: a list, text that is one, or a file."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any

from airflow_provider_apiframe.api.params.base import invalid
from airflow_provider_apiframe.api.params.references import is_path_object, is_url, path_text
from airflow_provider_apiframe.api.params.text import read_literal
from airflow_provider_apiframe.submission.batch_file import EXTENSIONS, Entry

MAX_TEXT = 8_000_000
"""Characters of a list as text: 10,000 requests of 800 each. A file may be larger."""

_FORMS = (
    'a list of mappings such as [{"prompt": "a cat"}], or a .jsonl or .csv file: an absolute path '
    'or a storage URL such as "s3://bucket/requests.jsonl"'
)
_ABSOLUTE = re.compile(
    r"((?!file:|local:)[a-z][a-z0-9+.-]*://.|((file|local)://)?/).*", re.IGNORECASE | re.DOTALL
)


def source_of(requests: Any) -> Sequence[Any] | str:
    """Return the list that *requests* is, or the location of the file that it names.

    :param requests: a list, text that holds one as JSON or as a Python literal (what a template
        makes of one), or the path of a file, as text or as a path object.
    :raises InvalidRequestError: it is none of these. Nothing is opened.
    """
    if is_path_object(requests):
        requests = path_text(requests)
    if isinstance(requests, str):
        text = requests.strip()
        return _list_in(text) if text.startswith("[") else _location(text)
    if isinstance(requests, Sequence) and not isinstance(requests, (bytes, bytearray)):
        return requests
    if requests is None:
        raise invalid("requests", None, "the task that it comes from was skipped or gave nothing")
    raise invalid("requests", requests, f"must be {_FORMS}")


def entries_of_list(requests: Sequence[Any]) -> Iterator[Entry]:
    """Yield what is in a list, each with its index from 0."""
    return (Entry(f"index {index}", request) for index, request in enumerate(requests))


def _list_in(text: str) -> list[Any]:
    if len(text) > MAX_TEXT:
        raise invalid(
            "requests",
            text,
            f"as text a list may have {MAX_TEXT:,} characters, this has {len(text):,}; give the "
            "task's output itself (requests=other_task.output), or write a .jsonl file",
        )
    try:
        found = read_literal(text, MAX_TEXT)
    except ValueError as error:
        raise invalid("requests", text, f"begins like a list and is {error}") from None
    if not isinstance(found, list):
        raise invalid("requests", text, f"must be {_FORMS}")
    return found


def _location(text: str) -> str:
    if is_url(text):
        raise invalid("requests", text, "is a link; put the file into storage, and name it there")
    if not text.lower().endswith(EXTENSIONS):
        raise invalid("requests", text, f"must be {_FORMS}")
    if not text.isprintable():
        raise invalid("requests", text, "holds characters that no path has")
    if not _ABSOLUTE.fullmatch(text):
        raise invalid(
            "requests",
            text,
            "is a relative path, and tasks run in no folder that is known; write it as "
            '"/folder/requests.csv" or "s3://bucket/requests.csv"',
        )
    return text
