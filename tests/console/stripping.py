"""A proxy that serves the service under a path of its own, and takes that path away before it passes a request on."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

from tests.console.lossy import pass_on
from tests.service import Service

NOT_FOUND = b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"


@asynccontextmanager
async def stripping_proxy(service: Service, prefix: str) -> AsyncIterator[str]:
    """The address of the page, without a slash at its end. Nothing is served beside it."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        method, target, rest = head.split(" ", 2)
        path, query, after = target.partition("?")
        if path != prefix and not path.startswith(f"{prefix}/"):
            writer.write(NOT_FOUND)
            writer.close()
            return
        if "upgrade: websocket" not in rest.lower():
            rest = rest.replace("\r\n", "\r\nConnection: close\r\n", 1)  # one request for each connection
        upstream_reader, upstream = await asyncio.open_connection("127.0.0.1", urlsplit(service.http_url).port)
        upstream.write(f"{method} {path.removeprefix(prefix) or '/'}{query}{after} {rest}".encode("latin-1"))
        await asyncio.gather(pass_on(reader, upstream), pass_on(upstream_reader, writer))

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}{prefix}"
    finally:
        server.close()
