"""The API's endpoints, without I/O.

An endpoint is a generator: it yields the calls it needs, is sent what each of them returned (or
thrown the error), and returns its result. Two drivers run it, over ``requests`` (``client.py``) and
over ``httpx`` (``async_client.py``); they only move bytes and sleep. What a response means is in
``responses.py``, what may be retried in ``retries.py``.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar
from urllib.parse import quote, urlencode

from pydantic import BaseModel

from airflow_provider_apiframe import __version__
from airflow_provider_apiframe.api.body import ACCEPT_ENCODING
from airflow_provider_apiframe.api.errors import ConflictError, InvalidRequestError
from airflow_provider_apiframe.api.image_file import ImageFile
from airflow_provider_apiframe.api.models import (
    Account,
    Job,
    JobAccepted,
    JobPage,
    ModelInfo,
    ModelList,
    UploadedFile,
)
from airflow_provider_apiframe.api.params.flux import EITHER_SPELLING, respell
from airflow_provider_apiframe.api.params.request import ImageRequest, check_job_id
from airflow_provider_apiframe.api.settings import ClientSettings

log = logging.getLogger(__name__)

T = TypeVar("T")
M = TypeVar("M", bound=BaseModel)

USER_AGENT = f"airflow-provider-apiframe/{__version__}"
"""On every request: without a product name the vendor's proxy returns 403 ``error code: 1010``."""

API_KEY_HEADER = "X-API-Key"
IDEMPOTENCY_HEADER = "Idempotency-Key"
IDEMPOTENCY_KEY_MAX_LENGTH = 255  # OpenAPI parameter IdempotencyKey


@dataclass(frozen=True)
class Call(Generic[M]):
    """One request, and the model that its response should hold.

    :param model: what a 2xx response is read as.
    :param body: JSON of a POST that costs credits when it is accepted.
    :param file: what a POST uploads; it costs nothing, and a repeat makes another copy.
    :param idempotency_key: what makes sending a POST twice the same as sending it once.
    :param job_id: the job it asks for, if it does; every error of the call carries it.
    """

    path: str
    model: type[M]
    query: Mapping[str, Any] = field(default_factory=dict)
    body: Mapping[str, Any] | None = None
    file: ImageFile | None = None
    idempotency_key: str | None = None
    job_id: str | None = None

    @property
    def method(self) -> str:
        """GET, or POST with a body or a file."""
        return "GET" if self.body is None and self.file is None else "POST"

    @property
    def target(self) -> str:
        """Method and path, for error texts: no host, no query."""
        return f"{self.method} {self.path}"

    @property
    def costs_credits(self) -> bool:
        """Whether something is paid when it is accepted."""
        return self.body is not None

    @property
    def idempotent(self) -> bool:
        """Whether sending it twice costs no more than sending it once."""
        return not self.costs_credits or self.idempotency_key is not None

    @property
    def content(self) -> bytes | None:
        """The bytes of the body."""
        if self.file is not None:
            return self.file.form()
        return None if self.body is None else json.dumps(self.body).encode()

    def url(self, settings: ClientSettings) -> str:
        """Return where it is sent."""
        query = {name: value for name, value in self.query.items() if value is not None}
        return f"{settings.base_url}{self.path}{'?' + urlencode(query) if query else ''}"

    def headers(self, settings: ClientSettings) -> dict[str, str]:
        """Return the request's headers. They hold the API key and are never shown."""
        headers = {
            "Accept": "application/json",
            "Accept-Encoding": ACCEPT_ENCODING,
            "User-Agent": USER_AGENT,
            API_KEY_HEADER: settings.api_key,
        }
        if self.file is not None:
            headers["Content-Type"] = self.file.form_type
        elif self.body is not None:
            headers["Content-Type"] = "application/json"
        if self.idempotency_key is not None:
            headers[IDEMPOTENCY_HEADER] = self.idempotency_key
        return headers


Endpoint = Generator[Call[Any], Any, T]


def _send(call: Call[M]) -> Endpoint[M]:
    """Have the driver send *call*, and return the model that it makes of the response."""
    response: M = yield call
    return response


def submit(request: ImageRequest, idempotency_key: str | None) -> Endpoint[JobAccepted]:
    """``POST`` to the request's own path. Costs credits when it is accepted.

    Refused for its spelling alone, the request is submitted once more in the API's other one.

    :param idempotency_key: 1-255 ASCII characters; a repeat within 24 h returns the first job and
        costs nothing.
    :raises InvalidRequestError: if the key is something else, or an input image is still a path.
    """
    if idempotency_key is not None:
        _check_idempotency_key(idempotency_key)
    if request.paths:
        raise InvalidRequestError(
            f"input images must be uploaded first, see upload(): {', '.join(request.paths)}"
        )
    body = request.to_payload()
    try:
        return (yield from _submit(request.path, body, idempotency_key))
    except (InvalidRequestError, ConflictError) as error:
        for other in _alternative_spellings(body, error, idempotency_key):
            # A conflict in the spelling that the API does take is what the caller must know: the
            # key's job was made from another request.
            with suppress(InvalidRequestError, type(error)):
                return (yield from _submit(request.path, other, idempotency_key))
        raise


def _submit(
    path: str, body: Mapping[str, Any], idempotency_key: str | None
) -> Endpoint[JobAccepted]:
    return _send(Call(path, JobAccepted, body=body, idempotency_key=idempotency_key))


def _check_idempotency_key(key: str) -> None:
    fits = 0 < len(key) <= IDEMPOTENCY_KEY_MAX_LENGTH and key.isascii() and key.isprintable()
    if not fits or key != key.strip():  # a header's outer white space is lost on the way
        allowed = f"must be 1 to {IDEMPOTENCY_KEY_MAX_LENGTH} printable ASCII characters"
        raise InvalidRequestError(f"idempotency_key={key!r}: {allowed}")


def _alternative_spellings(
    body: Mapping[str, Any], error: InvalidRequestError | ConflictError, idempotency_key: str | None
) -> Iterator[dict[str, Any]]:
    """Yield *body* in the other spelling (see ``params/flux.py``), where the API may want that one.

    The idempotency key stays the same in all of them: a refused request created nothing, and a key
    makes one job.
    """
    refused: Iterable[Sequence[str]] = []
    if isinstance(error, ConflictError):
        # An earlier call may have made the key's job in the other spelling. Which of the two was
        # refused then is not known, so each is tried.
        refused = EITHER_SPELLING if idempotency_key else []
    elif all(name.startswith("fluxParams.") for name in error.fields):
        refused = [[name.removeprefix("fluxParams.") for name in error.fields]]
    for names in refused:
        params = respell(body.get("fluxParams", {}), names, model=body.get("model"))
        if params is not None:
            log.info(
                "The API refused a spelling (%s); submitting once more in the other",
                ", ".join(names),
            )
            yield {**body, "fluxParams": params}


def upload(file: ImageFile) -> Endpoint[UploadedFile]:
    """``POST /v2/uploads``: host a file for an hour or two, so that a request can name its URL."""
    return _send(Call("/v2/uploads", UploadedFile, file=file))


def get_job(job_id: str) -> Endpoint[Job]:
    """``GET /v2/jobs/{id}``.

    :raises InvalidRequestError: if *job_id* is not text or is blank.
    """
    job_id = check_job_id(job_id)
    return _send(Call(f"/v2/jobs/{quote(job_id, safe='')}", Job, job_id=job_id))


def list_jobs(
    *,
    limit: int = 20,
    cursor: str | None = None,
    status: str | None = None,
    model: str | None = None,
    scope: str | None = None,
) -> Endpoint[JobPage]:
    """``GET /v2/jobs``: one page, newest first.

    :param limit: jobs per page, 1-100.
    :param cursor: ``next_cursor`` of the page before.
    :param status: only jobs in this state: QUEUED, PROCESSING, COMPLETED, FAILED or CANCELLED.
    :param model: only jobs of this model.
    :param scope: "user" (the API's default), or "team", which only a team's admins may ask for.
    """
    query = {"limit": limit, "cursor": cursor, "status": status, "model": model, "scope": scope}
    return _send(Call("/v2/jobs", JobPage, query=query))


def get_account() -> Endpoint[Account]:
    """``GET /v2/me``: user, team and credits left. Free; the cheapest test of a key."""
    return _send(Call("/v2/me", Account))


def list_models(modality: str | None = "image") -> Endpoint[list[ModelInfo]]:
    """``GET /v2/models``: the vendor's curated catalogue, with price ranges.

    :param modality: "image", "video" or "music"; None for all.
    """
    catalogue = yield from _send(Call("/v2/models", ModelList, query={"modality": modality}))
    return catalogue.models
