"""How to reach the API: base URL, key, limits. Checked once, before anything is sent."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from airflow_provider_apiframe.api.errors import ConfigurationError

DEFAULT_BASE_URL = "https://api.apiframe.ai"

# The older API v1: other paths, other keys. A v2 key sent there is answered with 400.
_V1_HOSTS = {"api.apiframe.pro", "apiframe.pro"}


@dataclass(frozen=True)
class ClientSettings:
    """What both clients need.

    :param api_key: the key; never shown in ``repr``.
    :param base_url: scheme and host, without a path.
    :param timeout: seconds one request may take, > 0.
    :param max_retries: how often a request is repeated, >= 0.
    :param verify: True, False, or the path of a CA bundle.
    :param requests_per_minute: how many requests a triggerer may make to wait for jobs, >= 1.
    :param name: what error texts call this configuration, e.g. "connection 'apiframe_default'".
    """

    api_key: str = field(repr=False)
    base_url: str = DEFAULT_BASE_URL
    timeout: float = 60.0
    max_retries: int = 4
    verify: bool | str = True
    requests_per_minute: int = 120
    name: str = "the Apiframe client"

    def redact(self, text: str) -> str:
        """Return *text* without the API key, and without anything that looks like one."""
        return without_keys(text.replace(self.api_key, "***") if self.api_key else text)


def without_keys(text: str) -> str:
    """Return *text* without anything that looks like an API key."""
    return re.sub(r"afk_[A-Za-z0-9_-]+", "afk_***", text)


def checked_api_key(api_key: str | None, *, name: str = "the Apiframe client") -> str:
    """Return *api_key* without surrounding white space, if it can be sent as a header.

    :param name: what error texts call the configuration it comes from.
    :raises ConfigurationError: if it is empty or holds characters that no key has. The text does
        not show it.
    """
    key = (api_key or "").strip()
    if not key:
        raise ConfigurationError(
            f"{name} has no API key. Put one from console.apiframe.ai into its password."
        )
    if not key.isascii() or not key.isprintable() or " " in key:
        raise ConfigurationError(
            f"{name}: the API key in the password holds spaces or characters that no key has."
        )
    return key


def checked_base_url(
    url: str, *, allow_http: bool = False, name: str = "the Apiframe client"
) -> str:
    """Return *url* as ``scheme://host[:port]``.

    :param url: with or without scheme; without one, https is taken, and http for this machine. A
        trailing ``/v2`` is dropped.
    :param allow_http: accept http:// on a host other than this machine. The API key would travel
        unencrypted.
    :param name: what the error texts call this configuration.
    :raises ConfigurationError: another scheme, no host, http:// off this machine, or a host of the
        API's version 1.
    """
    text = url.strip()
    shown = without_keys(repr(url))
    try:
        if "://" not in text:
            text = f"{'http' if is_loopback(urlsplit(f'//{text}').hostname) else 'https'}://{text}"
        parts = urlsplit(text)
        host, _ = parts.hostname, parts.port
    except ValueError:
        raise ConfigurationError(
            f"{name}: host={shown} is not an http(s) URL such as {DEFAULT_BASE_URL}"
        ) from None
    if parts.username or parts.password or parts.query or parts.fragment:
        raise ConfigurationError(
            f"{name}: the host must be a plain base URL such as {DEFAULT_BASE_URL}; the API key belongs in the password"
        )
    if (
        parts.scheme not in ("https", "http")
        or not host
        or any(character.isspace() for character in text)
    ):
        raise ConfigurationError(
            f"{name}: host={shown} is not an http(s) URL such as {DEFAULT_BASE_URL}"
        )
    if parts.path.rstrip("/") not in ("", "/v2"):
        raise ConfigurationError(
            f"{name}: host={shown} has a path; write scheme and host only, as in {DEFAULT_BASE_URL}"
        )
    if host in _V1_HOSTS:
        raise ConfigurationError(
            f"{name}: host={shown} is Apiframe's older API version 1; this provider speaks version 2 ({DEFAULT_BASE_URL})"
        )
    if parts.scheme == "http" and not allow_http and not is_loopback(host):
        raise ConfigurationError(
            f"{name}: host={shown} would send the API key unencrypted. Use https://, or set the extra allow_http to true"
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
