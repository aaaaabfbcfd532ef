"""A client that never reads while a very long answer comes: memory stays bounded, the end is honest."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

from websockets.asyncio.client import ClientConnection, connect

from app.codes import CloseCode
from tests.client import Client
from tests.rules import text_of
from tests.service import Service
from tests.soak.process import Watched, watched
from tests.soak.report import Part, Row, log_rows, most
from tests.soak.soak import close_upstream, peak_of
from tests.standin import events, scripts
from tests.standin.dify import StandInDify
from tests.standin.exchange import Exchange

SLOW = CloseCode.SLOW_CONSUMER
PIECE = "The lamps of the hall are lit at dusk, and nobody reads it. " * 270  # 16 KB
SEND_SECONDS = 1.0
PATIENCE = 180.0
# What the kernel takes for a client that does not read, and more.
MORE_THAN_BUFFERS_MB = 16.0
# A closed connection is kept for a client that may still read: app/__main__.py.
RELEASE_SECONDS = 20.0


class LongAnswer:
    """A script: as many megabytes of answer as fast as they are taken."""

    def __init__(self, megabytes: float) -> None:
        self.pieces = round(megabytes * 1e6 / len(PIECE))
        self.sent_mb = 0.0
        self.is_over = asyncio.Event()

    async def __call__(self, exchange: Exchange) -> None:
        try:
            for _ in range(self.pieces):
                await exchange.send(events.message(PIECE))
                self.sent_mb += len(PIECE) / 1e6
            await exchange.send(events.message_end())
        finally:
            self.is_over.set()


async def unread(*, megabytes: float = 100.0, to_the_end: bool = True) -> Part:
    """A client that reads nothing at all; `to_the_end`: until its socket is ended, and one that reads again."""
    rows = await _never(megabytes, to_the_end)
    if to_the_end:
        rows += await _late(MORE_THAN_BUFFERS_MB)
    return Part(f"{megabytes:g} MB of answer, unread", rows, [])


async def _never(megabytes: float, to_the_end: bool) -> list[Row]:
    answer = LongAnswer(megabytes)
    async with _front(answer, resume_seconds=PATIENCE) as (dify, watch, service):  # so long that all of it comes
        before = await watch.figures()
        async with peak_of(watch) as peak, asyncio.timeout(PATIENCE):
            client = await _asked(service)
            # The kernel may have taken the whole answer before anybody knows that it is not read.
            await _given_up(service)
            await answer.is_over.wait()
            await close_upstream(dify)
            is_released = to_the_end and await _released(watch, before.descriptors)
        await client.close_code()
        async with service.reconnect(client) as greeting:
            outcome = "resumed" if greeting["resumed"] else greeting["reason"]
    kept = Row("its socket, while it goes on reading nothing", "ended", "ended" if is_released else "kept", is_released)
    return [
        Row("answer that came", f"{megabytes:g} MB", f"{answer.sent_mb:.0f} MB", answer.sent_mb > 0.99 * megabytes),
        most("memory over that of before", 30, peak.mb - before.resident_mb, " MB"),
        *([kept] if to_the_end else []),
        Row("who comes back afterwards is told", "frames_lost", outcome, outcome == "frames_lost"),
        *log_rows(watch),
    ]


async def _late(megabytes: float) -> list[Row]:
    answer = LongAnswer(megabytes)
    # A log for all of it: what is given back can be seen whole.
    async with _front(answer, resume_bytes=200_000_000, resume_frames=1_000_000) as (_, _, service):
        async with asyncio.timeout(PATIENCE):
            client = await _asked(service)
            await _given_up(service)
            code = await client.close_code()
            async with service.reconnect(client) as greeting:
                await client.until(type="status", stage="idle")
    is_whole = greeting["resumed"] and text_of(client.frames) == PIECE * answer.pieces
    return [
        Row("who reads again once given up is closed with", str(SLOW), str(code), code == SLOW),
        Row(f"and gets its {megabytes:g} MB by resume", "whole", "whole" if is_whole else "not whole", is_whole),
    ]


@asynccontextmanager
async def _front(answer: LongAnswer, **settings: float) -> AsyncIterator[tuple[StandInDify, Watched, Service]]:
    """The service in front of this answer, with all loaded that a first question loads."""
    named: dict[str, object] = {"DIFY_API_KEY": "app-stand-in", "SEND_SECONDS": SEND_SECONDS, **settings}
    async with StandInDify(default=answer) as dify, watched(DIFY_BASE_URL=dify.base_url, **named) as (watch, service):
        dify.will(scripts.DEFAULT)
        async with service.connect() as client:
            await client.ask("Are the lamps lit?")
        await close_upstream(dify)
        yield dify, watch, service


async def _asked(service: Service) -> Client:
    """A client that has read that its question is taken, and reads nothing more."""
    client = Client(await _deaf(service.ws_url))
    client.token = (await client.receive())["resume_token"]
    await client.control("instant_query", text="Are the lamps lit?")
    await client.until(type="status", stage="querying_rag")
    return client


async def _deaf(url: str) -> ClientConnection:
    """A socket with room for little, which takes in two frames and then nothing until they are asked for."""
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    sock.connect((urlsplit(url).hostname, urlsplit(url).port))
    return await connect(url, sock=sock, proxy=None, compression=None, max_size=None, max_queue=1, ping_interval=None)


async def _given_up(service: Service) -> None:
    """Until the session waits for its client to come back."""
    while not (await service.health())["parked"]:  # noqa: ASYNC110 -- of another process
        await asyncio.sleep(0.05)


async def _released(watch: Watched, descriptors: int) -> bool:
    """Whether the process comes down to so many while the client does nothing."""
    try:
        async with asyncio.timeout(RELEASE_SECONDS):
            while watch.descriptors() > descriptors:  # noqa: ASYNC110 -- of another process
                await asyncio.sleep(0.1)
    except TimeoutError:
        return False
    return True
