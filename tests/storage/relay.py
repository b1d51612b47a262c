"""A relay before a server, which stops in the middle of an upload."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable
from typing import Self

LOOPBACK = "127.0.0.1"
PIECE_BYTES = 4096


class Relay:
    """Passes bytes on, up to so many of a client's; then calls back and passes on no more.

    :param port: where the server listens.
    :param limit: bytes that each connection may send.
    :param at_limit: called once, when a connection has sent them.
    :ivar url: base URL, e.g. "http://127.0.0.1:23456".
    """

    def __init__(self, port: int, limit: int, at_limit: Callable[[], None]) -> None:
        self._port = port
        self._limit = limit
        self._at_limit = at_limit
        self._reached = threading.Lock()
        self._listener = socket.create_server((LOOPBACK, 0))
        self._sockets = [self._listener]
        self.url = f"http://{LOOPBACK}:{self._listener.getsockname()[1]}"

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        for each in self._sockets:
            # Wakes the thread that reads from it, which closing alone does not.
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):  # closed
            while True:
                client, _ = self._listener.accept()
                self._sockets.append(client)
                try:
                    server = socket.create_connection((LOOPBACK, self._port))
                except ConnectionRefusedError:
                    client.close()
                    continue
                self._sockets.append(server)
                for one, other, limit in ((client, server, self._limit), (server, client, None)):
                    threading.Thread(
                        target=self._pass_on, args=(one, other, limit), daemon=True
                    ).start()

    def _pass_on(self, one: socket.socket, other: socket.socket, limit: int | None) -> None:
        passed = 0
        with contextlib.suppress(OSError):  # either end is gone
            while piece := one.recv(PIECE_BYTES):
                passed += len(piece)
                if limit is not None and passed > limit:
                    if self._reached.acquire(blocking=False):
                        self._at_limit()
                    return
                other.sendall(piece)
        for each in (one, other):
            each.close()
