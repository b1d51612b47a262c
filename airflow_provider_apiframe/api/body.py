"""The body of a response, bounded in bytes and time, whatever a server sends."""

from __future__ import annotations

import contextvars
import threading
import zlib
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

T = TypeVar("T")

MAX_BODY_BYTES = 16 * 1024 * 1024
"""A page of 100 jobs with their results has about 0.1 MiB. The largest response is one job with its
request, whose mask may have 12,000,000 characters of base64."""

ACCEPT_ENCODING = "gzip"
PIECE_BYTES = 64 * 1024

# A zlib window of 15 bits; 32 more detect the header, of gzip or of zlib.
_ENCODINGS = {"gzip": 15 + 32, "x-gzip": 15 + 32, "deflate": 15 + 32}


class BodyError(Exception):
    """The body cannot be used; the text says why, e.g. "it has more than 16 MiB"."""


class BoundedBody:
    """Collects the pieces of a body as they came over the wire.

    The HTTP libraries could unpack them, but not within a bound: half a megabyte of gzip may hold
    half a gigabyte.
    """

    def __init__(self) -> None:
        self._raw = bytearray()

    def add(self, piece: bytes) -> None:
        """Add one piece.

        :raises BodyError: the body is too large.
        """
        self._raw += piece
        if len(self._raw) > MAX_BODY_BYTES:
            raise BodyError(_TOO_LARGE)

    def unpacked(self, encoding: str) -> bytes:
        """Return the whole body, unpacked by its ``Content-Encoding``.

        :raises BodyError: it is too large, cut short, or cannot be unpacked.
        """
        encoding = encoding.strip().lower()
        if encoding in ("", "identity"):
            return bytes(self._raw)
        if encoding not in _ENCODINGS:
            raise BodyError(f"its encoding is {encoding[:20]!r}")
        unpacker = zlib.decompressobj(_ENCODINGS[encoding])
        try:
            content = unpacker.decompress(bytes(self._raw), MAX_BODY_BYTES + 1)
        except zlib.error:
            raise BodyError(f"it cannot be unpacked as {encoding}") from None
        if len(content) > MAX_BODY_BYTES:
            raise BodyError(_TOO_LARGE)
        if not unpacker.eof:
            raise BodyError("it was cut short")
        return content


_TOO_LARGE = f"it has more than {MAX_BODY_BYTES // 1024 // 1024} MiB"


def within(seconds: float, work: Callable[[], T]) -> T:
    """Return what *work* returns, if it does so in time.

    The timeouts of ``requests`` are for each piece that arrives; a server that sends a byte now and
    then keeps it busy for ever. So the work is done on a thread, which is left behind when its time
    is over.

    :raises TimeoutError: it took longer.
    """
    outcome: Future[T] = Future()

    def run() -> None:
        try:
            outcome.set_result(work())
        except BaseException as error:
            outcome.set_exception(error)

    run_in_context = contextvars.copy_context().run
    # A daemon: a process does not wait for a response that nobody wants any more.
    threading.Thread(target=run_in_context, args=(run,), daemon=True).start()
    return outcome.result(seconds)
