"""How to reach the API: base URL, key, limits. Checked once, before anything is sent."""

from __future__ import annotations

import ipaddress
import os
import re
from typing import Any
from urllib.parse import urlsplit

from pydantic import Field, ValidationError, ValidationInfo, field_validator

from airflow_provider_apiframe.api.errors import ConfigurationError
from airflow_provider_apiframe.api.validation import (
    FrozenModel,
    RuleError,
    reason_of,
    truncated_repr,
)

DEFAULT_BASE_URL = "https://api.apiframe.ai"
MAX_IMAGE_BYTES = 100 * 1024 * 1024
"""A 4 MP image has about 12 MB as PNG; what has more than 100 MB is no image of ours."""

DEFAULT_NAME = "the Apiframe client"

# The older API v1: other paths, other keys. A v2 key sent there is answered with 400.
_V1_HOSTS = {"api.apiframe.pro", "apiframe.pro"}

# A name, an IPv4 address or an IPv6 address in brackets, with or without a port. Libraries disagree
# about anything else, such as "api.apiframe.ai\[::1]", and the key must go to one host only.
_LABEL = r"[\w-]{1,63}"
_HOST_AND_PORT = re.compile(rf"({_LABEL}(\.{_LABEL})*\.?|\[[0-9A-Fa-f:.]+\])(:[0-9]+)?")


class ClientOptions(FrozenModel):
    """How a client behaves. The connection form is made from here."""

    timeout: float = Field(
        60.0,
        ge=0.1,
        title="Timeout per request (s)",
        description="how many seconds one HTTP request may take",
    )
    max_retries: int = Field(
        4,
        ge=0,
        title="Retries per request",
        description="how often a request is retried after 408, 429, 5xx or a lost connection",
    )
    verify: bool | str = Field(
        True,
        validate_default=True,
        title="Verify TLS",
        description="which certificates are trusted",
        json_schema_extra={"noun": "true, false or the path of a CA bundle"},
    )
    requests_per_minute: int = Field(
        120,
        ge=1,
        title="Requests per minute",
        description="how many requests per minute triggerers may make to wait for jobs: all "
        "together, if [apiframe] triggerers says how many there are; else each (the API allows 500 "
        "for everything)",
    )
    max_image_bytes: int = Field(
        MAX_IMAGE_BYTES,
        ge=1,
        title="Largest image (bytes)",
        description="how many bytes an image may have that is downloaded",
    )
    max_credits_per_day: float | None = Field(
        None,
        gt=0,
        title="Credits per day",
        description="how many credits the jobs of the key's user may cost from one midnight UTC to "
        "the next; a task that may exceed that submits nothing",
        json_schema_extra={"noun": "a number of credits"},
    )
    allow_http: bool = Field(
        False,
        title="Allow http://",
        description="accept an unencrypted base URL on a host other than this machine",
    )

    @field_validator("verify")
    @classmethod
    def _find_ca_bundle(cls, verify: bool | str) -> bool | str:
        wanted = str(verify).strip().lower()
        if wanted == "false":
            return False
        if wanted == "true":
            # requests looks at these by itself, httpx does not; both must trust the same.
            return os.environ.get("REQUESTS_CA_BUNDLE") or os.environ.get("CURL_CA_BUNDLE") or True
        if os.path.isfile(verify):
            return verify
        raise ValueError("there is no such file")


class ClientSettings(ClientOptions):
    """What both clients need: an API key, a base URL, a name and the options.

    :param name: what error texts call this configuration, e.g. "connection 'apiframe_default'".
    :param api_key: the key, without white space around it; never shown in ``repr``.
    :param base_url: with or without scheme; without one, https is taken, and http for this machine.
        Kept as ``scheme://host[:port]``; a trailing ``/v2`` is dropped.
    :raises ConfigurationError: naming the field, its value and what is allowed; never the key.
    """

    name: str = DEFAULT_NAME
    api_key: str = Field("", repr=False, validate_default=True)
    base_url: str = DEFAULT_BASE_URL

    def __init__(self, **values: Any) -> None:
        try:
            super().__init__(**values)
        except ValidationError as invalid:
            problem = invalid.errors(include_url=False)[0]
            text = reason_of(type(self), problem)
            if problem["loc"][0] not in ("api_key", "base_url"):
                text = f"{problem['loc'][0]}={truncated_repr(problem['input'])} {text}"
            name = values.get("name", DEFAULT_NAME)
            raise ConfigurationError(without_keys(f"{name}: {text}")) from None

    @field_validator("api_key", mode="before")
    @classmethod
    def _check_api_key(cls, api_key: Any) -> str:
        key = api_key.strip() if isinstance(api_key, str) else ""
        if not key:
            raise RuleError("it has no API key. Keys are made at console.apiframe.ai")
        if not key.isascii() or not key.isprintable() or " " in key:
            raise RuleError("the API key holds spaces or characters that no key has")
        return key

    @field_validator("base_url", mode="before")
    @classmethod
    def _check_base_url(cls, base_url: Any, info: ValidationInfo) -> str:
        return _scheme_and_host(base_url, allow_http=info.data.get("allow_http", False))

    def redact(self, text: str) -> str:
        """Return *text* without the API key, and without anything that looks like one."""
        return without_keys(text.replace(self.api_key, "***"))


def without_keys(text: str) -> str:
    """Return *text* without anything that looks like an API key."""
    return re.sub(r"afk_[A-Za-z0-9_-]+", "afk_***", text)


def _scheme_and_host(base_url: Any, *, allow_http: bool) -> str:
    shown = f"base_url={truncated_repr(base_url)}"
    not_a_url = RuleError(f"{shown} is not an http(s) URL such as {DEFAULT_BASE_URL}")
    text = str(base_url).strip()
    try:
        if "://" not in text:
            scheme = "http" if is_loopback(urlsplit(f"//{text}").hostname) else "https"
            text = f"{scheme}://{text}"
        parts = urlsplit(text)
        host, _ = parts.hostname, parts.port
    except ValueError:
        raise not_a_url from None
    if parts.username or parts.password or parts.query or parts.fragment:
        raise RuleError(
            f"the base URL must be plain, such as {DEFAULT_BASE_URL}; the API key does not belong "
            "into it"
        )
    if parts.scheme not in ("https", "http") or not _HOST_AND_PORT.fullmatch(parts.netloc):
        raise not_a_url
    if parts.path.rstrip("/") not in ("", "/v2"):
        raise RuleError(f"{shown} has a path; write scheme and host only, as in {DEFAULT_BASE_URL}")
    if host in _V1_HOSTS:
        raise RuleError(
            f"{shown} is Apiframe's older API version 1; this client speaks version 2 "
            f"({DEFAULT_BASE_URL})"
        )
    if parts.scheme == "http" and not allow_http and not is_loopback(host):
        raise RuleError(
            f"{shown} would send the API key unencrypted. Use https://, or set allow_http to true"
        )
    return f"{parts.scheme}://{parts.netloc}"


def is_loopback(host: str | None) -> bool:
    """Return whether *host* is this machine: localhost, 127.0.0.0/8 or ::1."""
    if host is None:
        return False
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
