"""Links to images: on which host they lie, and until when they are good."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Mapping
from urllib.parse import urlencode, urlsplit

# The vendor's CDN is another host than its API. This machine has two names, so a client that takes
# one host for the other is found out. A host of any other name serves both.
OTHER_NAMES = {"127.0.0.1": "localhost", "::1": "localhost", "localhost": "127.0.0.1"}

_SECRET = secrets.token_bytes(16)


def cdn_url(base_url: str) -> str:
    """Return the base URL of the CDN for a client that reaches the API at `base_url`."""
    parts = urlsplit(base_url)
    other = OTHER_NAMES.get(parts.hostname or "")
    if other is None:
        return base_url
    return f"{parts.scheme}://{other}" + (f":{parts.port}" if parts.port else "")


def image_link(base_url: str, name: str, now: float, lifetime: float | None) -> str:
    """Return a link to an image.

    :param base_url: where the client reaches the API, without a slash at the end.
    :param name: the image's file name.
    :param now: epoch seconds.
    :param lifetime: seconds until the link is refused; None for a link without an end.
    """
    link = f"{cdn_url(base_url)}/images/{name}"
    if lifetime is None:
        return link
    expires = f"{now + lifetime:.3f}"
    return f"{link}?{urlencode({'expires': expires, 'signature': _signature(name, expires)})}"


def file_name(url: str) -> str:
    """Return the last part of a URL's path."""
    return urlsplit(url).path.rpartition("/")[2]


def is_good(name: str, query: Mapping[str, str], now: float) -> bool:
    """Return whether a link to an image was made by `image_link` and has not expired at `now`."""
    expires = query.get("expires", "")
    signature = query.get("signature", "").encode()
    if not hmac.compare_digest(signature, _signature(name, expires).encode()):
        return False
    return now < float(expires)


def _signature(name: str, expires: str) -> str:
    return hmac.new(_SECRET, f"{name} {expires}".encode(), hashlib.sha256).hexdigest()
