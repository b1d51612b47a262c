"""What an HTTP response means: a value, or one error of the tree."""

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

from airflow_provider_apiframe.api.endpoints import Call
from airflow_provider_apiframe.api.errors import (
    ApiframeError,
    AuthenticationError,
    BlockedByProxyError,
    ConflictError,
    ConnectionFailedError,
    InsufficientCreditsError,
    InvalidRequestError,
    NotFoundError,
    ParentJobError,
    PermissionDeniedError,
    RateLimitedError,
    RequestRefusedError,
    ServiceUnavailableError,
    UnexpectedResponseError,
)
from airflow_provider_apiframe.api.params.midjourney_action import MidjourneyActionRequest
from airflow_provider_apiframe.api.settings import ClientSettings, without_keys

M = TypeVar("M", bound=BaseModel)

RAW_LENGTH = 2000  # characters of an unexpected response that are kept
SHOWN_LENGTH = 300  # characters of an error response that are shown


@dataclass(frozen=True)
class Response:
    """One HTTP response. ``headers`` ignores case, as both HTTP libraries give it.

    Its ``repr`` shows the status only: the rest may echo the API key, and a traceback may be logged
    with its local variables.
    """

    status_code: int
    headers: Mapping[str, str] = field(repr=False)
    content: bytes = field(repr=False)

    @property
    def text(self) -> str:
        """The content as text."""
        return self.content.decode("utf-8", "replace")

    @property
    def shown(self) -> str:
        """The first 2,000 characters, for people: without anything that looks like an API key."""
        return without_keys(self.text)[:RAW_LENGTH]

    @property
    def request_id(self) -> str | None:
        """The vendor's id of the request, for their support."""
        request_id = self.headers.get("x-request-id")
        return without_keys(request_id[:SHOWN_LENGTH]) if request_id else None

    def json_object(self) -> dict[str, Any]:
        """Return the content if it is a JSON object, else an empty one."""
        try:
            content = json.loads(self.content)
        except (ValueError, RecursionError):
            return {}
        return content if isinstance(content, dict) else {}


def parse_response(call: Call[M], response: Response, settings: ClientSettings) -> M:
    """Return the call's model from its response.

    :raises ApiframeError: the one that fits the status, or UnexpectedResponseError if a 2xx does
        not hold what it should.
    """
    # First of all: an echo of the connection's key must reach neither a text nor a value. What only
    # looks like a key stays in values: it may be part of a link or a prompt.
    own_key_hidden = response.text.replace(settings.api_key, "***")
    response = replace(response, content=own_key_hidden.encode())
    if not 200 <= response.status_code < 300:
        error: ApiframeError = error_from_response(call, response, settings)
    else:
        try:
            # Not pydantic's own JSON reader: it refuses a whole response for half a character in an
            # echoed prompt.
            return call.model.model_validate(json.loads(response.content))
        except ValidationError as invalid:
            problem = invalid.errors()[0]
            where = ".".join(map(str, problem["loc"]))
            problem_text = f"{where}: {problem['msg']}" if where else problem["msg"]
            error = unexpected_response(call, problem_text, response)
        except (ValueError, RecursionError):
            error = unexpected_response(call, "it is not JSON", response)
    error.job_id = call.job_id or error.job_id
    error.request_id = settings.redact(error.request_id) if error.request_id else None
    raise error  # out here, where the ValidationError and what it quotes of the response are gone


def connection_error(
    call: Call[Any], error: object, settings: ClientSettings, *, timed_out: bool
) -> ConnectionFailedError:
    """Return the error for a call without a response, from what the HTTP library raised."""
    reason = (
        f"none within {settings.timeout:g} s" if timed_out else f"{type(error).__name__}: {error}"
    )
    return ConnectionFailedError(
        f"{call.target} got no response from {settings.base_url}: {settings.redact(reason)}",
        job_id=call.job_id,
    )


def error_from_response(
    call: Call[Any], response: Response, settings: ClientSettings
) -> ApiframeError:
    """Return the error that a response outside 2xx stands for: the reason, what to do, the rest."""
    status, name, request_id = response.status_code, settings.name, response.request_id
    context = f"{call.target} returned {status}: {_message(response)}"
    context = settings.redact(f"{context} (request id {request_id})" if request_id else context)
    if status == 400:
        return _invalid_request(context, response)
    if status == 402:
        return _insufficient_credits(context, response, name)
    if status == 429:
        wait = retry_after(response.headers)
        return RateLimitedError(
            f"Apiframe's rate limit is reached.{_asks_to_wait(wait)} {context}.",
            retry_after=wait,
            request_id=request_id,
        )
    if status == 408 or status >= 500:
        wait = retry_after(response.headers)
        return ServiceUnavailableError(
            f"Apiframe is not available.{_asks_to_wait(wait)} {context}.",
            status_code=status,
            retry_after=wait,
            request_id=request_id,
        )
    kind, reason = _refusal(call, response, name)
    text = f"{reason} {context}." if reason else f"{context}."
    return kind(text, status_code=status, request_id=request_id)


def _refusal(call: Call[Any], response: Response, name: str) -> tuple[type[ApiframeError], str]:
    """Return the class and the reason for a status that says no and carries nothing more."""
    status = response.status_code
    if status == 401:
        return AuthenticationError, (
            f"Apiframe rejected the API key of {name}. Use a valid key from console.apiframe.ai."
        )
    if status == 403 and not response.json_object():  # the API itself writes JSON
        return BlockedByProxyError, (
            "The proxy in front of Apiframe refused this client, not the API key. Check whether "
            "something on the way changes the User-Agent or blocks this address."
        )
    if status == 403:
        return PermissionDeniedError, (
            f"The API key of {name} is inactive or may not do this. "
            "Look at it in console.apiframe.ai."
        )
    if status in (404, 409) and call.path == MidjourneyActionRequest.path:
        return ParentJobError, (
            "Apiframe did not take the action; nothing was paid. It goes on from a finished "
            "Midjourney job of the same user: upsample and variation from one with four images, "
            "the other actions from one that was upsampled."
        )
    if status == 404:
        return NotFoundError, (
            "It does not exist, or it belongs to another user: use the key of the user that "
            "submitted it."
        )
    if status == 409:
        return ConflictError, (
            "The idempotency key was already used with another request. Nothing was submitted "
            "under another key, for the job of the first request is paid for: look for it at "
            "console.apiframe.ai."
        )
    if 300 <= status < 400:
        host = _host(response.headers.get("location", "")) or "another place"
        return RequestRefusedError, (
            f"A redirect to {host} is not followed, for the API key must not travel there."
        )
    return RequestRefusedError, ""


def _insufficient_credits(context: str, response: Response, name: str) -> InsufficientCreditsError:
    required = _count(response, "creditsRequired")
    available = _count(response, "creditsAvailable")
    return InsufficientCreditsError(
        f"Not enough credits: the job costs {_or_unknown(required)}, the team of {name} has "
        f"{_or_unknown(available)}. Nothing was paid. Buy credits at console.apiframe.ai. "
        f"{context}.",
        required=required,
        available=available,
        request_id=response.request_id,
    )


def _invalid_request(context: str, response: Response) -> InvalidRequestError:
    details = response.json_object().get("details")
    details = details if isinstance(details, Mapping) else {}
    fields = {without_keys(str(name)): _texts(reasons) for name, reasons in details.items()}
    named = "".join(f" {name}: {', '.join(reasons)}." for name, reasons in fields.items())
    hint = " If the request looks right, the API key may be one of Apiframe's older API version 1."
    return InvalidRequestError(
        f"Apiframe refused the request; nothing was paid.{named or hint} {context}.",
        fields=fields,
        status_code=400,
        request_id=response.request_id,
    )


def unexpected_response(
    call: Call[Any], problem: str, response: Response | None = None
) -> UnexpectedResponseError:
    """Return the error for a response that is not what the API promises.

    :param response: where it is whole.
    """
    raw = response.shown if response else ""
    returned = f"{response.status_code} with an" if response else "an"
    perhaps_paid = (
        " The job may exist and be paid for: look at console.apiframe.ai before submitting it "
        "under another key."
    )
    content = response.json_object() if response else {}
    job_id = content.get("jobId") or content.get("id")
    return UnexpectedResponseError(
        f"{call.target} returned {returned} unexpected response ({problem})."
        f"{perhaps_paid if call.costs_credits else ''}{f' It was: {raw!r}' if response else ''}",
        raw=raw,
        transient=call.idempotent,
        job_id=call.job_id or (job_id if isinstance(job_id, str) else None),
        status_code=response.status_code if response else None,
        request_id=response.request_id if response else None,
    )


def retry_after(headers: Mapping[str, str], now: Callable[[], float] = time.time) -> float | None:
    """Return the seconds that ``Retry-After`` asks for, written as seconds or as an HTTP date.

    None where there is no such header.
    """
    value = headers.get("retry-after", "").strip()
    try:
        seconds = float(value)
    except ValueError:
        try:
            seconds = email.utils.parsedate_to_datetime(value).timestamp() - now()
        except ValueError:
            return None
    return max(0.0, seconds) if math.isfinite(seconds) else None


def _message(response: Response) -> str:
    """Find the sentence in an error response: its ``error`` or ``message``, else the raw text."""
    content = response.json_object()
    for message in (content.get("error"), content.get("message")):
        text = message.get("message") if isinstance(message, Mapping) else message
        if isinstance(text, str) and text:
            return text[:SHOWN_LENGTH]
    # Cut before it is searched: an error page may be as long as a body may be.
    raw = " ".join(re.sub(r"<[^<>]*>", " ", response.shown).split())
    return raw[:SHOWN_LENGTH] or "(empty response)"


def _host(url: str) -> str:
    try:
        return urlsplit(url).netloc.rpartition("@")[2]
    except ValueError:
        return ""


def _texts(value: Any) -> list[str]:
    items = value if isinstance(value, list) else [value]
    return [without_keys(str(item)) for item in items]


def _count(response: Response, key: str) -> int | None:
    value = response.json_object().get(key)
    return value if isinstance(value, int) else None


def _or_unknown(value: int | None) -> str:
    return "an unknown number" if value is None else str(value)


def _asks_to_wait(seconds: float | None) -> str:
    return "" if seconds is None else f" It asks to wait {seconds:g} s."
