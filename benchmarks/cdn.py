"""A CDN for the benchmarks: the same image under every name, each connection at a given pace.

``python -m benchmarks.cdn SIDE RATE`` prints its URL, then serves.
"""

from __future__ import annotations

import asyncio
import os
import socket
import sys
import zlib
from collections.abc import AsyncIterator

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import StreamingResponse
from starlette.routing import Route

PIECE = 64 * 1024


def noise_png(side: int) -> bytes:
    """Return a PNG of *side* x *side* pixels of noise: as large as an image of that size can be."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        checked = kind + content
        length, checksum = len(content), zlib.crc32(checked)
        return length.to_bytes(4, "big") + checked + checksum.to_bytes(4, "big")

    header = side.to_bytes(4, "big") * 2 + bytes([8, 2, 0, 0, 0])
    rows = b"".join(b"\0" + os.urandom(3 * side) for _ in range(side))
    packed = zlib.compress(rows, 0)
    return b"".join(
        [b"\x89PNG\r\n\x1a\n", chunk(b"IHDR", header), chunk(b"IDAT", packed), chunk(b"IEND", b"")]
    )


def app(image: bytes, rate: float) -> Starlette:
    """Return the app that serves *image*.

    :param rate: bytes per second of one connection, 0 for as fast as it can.
    """

    async def pieces() -> AsyncIterator[bytes]:
        clock = asyncio.get_running_loop().time
        begun = clock()
        for start in range(0, len(image), PIECE):
            yield image[start : start + PIECE]
            ahead = (start + PIECE) / rate - (clock() - begun) if rate else 0
            if ahead > 0:
                await asyncio.sleep(ahead)

    async def serve(_: Request) -> StreamingResponse:
        headers = {"content-length": str(len(image)), "content-type": "image/png"}
        return StreamingResponse(pieces(), headers=headers)

    return Starlette(routes=[Route("/{name}", serve)])


if __name__ == "__main__":
    listener = socket.create_server(("127.0.0.1", 0))
    print(f"http://127.0.0.1:{listener.getsockname()[1]}", flush=True)
    config = uvicorn.Config(
        app(noise_png(int(sys.argv[1])), float(sys.argv[2])), log_level="warning"
    )
    uvicorn.Server(config).run(sockets=[listener])
