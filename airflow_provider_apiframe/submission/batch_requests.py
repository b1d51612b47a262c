"""The requests of a batch: all read and checked before anything is paid.

What is wrong is told for all of them at once, each by its line or its index.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable
from typing import Any

from airflow_provider_apiframe.api.errors import InvalidRequestError
from airflow_provider_apiframe.api.params.request import GenerateRequest
from airflow_provider_apiframe.submission.batch_entry import BatchRequest, ParamsName, Shared
from airflow_provider_apiframe.submission.batch_file import Entry, entries_of_file
from airflow_provider_apiframe.submission.batch_sources import entries_of_list, source_of
from airflow_provider_apiframe.submission.idempotency import fingerprint

__all__ = [
    "MAX_REQUESTS",
    "BatchRequest",
    "ParamsName",
    "check_literal_requests",
    "identity",
    "identity_of_all",
    "read_requests",
]

MAX_REQUESTS = 10_000

_SHOWN_PROBLEMS = 20
_MAX_PROBLEM = 1000  # characters


def identity(request: GenerateRequest, id: str | None) -> str:
    """Return what tells a request from the others of its batch: 64 hexadecimal characters.

    It is the request's content, and not its place: lines may move between two tries.

    :param request: with the content's hash in place of each path where the identity is to last, see
        :attr:`.References.hashed`.
    :param id: of the request.
    """
    return hashlib.sha256(json.dumps([fingerprint(request), id]).encode()).hexdigest()


def identity_of_all(identities: Iterable[str]) -> str:
    """Return what tells the requests of a batch from others: 64 hexadecimal characters.

    :param identities: of each request, in any order.
    """
    return hashlib.sha256("".join(sorted(identities)).encode()).hexdigest()


def read_requests(
    value: Any,
    *,
    model: Any,
    params: Any,
    params_name: ParamsName,
    storage_conn_id: str | None = None,
) -> list[BatchRequest]:
    """Return the requests of a batch, in their order.

    :param value: a list of mappings, text that holds one, or the path of a ``.jsonl`` or ``.csv``
        file; 1 to 10,000 requests. A mapping has ``prompt``, and may have ``model``, *params_name*
        and ``id``. In a CSV file each parameter may have a column of its own.
    :param model: of requests that name none.
    :param params: parameters of all requests; a request's own win, name by name, and its own None
        (null) leaves one out.
    :param params_name: what users call the parameters.
    :param storage_conn_id: Airflow connection for a file whose location names none.
    :raises InvalidRequestError: naming all wrong requests, the first 20 of them with the reasons;
        ``fields`` has these by line or index.
    :raises StorageError: the file is missing or too large, or its storage is away.
    :raises ConnectionNotFoundError: the connection of the storage is missing.
    """
    shared = Shared.of(model, params, params_name)
    source = source_of(value)
    if isinstance(source, str):
        entries = entries_of_file(source, storage_conn_id, shared.columns)
        return _read(entries, shared, f"requests={source!r}")
    return _read(entries_of_list(source), shared, "requests")


def check_literal_requests(
    value: Any,
    *,
    model: Any,
    params: Any,
    params_name: ParamsName,
    is_templated: Callable[[Any], bool],
) -> None:
    """Check what is known of a batch while the DAG is parsed. No file is read.

    :param value: and the others as for :func:`read_requests`.
    :param is_templated: says whether something in a value is known only when the task runs.
    :raises InvalidRequestError: as :func:`read_requests`.
    """
    shared = Shared.of(model, params, params_name, is_templated)
    source = source_of(value) if isinstance(value, (list, tuple)) or not is_templated(value) else ""
    if isinstance(source, str):
        shared.check()
    else:
        _read(entries_of_list(source), shared, "requests")


def _read(entries: Iterable[Entry], shared: Shared, shown: str) -> list[BatchRequest]:
    """Return all requests.

    :param shown: names their source in the error.
    """
    found: list[BatchRequest] = []
    places: dict[tuple[str, str], str] = {}
    problems: dict[str, list[str]] = {}
    count = wrong = 0
    for index, entry in enumerate(entries):
        count += 1
        try:
            if count > MAX_REQUESTS:
                raise InvalidRequestError(
                    f"a batch has up to {MAX_REQUESTS:,} requests; what follows was not read"
                )
            if request := shared.read(index, entry):
                if not shared.is_templated(entry.values):
                    _check_unique(request, places)
                found.append(request)
        except InvalidRequestError as error:
            wrong += 1
            if len(problems) < _SHOWN_PROBLEMS or count > MAX_REQUESTS:
                problems[entry.place] = [str(error)[:_MAX_PROBLEM]]
        if count > MAX_REQUESTS:
            break
    if not count:
        raise InvalidRequestError(
            f"{shown}: there is no request in it, a batch has 1 to {MAX_REQUESTS:,}"
        )
    if wrong:
        heading = f"{shown}: {wrong} of {count} {'is' if wrong == 1 else 'are'} wrong. Nothing was"
        lines = [f"{place}: {reason}" for place, (reason,) in problems.items()]
        if wrong > len(problems):
            lines.append(f"and {wrong - len(problems)} more")
        raise InvalidRequestError("\n  ".join([f"{heading} submitted.", *lines]), fields=problems)
    return found


def _check_unique(request: BatchRequest, places: dict[tuple[str, str], str]) -> None:
    """Note what tells *request* from the others, and where it was read.

    :param places: of the requests before it.
    """
    if request.id is None:
        name = ("request", identity(request.request, None))
        reason = "is the same request as {}; give it another seed, or an id, if it is meant"
    else:
        name = ("id", request.id)
        reason = "has the id of {}, and an id is unique in a batch"
    first = places.setdefault(name, request.place)
    if first != request.place:
        raise InvalidRequestError(reason.format(first))
