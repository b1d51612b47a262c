"""A sandbox whose time the test turns, both clients behind one face, and a second server that
notes what it is sent.
"""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from airflow_provider_apiframe.api.async_client import AsyncApiframeClient
from airflow_provider_apiframe.api.client import ApiframeClient
from airflow_provider_apiframe.api.settings import ClientSettings
from airflow_provider_apiframe.sandbox.server import Sandbox

START = 1_800_000_000.0


class Clock:
    """The sandbox's time. A job takes 10 seconds of it."""

    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> float:
        return self.now

    def advance(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture(scope="session")
def _time() -> Clock:
    return Clock()


@pytest.fixture(scope="session")
def _server(_time: Clock) -> Iterator[Sandbox]:
    with Sandbox(clock=_time, latency=10, api_keys=["afk_other=someone"]) as sandbox:
        yield sandbox


@pytest.fixture
def clock(_time: Clock) -> Clock:
    _time.now = START
    return _time


@pytest.fixture
def sandbox(_server: Sandbox, clock: Clock) -> Sandbox:
    """A local Apiframe, empty, with a job time of 10 s on ``clock``.

    One server for all tests: starting one takes a while.
    """
    _server.reset()
    return _server


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "*")


class Client:
    """A client of either kind, called the same way.

    Pauses are not slept but noted, and turn the sandbox's clock.
    """

    def __init__(self, kind: str, settings: ClientSettings, clock: Clock) -> None:
        self.kind = kind
        self.settings = settings
        self.pauses: list[float] = []
        self._clock = clock

    def _pause(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self._clock.advance(seconds)

    async def _pause_async(self, seconds: float) -> None:
        self._pause(seconds)

    def __getattr__(self, method: str) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            if self.kind == "sync":
                with ApiframeClient(self.settings, sleep=self._pause) as client:
                    return getattr(client, method)(*args, **kwargs)
            return asyncio.run(self._call_async(method, *args, **kwargs))

        return call

    async def _call_async(self, method: str, *args: Any, **kwargs: Any) -> Any:
        async with AsyncApiframeClient(self.settings, sleep=self._pause_async) as client:
            return await getattr(client, method)(*args, **kwargs)


@pytest.fixture(params=["sync", "async"])
def connect(
    request: pytest.FixtureRequest, sandbox: Sandbox, clock: Clock
) -> Callable[..., Client]:
    """Call it for a client of the sandbox with other settings.

    Every test that uses it runs with both clients.
    """

    def connect(**settings: Any) -> Client:
        # Without TLS there is nothing to verify, and reading the CA bundle each time would take
        # most of the tests' time.
        given = {
            "api_key": sandbox.api_key,
            "base_url": sandbox.url,
            "timeout": 20.0,
            "verify": False,
            **settings,
        }
        return Client(request.param, ClientSettings(**given), clock)

    return connect


@pytest.fixture
def client(connect: Callable[..., Client]) -> Client:
    return connect()


@dataclass(frozen=True)
class Seen:
    """A request as it arrived; names of headers in lower case."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes


class Elsewhere:
    """Another host: answers what is queued in ``answers`` as (status, headers, body), else 200, and
    notes all requests.

    A body shorter than its Content-Length header is a connection that breaks off; None sends no
    such header, so that the end of the connection is the end of the body.
    """

    def __init__(self) -> None:
        self.requests: list[Seen] = []
        self.responses: list[tuple[int, dict[str, str], bytes]] = []
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self.url = f"http://127.0.0.1:{self.server.server_port}"

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        elsewhere = self

        class Handler(BaseHTTPRequestHandler):
            def _answer(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                headers = {name.lower(): value for name, value in self.headers.items()}
                elsewhere.requests.append(Seen(self.command, self.path, headers, body))
                status, sent, content = (
                    elsewhere.responses.pop(0) if elsewhere.responses else (200, {}, b"{}")
                )
                self.send_response(status)
                for name, value in {"Content-Length": str(len(content)), **sent}.items():
                    if value is not None:
                        self.send_header(name, value)
                self.end_headers()
                self.wfile.write(content)

            do_GET = do_POST = _answer

            def log_message(self, *_: Any) -> None:
                pass

        return Handler


@pytest.fixture
def elsewhere() -> Iterator[Elsewhere]:
    server = Elsewhere()
    thread = threading.Thread(target=server.server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    yield server
    server.server.shutdown()
    server.server.server_close()
    thread.join()


@pytest.fixture
def closed_port() -> int:
    """A port of this machine where nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


@pytest.fixture
def slow_url() -> Iterator[str]:
    """A server that sends one byte of its response at a time, until the test is over."""
    over = threading.Event()
    listener = socket.create_server(("127.0.0.1", 0))

    def respond(connection: socket.socket) -> None:
        with connection:
            connection.recv(65536)
            for byte in b"HTTP/1.1 200 OK\r\nContent-Length: 9999\r\n\r\n" + b" " * 9999:
                if over.wait(0.02):
                    return
                connection.sendall(bytes([byte]))

    def serve() -> None:
        while not over.is_set():
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=respond, args=(connection,), daemon=True).start()

    threading.Thread(target=serve, daemon=True).start()
    yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    over.set()
    listener.shutdown(socket.SHUT_RDWR)
    listener.close()
