"""ApiframeSession: a ``requests.Session`` that gives the API key to the API's own host only."""

from __future__ import annotations

import copy
import os
from collections import OrderedDict
from collections.abc import MutableMapping
from typing import Any
from urllib.parse import urlsplit

import requests
from requests.adapters import BaseAdapter

from airflow_provider_apiframe.api.endpoints import API_KEY_HEADER, USER_AGENT
from airflow_provider_apiframe.api.settings import ClientSettings, is_loopback

# Adapters of the parent process, kept for good: whoever drops one closes its connections, and that
# takes a lock which a thread of the parent may have held when this process was forked.
_OF_THE_PARENT: list[MutableMapping[str, BaseAdapter]] = []


class ApiframeSession(requests.Session):
    """Sends the API key to the API's own scheme, host and port, and nowhere else.

    A process that was forked opens connections of its own: on those of its parent, each could read
    the responses to the other's requests.
    """

    # What a copy keeps.
    __attrs__ = [*requests.Session.__attrs__, "_settings", "_origin", "_pid"]  # noqa: RUF012

    def __init__(self, settings: ClientSettings) -> None:
        super().__init__()
        self._pid = os.getpid()
        self._settings = settings
        self._origin = _origin(settings.base_url)
        self.verify = settings.verify
        # This machine is reached directly: through a proxy the key would leave it, unencrypted.
        self.trust_env = not is_loopback(self._origin[1])
        self.headers["User-Agent"] = USER_AGENT
        self.auth = self._sign

    def get_adapter(self, url: str) -> BaseAdapter:
        """Return the adapter for *url*, with the connections of this process."""
        pid = os.getpid()
        if self._pid != pid:
            # Copies have the settings, but neither connections nor locks, which a thread of the
            # parent may have held. Each is replaced at once, for other threads may be reading.
            _OF_THE_PARENT.append(self.adapters)
            self.adapters = OrderedDict(
                (prefix, copy.copy(adapter)) for prefix, adapter in self.adapters.items()
            )
            self.cookies = self.cookies.copy()
            self._pid = pid  # last: until then other threads do the same
        return super().get_adapter(url)

    def _sign(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        if _origin(request.url or "") == self._origin:
            request.headers[API_KEY_HEADER] = self._settings.api_key
        return request

    def merge_environment_settings(
        self, url: Any, proxies: Any, stream: Any, verify: Any, cert: Any
    ) -> Any:
        """Let the connection's CA bundle win over REQUESTS_CA_BUNDLE.

        requests itself has it the other way round.
        """
        verify = self._settings.verify if verify is None else verify
        return super().merge_environment_settings(url, proxies, stream, verify, cert)

    def get_redirect_target(self, resp: requests.Response) -> str | None:
        """Return where a redirect leads, or None if that cannot be read.

        requests itself would raise a bare ValueError.
        """
        target = super().get_redirect_target(resp)
        try:
            urlsplit(target or "")
        except ValueError:
            return None
        return str(target) if target else None

    def rebuild_auth(
        self, prepared_request: requests.PreparedRequest, response: requests.Response
    ) -> None:
        """Drop the API key when a redirect leads to another host.

        requests itself drops only ``Authorization``.
        """
        super().rebuild_auth(prepared_request, response)  # type: ignore[no-untyped-call]
        if _origin(prepared_request.url or "") != self._origin:
            prepared_request.headers.pop(API_KEY_HEADER, None)


def _origin(url: str) -> tuple[str, str | None, int | None]:
    parts = urlsplit(url)
    default_port = {"https": 443, "http": 80}.get(parts.scheme)
    return parts.scheme, parts.hostname, parts.port or default_port
