"""What an HTTP answer means: a value, or one error of the tree with a next step for the reader."""

from __future__ import annotations

import email.utils
import json
import math
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar
from urllib.parse import urlsplit

from pydantic import BaseModel, ValidationError

from airflow_provider_apiframe.api.errors import (
    ApiframeError,
    AuthenticationError,
    BlockedByProxyError,
    ConflictError,
    InsufficientCreditsError,
    InvalidRequestError,
    NotFoundError,
    PermissionDeniedError,
    RateLimitedError,
    RequestRefusedError,
    ServiceUnavailableError,
    UnexpectedResponseError,
)
from airflow_provider_apiframe.api.settings import ClientSettings

M = TypeVar("M", bound=BaseModel)

RAW_LENGTH = 2000  # characters of an unusable answer that are kept
SAID_LENGTH = 300  # characters of an error answer that are shown


@dataclass(frozen=True)
class Response:
    """One HTTP answer. ``headers`` ignores case, as both HTTP libraries give it.

    Its ``repr`` shows the status only: the rest may echo the API key, and Airflow may log
    tracebacks with local variables.
    """

    status_code: int
    headers: Mapping[str, str] = field(repr=False)
    content: bytes = field(repr=False)


def parse_response(
    model: type[M],
    target: str,
    response: Response,
    settings: ClientSettings,
    *,
    idempotent: bool = True,
) -> M:
    """Return the answer as *model*.

    :param target: method and path of the request, for error texts, e.g. "GET /v2/me".
    :param idempotent: whether sending the request again does no more than sending it once.
    :raises ApiframeError: the one that fits the status, or UnexpectedResponseError if a 2xx does
        not hold what it should.
    """
    # First of all: what the API echoes must reach neither a text nor a value.
    response = replace(
        response, content=settings.redact(response.content.decode("utf-8", "replace")).encode()
    )
    if not 200 <= response.status_code < 300:
        raise error_from_response(target, response, settings)
    try:
        # Not pydantic's own JSON reader: it refuses a whole answer for half a character in an
        # echoed prompt.
        return model.model_validate(json.loads(response.content))
    except ValidationError as invalid:
        problem = invalid.errors()[0]
        where = ".".join(map(str, problem["loc"]))
        error = _unusable(
            target, response, f"{where}: {problem['msg']}" if where else problem["msg"], idempotent
        )
    except ValueError:
        error = _unusable(target, response, "it is not JSON", idempotent)
    raise error  # out here, where the ValidationError and what it quotes of the answer are gone


def error_from_response(target: str, response: Response, settings: ClientSettings) -> ApiframeError:
    """Return the error that an answer outside 2xx stands for. Its content is redacted already."""
    answer = _json_object(response)
    status, name = response.status_code, settings.name
    request_id = response.headers.get("x-request-id")
    context = f"{target} answered {status}: {_said(answer, response)}"
    context = settings.redact(f"{context} (request id {request_id})" if request_id else context)

    if status == 400:
        return _invalid_request(context, answer, request_id)
    if status == 402:
        required, available = _count(answer, "creditsRequired"), _count(answer, "creditsAvailable")
        return InsufficientCreditsError(
            f"Not enough credits: the job costs {_or_unknown(required)}, the team of {name} has {_or_unknown(available)}. "
            f"{context}. Nothing was paid. Buy credits at console.apiframe.ai.",
            required=required,
            available=available,
            request_id=request_id,
        )
    if status == 429:
        wait = retry_after(response.headers)
        return RateLimitedError(
            f"Apiframe's rate limit is reached. {context}.{_asks_to_wait(wait)}",
            retry_after=wait,
            request_id=request_id,
        )
    if status == 408 or status >= 500:
        wait = retry_after(response.headers)
        return ServiceUnavailableError(
            f"Apiframe is not available. {context}.{_asks_to_wait(wait)}",
            status_code=status,
            retry_after=wait,
            request_id=request_id,
        )

    kind: type[ApiframeError] = RequestRefusedError
    text = f"{context}."
    if status == 401:
        kind = AuthenticationError
        text = f"Apiframe rejected the API key of {name}. {context}. Put a valid key from console.apiframe.ai into its password."
    elif status == 403 and answer is None:
        kind = BlockedByProxyError
        text = (
            f"The proxy in front of Apiframe refused this client, not the API key. {context}. Check whether something between "
            "Airflow and Apiframe changes the User-Agent or blocks this address."
        )
    elif status == 403:
        kind = PermissionDeniedError
        text = f"The API key of {name} is inactive or may not do this. {context}. Look at it in console.apiframe.ai."
    elif status == 404:
        kind = NotFoundError
        text = f"{context}. It does not exist, or it belongs to another user: use the key of the user that submitted it."
    elif status == 409:
        kind = ConflictError
        text = (
            f"The idempotency key was already used with another request. {context}. Nothing was submitted under another key, for "
            "the job of the first request is paid for: look for it at console.apiframe.ai."
        )
    elif 300 <= status < 400:
        host = _host(response.headers.get("location", "")) or "another place"
        text = f"{context}. It is a redirect to {host}; it is not followed, for the API key must not travel there."
    return kind(text, status_code=status, request_id=request_id)


def retry_after(headers: Mapping[str, str], now: Callable[[], float] = time.time) -> float | None:
    """Return the seconds that ``Retry-After`` asks for, written as seconds or as an HTTP date; None without one."""
    value = headers.get("retry-after", "").strip()
    try:
        seconds = float(value)
    except ValueError:
        try:
            seconds = email.utils.parsedate_to_datetime(value).timestamp() - now()
        except ValueError:
            return None
    return max(0.0, seconds) if math.isfinite(seconds) else None


def _invalid_request(
    context: str, answer: dict[str, Any] | None, request_id: str | None
) -> InvalidRequestError:
    details = (answer or {}).get("details")
    fields = (
        {str(name): _texts(why) for name, why in details.items()}
        if isinstance(details, Mapping)
        else {}
    )
    named = "".join(f" {name}: {', '.join(why)}." for name, why in fields.items())
    hint = (
        ""
        if fields
        else " If the request looks right, the API key may be one of Apiframe's older API version 1."
    )
    return InvalidRequestError(
        f"{context}.{named} Nothing was paid.{hint}",
        fields=fields,
        status_code=400,
        request_id=request_id,
    )


def _unusable(
    target: str, response: Response, wrong: str, idempotent: bool
) -> UnexpectedResponseError:
    raw = response.content.decode("utf-8", "replace")[:RAW_LENGTH]
    advice = " The job may exist and be paid for: look at console.apiframe.ai before submitting it under another key."
    answer = _json_object(response) or {}
    job_id = answer.get("jobId") or answer.get("id")
    return UnexpectedResponseError(
        f"{target} answered {response.status_code}, but the answer cannot be used ({wrong}): {raw!r}."
        f"{advice if target.startswith('POST') else ''}",
        raw=raw,
        transient=idempotent,
        job_id=job_id if isinstance(job_id, str) else None,
        status_code=response.status_code,
        request_id=response.headers.get("x-request-id"),
    )


def _json_object(response: Response) -> dict[str, Any] | None:
    try:
        answer = json.loads(response.content)
    except ValueError:
        return None
    return answer if isinstance(answer, dict) else None


def _said(answer: dict[str, Any] | None, response: Response) -> str:
    """Find the sentence in an error answer: ``error`` or ``message``, as text or inside an object, or the raw text cut short."""
    for said in ((answer or {}).get("error"), (answer or {}).get("message")):
        text = said.get("message") if isinstance(said, Mapping) else said
        if isinstance(text, str) and text:
            return text[:SAID_LENGTH]
    raw = " ".join(re.sub(r"<[^>]*>", " ", response.content.decode("utf-8", "replace")).split())
    return raw[:SAID_LENGTH] or "(empty answer)"


def _host(url: str) -> str:
    try:
        return urlsplit(url).netloc.rpartition("@")[2]
    except ValueError:
        return ""


def _texts(value: Any) -> list[str]:
    return [str(item) for item in value] if isinstance(value, list) else [str(value)]


def _count(answer: dict[str, Any] | None, key: str) -> int | None:
    value = (answer or {}).get(key)
    return value if isinstance(value, int) else None


def _or_unknown(value: int | None) -> str:
    return "an unknown number" if value is None else str(value)


def _asks_to_wait(seconds: float | None) -> str:
    return "" if seconds is None else f" It asks to wait {seconds:g} s."
