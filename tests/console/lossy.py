"""A network that breaks: stands between a browser and the service, and cuts what passes through it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

from tests.service import Service


class LossyNetwork:
    """Passes bytes on to the service while it is up; `url` is what the browser opens."""

    def __init__(self, service: Service) -> None:
        self.lead_to(service)
        self._open: set[asyncio.StreamWriter] = set()
        self._is_up = True
        self.url = ""

    def lead_to(self, service: Service) -> None:
        """Whoever comes from now on."""
        self._port = urlsplit(service.http_url).port

    def go_down(self) -> None:
        """Lose every connection without a goodbye; whoever comes meanwhile is lost, too."""
        self._is_up = False
        for writer in self._open:
            writer.transport.abort()

    def come_back(self) -> None:
        self._is_up = True

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if not self._is_up:
            writer.transport.abort()
            return
        upstream_reader, upstream = await asyncio.open_connection("127.0.0.1", self._port)
        both = {writer, upstream}
        self._open |= both
        try:
            await asyncio.gather(pass_on(reader, upstream), pass_on(upstream_reader, writer))
        finally:
            self._open -= both
            for end in both:
                end.close()


async def pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Pass on all bytes, and their end."""
    try:
        while data := await reader.read(65_536):
            writer.write(data)
            await writer.drain()
    except ConnectionError:
        return  # it was cut
    writer.close()


@asynccontextmanager
async def lossy_network(service: Service) -> AsyncIterator[LossyNetwork]:
    network = LossyNetwork(service)
    server = await asyncio.start_server(network.serve, "127.0.0.1", 0)
    network.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield network
    finally:
        network.go_down()
        server.close()
        await server.wait_closed()
