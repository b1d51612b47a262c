"""A sandbox inside another process: `with Sandbox(latency=0.05) as sandbox: ...`."""

from __future__ import annotations

import asyncio
import logging
import socket
import threading
import time
from collections.abc import Iterable
from typing import Any, Self

import uvicorn
from starlette.types import Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol

from airflow_provider_apiframe.sandbox.faults import Faults
from airflow_provider_apiframe.sandbox.settings import Settings
from airflow_provider_apiframe.sandbox.state.accounts import API_KEY, Accounts
from airflow_provider_apiframe.sandbox.state.links import cdn_url
from airflow_provider_apiframe.sandbox.state.store import Clock, Store
from airflow_provider_apiframe.sandbox.web.app import create_app
from airflow_provider_apiframe.sandbox.web.responses import CLOSE_CONNECTION

LOOPBACK = "127.0.0.1"
START_SECONDS = 30.0
STOP_SECONDS = 10.0


class ClosableConnection(H11Protocol):
    """An HTTP connection that the app may close without a response, through an ASGI extension."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        app = self.app

        async def closable(scope: Scope, receive: Receive, send: Send) -> None:
            if scope["type"] == "http":
                scope.setdefault("extensions", {})[CLOSE_CONNECTION] = self.transport.close
            await app(scope, receive, send)

        self.app = closable


class Server(uvicorn.Server):
    """A uvicorn server that tells when it has started."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.ready = threading.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start, then set `ready`."""
        await super().startup(sockets=sockets)
        self.ready.set()


def listen(host: str, port: int) -> socket.socket:
    """Return a listening socket; a port of 0 is any free one.

    :raises OSError: the address can't be had, e.g. because the port is taken.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # asyncio turns Nagle's algorithm off only on sockets that say they are TCP; with it, every
    # response waits 40 ms.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(2048)
    except BaseException:
        listener.close()
        raise
    return listener


def url_of(listener: socket.socket) -> str:
    """Return the base URL of what listens on a socket."""
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def create_server(store: Store, host: str = LOOPBACK, *, access_log: bool = False) -> Server:
    """Return the server of a sandbox; `serve(sockets=[listen(host, ...)])` serves it."""
    config = uvicorn.Config(
        create_app(store, host),
        http=ClosableConnection,
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=access_log,
        server_header=False,
        timeout_graceful_shutdown=1,
    )
    return Server(config)


class Sandbox:
    """A sandbox on a thread of this process, on loopback; start it as a context manager.

    :param api_keys: keys beside `afk_sandbox`, each "KEY" or "KEY=USER", see `Accounts`.
    :param port: TCP port; 0 is any free one.
    :param clock: gives epoch seconds, for tests that turn time themselves.
    :param options: by the names of `Settings`, e.g. `latency=0.05`.
    :ivar url: base URL while it runs, e.g. "http://127.0.0.1:40123".
    :ivar cdn_url: base URL of the links to its images, on another host name of this machine.
    :ivar api_key: a key that is accepted.
    :ivar state: what it remembers: counts, credits, jobs; see `Store`.
    :ivar faults: `faults.next(...)` scripts the next faults.
    :raises ValueError: an option is unknown or out of its range.
    """

    def __init__(
        self,
        *,
        api_keys: Iterable[str] = (),
        port: int = 0,
        clock: Clock = time.time,
        **options: Any,
    ) -> None:
        self.api_key = API_KEY
        self.faults = Faults(Settings().changed(options))
        self.state = Store(self.faults, Accounts(api_keys), clock)
        self.url = self.cdn_url = ""
        self._port = port
        self._server: Server | None = None
        self._thread: threading.Thread | None = None

    def __enter__(self) -> Self:
        """Start serving."""
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop serving."""
        self.stop()

    def configure(self, **options: Any) -> None:
        """Change settings while running; `credits` sets the balance from now on.

        :raises ValueError: an option is unknown or out of its range.
        """
        self.state.configure(options)

    def reset(self) -> None:
        """Forget all jobs and counts, drop queued faults, go back to the first settings."""
        self.state.reset()

    def start(self) -> None:
        """Start serving and return once requests are answered.

        :raises OSError: the port is taken.
        :raises RuntimeError: the server didn't come up.
        """
        listener = listen(LOOPBACK, self._port)
        server = create_server(self.state)
        self._server = server
        self._thread = threading.Thread(
            target=_serve, args=(server, listener), name="apiframe-sandbox", daemon=True
        )
        self.url = url_of(listener)
        self.cdn_url = cdn_url(self.url)
        self._thread.start()
        if not server.ready.wait(START_SECONDS) or not server.started:
            raise RuntimeError(f"the sandbox did not start within {START_SECONDS:g} s")

    def stop(self) -> None:
        """Stop serving and wait for the thread to end; nothing happens when it isn't running."""
        if self._server is None or self._thread is None:
            return
        self._server.should_exit = True
        self._thread.join(STOP_SECONDS)
        if self._thread.is_alive():
            logging.getLogger(__name__).warning("The sandbox at %s did not stop in time", self.url)
        self._server = self._thread = None


def _serve(server: Server, listener: socket.socket) -> None:
    with listener:
        asyncio.run(server.serve(sockets=[listener]))
