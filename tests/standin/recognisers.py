"""Recognisers that speak their protocol and hear in any sound what the test says."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

from aiohttp import web
from aiohttp.test_utils import TestServer
from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response
from websockets.typing import Subprotocol

from tests.client import PATIENCE

Frame = str | bytes


@dataclass(frozen=True)
class Manners:
    """How a recogniser behaves: it `greets` (after an opening frame, if it `is_opened`), `says` these once it hears
    sound, and the `last` ones once a frame `is_end`; then it closes, unless it waits for its client to do so."""

    is_end: Callable[[Frame], bool]
    says: Sequence[Any] = ()
    last: Sequence[Any] = ()
    greets: Sequence[Any] = ()
    is_opened: bool = True
    closes: bool = True
    refuses: bool = False
    closing_code: int = 0
    subprotocol: str | None = None
    http: tuple[int, str] | None = None
    """The status and the body of a handshake that is refused."""


@dataclass
class Call:
    """One connection, as its server saw it."""

    path: str
    key: str | None
    opening: list[Any] = field(default_factory=list)
    sound: list[Frame] = field(default_factory=list)
    closing: list[Frame] = field(default_factory=list)


class StandInRecogniser:
    def __init__(self, manners: Manners) -> None:
        self.manners = manners
        self.calls: list[Call] = []
        self.headers: list[dict[str, str]] = []
        self.url = ""
        self.drops = 0
        """How many connections are still to be cut, after what it says."""
        self._something = asyncio.Event()

    async def until(self, reached: Callable[[], bool]) -> None:
        """Wait for what sound or a connection brings about."""
        async with asyncio.timeout(PATIENCE):
            while not reached():
                await self._something.wait()
                self._something.clear()

    async def serve(self, socket: ServerConnection) -> None:
        assert socket.request is not None
        call = Call(socket.request.path, socket.request.headers.get("Authorization"))
        self.calls.append(call)
        self.headers.append(dict(socket.request.headers))
        try:
            await self._serve(socket, call)
        except ConnectionClosed:
            return

    async def _serve(self, socket: ServerConnection, call: Call) -> None:
        manners = self.manners
        if manners.is_opened:
            call.opening.append(json.loads(await socket.recv()))
        await send(socket, manners.greets)
        if manners.refuses:
            return
        async for frame in socket:
            if manners.is_end(frame):
                call.closing.append(frame)
                self._something.set()
                await send(socket, manners.last)
                if manners.closes:
                    return
                continue
            call.sound.append(frame)
            self._something.set()
            if len(call.sound) == 1:
                await send(socket, manners.says)
                if manners.closing_code:
                    await socket.close(manners.closing_code, "no credits")
                if self.drops:
                    self.drops -= 1
                    socket.transport.abort()


async def send(socket: ServerConnection, messages: Sequence[Any]) -> None:
    for message in messages:
        await socket.send(message if isinstance(message, str) else json.dumps(message))


@asynccontextmanager
async def recogniser(manners: Manners) -> AsyncIterator[StandInRecogniser]:
    standin = StandInRecogniser(manners)
    subprotocols = [Subprotocol(manners.subprotocol)] if manners.subprotocol else None
    server: Server

    def refuse(connection: ServerConnection, request: Request) -> Response | None:
        return manners.http and connection.respond(HTTPStatus(manners.http[0]), manners.http[1])

    options: dict[str, Any] = {"subprotocols": subprotocols, "process_request": refuse}
    async with serve(standin.serve, "127.0.0.1", 0, **options) as server:
        standin.url = f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        yield standin


@asynccontextmanager
async def session_maker(reply: Any, status: int = 200) -> AsyncIterator[tuple[str, list[Any]]]:
    """A server that names a WebSocket when it is asked: its own address, and the headers and bodies it was sent."""
    asked: list[Any] = []

    async def answer(request: web.Request) -> web.Response:
        asked.append((dict(request.headers), await request.json()))
        return web.json_response(reply, status=status)

    app = web.Application()
    app.router.add_post("/v2/live", answer)
    async with TestServer(app) as server:
        yield str(server.make_url("/v2/live")), asked


@asynccontextmanager
async def lines(said: bytes) -> AsyncIterator[tuple[str, list[bytes]]]:
    """A server that takes samples and gives lines, once it has heard all; its address, and what it heard."""
    heard: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heard.append(await reader.read())
        writer.write(said)
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield f"tcp://127.0.0.1:{server.sockets[0].getsockname()[1]}", heard


class StandInWyoming:
    """A Wyoming server: one utterance a connection."""

    def __init__(self, text: str) -> None:
        self._text = text
        self.utterances: list[list[str]] = []
        self.sound = 0
        self.url = ""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        kinds: list[str] = []
        while line := await reader.readline():
            event = json.loads(line)
            payload = await reader.readexactly(event.get("payload_length") or 0)
            self.sound += len(payload)
            kinds.append(event["type"])
            if len(kinds) == 1:
                self.utterances.append(kinds)
            if event["type"] == "audio-stop":
                data = json.dumps({"text": self._text, "language": "en"}).encode()
                writer.write(json.dumps({"type": "transcript", "data_length": len(data)}).encode() + b"\n" + data)
                await writer.drain()
                break
        writer.close()


@asynccontextmanager
async def wyoming(text: str) -> AsyncIterator[StandInWyoming]:
    standin = StandInWyoming(text)
    server = await asyncio.start_server(standin.serve, "127.0.0.1", 0)
    standin.url = f"tcp://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    async with server:
        yield standin
