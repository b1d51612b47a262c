"""Where a link may lead: not into somebody's own network, and never to plain http from https."""

from __future__ import annotations

import ipaddress
import socket
from urllib.parse import urljoin, urlsplit

from airflow_provider_apiframe.api.errors import DownloadError
from airflow_provider_apiframe.api.settings import is_loopback


def redirected(url: str, location: str, shown: str) -> str:
    """Return where a redirect of *url* leads, if that is no way into somebody's own network."""
    target = urljoin(url, location)
    before, after = urlsplit(url), urlsplit(target)
    where = without_secrets(target)
    if after.scheme not in ("http", "https") or (before.scheme == "https" != after.scheme):
        raise DownloadError(f"{shown} redirects to {where}, which is not https", transient=False)
    if is_loopback(before.hostname) and is_loopback(after.hostname):
        return target
    if not _is_public(after.hostname or ""):
        raise DownloadError(
            f"{shown} redirects to {where}, which is not a public address", transient=False
        )
    return target


def _is_public(host: str) -> bool:
    """Return whether no address of *host* is known to be private."""
    try:
        found = {str(info[4][0]) for info in socket.getaddrinfo(host, None)}
    except (OSError, UnicodeError):
        return True  # through a proxy it may be reached all the same
    return all(ipaddress.ip_address(address.partition("%")[0]).is_global for address in found)


def without_secrets(url: str) -> str:
    """Return *url* without user, password and query, for error texts: a signed link is a secret."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return "the link"
    netloc = parts.netloc.rpartition("@")[2]
    return parts._replace(netloc=netloc, query="", fragment="").geturl()
