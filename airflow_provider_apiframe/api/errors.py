"""Everything that can go wrong with Apiframe, as one tree.

    ApiframeError
    ├── ConfigurationError       API key, base URL or limits cannot be used as they are written
    ├── InvalidRequestError      a parameter is wrong (found here, or by a 400); also a ValueError
    ├── AuthenticationError      401: the API key is missing, wrong or revoked
    ├── PermissionDeniedError    403: the API key is inactive or may not do this
    ├── BlockedByProxyError      403 without JSON: the vendor's proxy refused the client
    ├── InsufficientCreditsError 402: the team's balance is too low
    ├── NotFoundError            404: no such job, or another user's
    ├── ConflictError            409: the idempotency key was used with another body
    ├── ParentJobError           404, 409: the job to go on from does not take the action
    ├── BudgetExceededError      the image may cost more than its limit, or than the team has
    ├── RequestRefusedError      any other 4xx, or a redirect
    ├── RateLimitedError         429                                                (transient)
    ├── ServiceUnavailableError  408 and 5xx                                        (transient)
    ├── ConnectionFailedError    no response: network, TLS, timeout                 (transient)
    ├── UnexpectedResponseError  a response, but not what the API promises          (or transient)
    ├── DownloadError            an image could not be fetched                      (or transient)
    ├── BrokenImageError         an image file is not built as its format wants
    ├── SigningError             an image could not be signed                       (or transient)
    ├── UnreadableFileError      a file to upload could not be read                 (or transient)
    └── JobError                 the job itself; keeps the job id
        ├── JobFailedError       FAILED, refunded: see job_failures.py              (or transient)
        ├── JobCancelledError    CANCELLED                                          (transient)
        └── JobTimeoutError      still unfinished at the deadline                   (transient)

``transient`` says whether trying the same thing again later can help. Texts are for people: what
was wrong, with which value, what to do next. None of them contains the API key.
"""

from __future__ import annotations

from typing import Self

from airflow_provider_apiframe.api.job_failures import FailureKind


class ApiframeError(Exception):
    """Base of all errors of the API layer.

    :ivar job_id: the job this is about, when there is one.
    :ivar status_code: HTTP status of the response, when there was one.
    :ivar request_id: the vendor's ``x-request-id``, when the response had one.
    """

    transient: bool = False

    def __init__(
        self,
        message: str,
        *,
        job_id: str | None = None,
        status_code: int | None = None,
        request_id: str | None = None,
    ) -> None:
        super().__init__(message)
        self.job_id = job_id
        self.status_code = status_code
        self.request_id = request_id

    def __str__(self) -> str:
        # The job comes last: a log view cuts long lines, and the reason matters more.
        text = super().__str__()
        named = self.job_id is None or self.job_id in text
        return text if named else f"{text} [job {self.job_id}]"

    def adding(self, sentence: str) -> Self:
        """Return this error with one more sentence at its end."""
        self.args = (f"{super().__str__().rstrip('.')}. {sentence}",)
        return self


class ConfigurationError(ApiframeError):
    """The connection (API key, base URL, extras) cannot be used as it is written.

    Nothing was sent.
    """


class InvalidRequestError(ApiframeError, ValueError):
    """A parameter is wrong. Nothing was paid.

    :ivar fields: wrong parameters, name -> reasons. From a 400 the names are the API's paths, e.g.
        ``fluxParams.steps``.
    """

    def __init__(
        self,
        message: str,
        *,
        fields: dict[str, list[str]] | None = None,
        status_code: int | None = None,
        request_id: str | None = None,
    ) -> None:
        super().__init__(message, status_code=status_code, request_id=request_id)
        self.fields = fields or {}


class AuthenticationError(ApiframeError):
    """401: the API key is missing, wrong or revoked."""


class PermissionDeniedError(ApiframeError):
    """403: the API key is inactive, or its user may not do this."""


class BlockedByProxyError(ApiframeError):
    """403 that does not come from the API: the proxy before it refused this client.

    The key was not checked.
    """


class InsufficientCreditsError(ApiframeError):
    """402: the team cannot pay. Nothing was charged.

    :ivar required: credits the job would cost, or None when the response did not say.
    :ivar available: credits the team has, or None when the response did not say.
    """

    def __init__(
        self,
        message: str,
        *,
        required: int | None,
        available: int | None,
        request_id: str | None = None,
    ) -> None:
        super().__init__(message, status_code=402, request_id=request_id)
        self.required = required
        self.available = available


class NotFoundError(ApiframeError):
    """404: there is no such thing, or it belongs to another user."""


class ConflictError(ApiframeError):
    """409: the idempotency key was already used with another body."""


class ParentJobError(ApiframeError):
    """404 or 409 to an action: the job to go on from is not there, or does not take it."""


class BudgetExceededError(ApiframeError):
    """An image may cost more than it is allowed to, than is left of the day, or than the team has.

    Nothing was submitted.
    """


class RequestRefusedError(ApiframeError):
    """Another 4xx, or a redirect, which is never followed: the API key would travel along."""


class RateLimitedError(ApiframeError):
    """429: too many requests.

    :ivar retry_after: seconds the API asks to wait, or None when it did not say.
    """

    transient = True

    def __init__(
        self, message: str, *, retry_after: float | None = None, request_id: str | None = None
    ) -> None:
        super().__init__(message, status_code=429, request_id=request_id)
        self.retry_after = retry_after


class ServiceUnavailableError(ApiframeError):
    """408 or 5xx: the API or the proxy before it is out of order.

    :ivar retry_after: seconds the API asks to wait, or None when it did not say.
    """

    transient = True

    def __init__(
        self,
        message: str,
        *,
        status_code: int,
        retry_after: float | None = None,
        request_id: str | None = None,
    ) -> None:
        super().__init__(message, status_code=status_code, request_id=request_id)
        self.retry_after = retry_after


class ConnectionFailedError(ApiframeError):
    """No response came: DNS, TLS, a refused or dropped connection, a timeout."""

    transient = True


class UnexpectedResponseError(ApiframeError):
    """A response came, but not what the API promises. Something may have been paid.

    ``transient`` is set per instance: asking again costs nothing with a GET or an idempotency key,
    and a proxy's page in place of a response passes. A finished job without an image stays as it
    is.

    :ivar raw: the response's text, cut to 2,000 characters, with the API key blotted out.
    """

    def __init__(
        self,
        message: str,
        *,
        raw: str,
        transient: bool = False,
        job_id: str | None = None,
        status_code: int | None = None,
        request_id: str | None = None,
    ) -> None:
        super().__init__(message, job_id=job_id, status_code=status_code, request_id=request_id)
        self.raw = raw
        self.transient = transient


class DownloadError(ApiframeError):
    """An image could not be fetched whole.

    ``transient`` is set per instance: a short read is, a dead link is not.
    """

    def __init__(self, message: str, *, transient: bool, status_code: int | None = None) -> None:
        super().__init__(message, status_code=status_code)
        self.transient = transient

    @property
    def link_is_dead(self) -> bool:
        """Whether the link has expired, or the image is gone."""
        return self.status_code in (403, 404, 410)


class BrokenImageError(ApiframeError):
    """An image file is cut short, or not built as its format wants."""


class SigningError(ApiframeError):
    """Content credentials could not be put into an image. The image itself is whole.

    ``transient`` is set per instance: a timestamp server may come back, a missing package does not.
    """

    def __init__(self, message: str, *, transient: bool) -> None:
        super().__init__(message)
        self.transient = transient


class UnreadableFileError(ApiframeError):
    """A file that is to be uploaded could not be read. Nothing was submitted.

    ``transient`` is set per instance: storage that is away is, a missing file is not.
    """

    def __init__(self, message: str, *, transient: bool) -> None:
        super().__init__(message)
        self.transient = transient


class JobError(ApiframeError):
    """The job was accepted but gave no image. ``job_id`` is always set."""

    job_id: str


class JobFailedError(JobError):
    """The job ended FAILED; the vendor refunds it. ``transient`` is set per instance, from the
    vendor's text.

    :ivar kind: "no_capacity", "refused_content", "invalid_request" or "unknown".
    """

    def __init__(self, message: str, *, job_id: str, kind: FailureKind, transient: bool) -> None:
        super().__init__(message, job_id=job_id)
        self.kind = kind
        self.transient = transient


class JobCancelledError(JobError):
    """The job ended CANCELLED."""

    transient = True


class JobTimeoutError(JobError):
    """The job was not finished at the deadline.

    It goes on, and its image can still be collected by its id.
    """

    transient = True
