"""The public address of a saved image, by the option ``[apiframe] public_urls``."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from functools import lru_cache
from typing import Any
from urllib.parse import quote, urlsplit

from airflow.providers.common.compat.sdk import conf

from airflow_provider_apiframe.api.errors import ConfigurationError
from airflow_provider_apiframe.api.validation import truncated_repr
from airflow_provider_apiframe.hooks.config import NO_PUBLIC_URLS, PUBLIC_URLS, SECTION

log = logging.getLogger(__name__)

_OPTION = f"[{SECTION}] {PUBLIC_URLS}"


def public_url(uri: str) -> str | None:
    """Return where a browser finds a stored file, None where the option names no such place.

    An option that cannot be used is a warning in the log: whoever asks has an image that is paid.

    :param uri: of the file, e.g. "s3://brand-assets/poster.png".
    :returns: e.g. "https://cdn.example.com/brand-assets/poster.png". The longest beginning counts
        where several fit.
    """
    try:
        # Up to Airflow 3.1 only its commands load what providers declare; `dag.test()` does not.
        text = conf.get(SECTION, PUBLIC_URLS, fallback=NO_PUBLIC_URLS)
    except Exception as error:  # a stray % in airflow.cfg, for one
        log.warning("%s cannot be read, so no saved image is public: %s", _OPTION, error)
        return None
    addresses = _usable_addresses(text)
    for prefix in sorted(addresses, key=len, reverse=True):
        if uri.startswith(prefix):
            path = uri[len(prefix) :]
            # A browser would climb out of the prefix.
            if any(part in ("", ".", "..") for part in path.split("/")):
                return None
            return addresses[prefix] + quote(path)
    return None


def parse_public_urls(text: str) -> dict[str, str]:
    """Return the option as a mapping whose keys and values end with "/".

    :raises ConfigurationError: it is no JSON object, or one of its entries cannot be used.
    """
    example = 'a JSON object such as {"s3://bucket/": "https://cdn.example.com/bucket/"}'
    try:
        given: Any = json.loads(text) if text.strip() else {}
    except (ValueError, RecursionError):
        given = None
    if not isinstance(given, Mapping):
        raise ConfigurationError(f"{_OPTION}={truncated_repr(text)}: must be {example}")
    addresses = {}
    for prefix, address in given.items():
        shown = f"{_OPTION}: {truncated_repr(prefix)}: {truncated_repr(address)}"
        scheme, _, rest = prefix.partition("://")
        if not scheme or not rest.strip("/"):
            raise ConfigurationError(
                f"{shown}: the key must begin a storage URL, such as s3://bucket/"
            )
        if not _is_plain_address(address):
            raise ConfigurationError(
                f"{shown}: the value must be a plain http(s) URL, without user, query or fragment"
            )
        addresses[prefix.rstrip("/") + "/"] = address.rstrip("/") + "/"
    return addresses


@lru_cache(maxsize=8)
def _usable_addresses(text: str) -> dict[str, str]:
    """Return what the option says, nothing where it is wrong: told once, not for every image."""
    try:
        return parse_public_urls(text)
    except ConfigurationError as error:
        log.warning("No saved image is public: %s", error)
        return {}


def _is_plain_address(address: Any) -> bool:
    try:
        parts = urlsplit(address)
    except (ValueError, TypeError, AttributeError):
        return False
    is_plain = not (parts.username or parts.password or parts.query or parts.fragment)
    return parts.scheme in ("http", "https") and bool(parts.hostname) and is_plain
