"""One bad client, as a process of its own: `python -m tests.soak.attackers <attack> <port> <seconds>`."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from base64 import b64encode
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress

from websockets.frames import Frame, Opcode

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]
PATH = "/ws/realtime-asr"


class Attack:
    """What the attacks share: the port to attack, and frames as no honest client would make them."""

    def __init__(self, port: int) -> None:
        self._port = port

    @asynccontextmanager
    async def plug(self) -> AsyncIterator[Streams]:
        reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
        try:
            yield reader, writer
        finally:
            writer.transport.abort()

    @asynccontextmanager
    async def connect(self) -> AsyncIterator[Streams]:
        async with self.plug() as (reader, writer):
            key = b64encode(os.urandom(16)).decode()
            lines = [f"GET {PATH} HTTP/1.1", "Host: 127.0.0.1", "Connection: Upgrade", "Upgrade: websocket"]
            lines += ["Sec-WebSocket-Version: 13", f"Sec-WebSocket-Key: {key}", "", ""]
            writer.write("\r\n".join(lines).encode())
            await reader.readuntil(b"\r\n\r\n")
            yield reader, writer

    async def pour(self, writer: asyncio.StreamWriter, what: bytes) -> None:
        """Send it for ever, and read nothing."""
        while True:
            writer.write(what)
            await writer.drain()

    # The attacks: each goes on until it is cancelled, or until it is thrown out.

    async def request_without_end(self) -> None:
        async with self.plug() as (_, writer):
            writer.write(b"GET / HTTP/1.1\r\n")
            await self.pour(writer, b"a:\r\n" * 5_000)

    async def address_without_end(self) -> None:
        async with self.plug() as (_, writer):
            writer.write(b"GET /")
            await self.pour(writer, b"x" * 20_000)

    async def half_open_handshakes(self) -> None:
        async with self.plug() as (reader, _):
            await reader.read()

    async def connect_and_leave(self) -> None:
        async with self.connect():
            pass

    async def pings_unread(self) -> None:
        async with self.connect() as (_, writer):
            await self.pour(writer, frame(Opcode.PING, os.urandom(125)) * 100)

    async def empty_fragments(self) -> None:
        async with self.connect() as (_, writer):
            writer.write(frame(Opcode.TEXT, fin=False))
            await self.pour(writer, frame(Opcode.CONT, fin=False) * 5_000)

    async def empty_messages(self) -> None:
        async with self.connect() as (_, writer):
            await self.pour(writer, frame(Opcode.TEXT) * 5_000)

    async def thousand_sentences(self) -> None:
        await self._chatter([{"text": "か。" * 1000}, {"text": "a? " * 667}], pause=0.025)

    async def partials(self) -> None:
        await self._chatter([{"text": "what is the", "is_final": False}] * 260, pause=0.0)

    async def speakers_and_large_questions(self) -> None:
        chunks = [{"text": "what is this? " * 4_000, "speaker": str(number)} for number in range(40)]
        await self._chatter(chunks, pause=0.01)

    async def large_piece_of_an_answer(self) -> None:
        await self._chatter([{"text": "What is the bad answer?"}], pause=1.0, reads=True)

    async def _chatter(self, chunks: Sequence[Mapping[str, object]], *, pause: float, reads: bool = False) -> None:
        """Say these, one after the other and again."""
        messages = [{"type": "asr_chunk", "is_final": True, **chunk} for chunk in chunks]
        frames = [frame(Opcode.TEXT, json.dumps(message).encode()) for message in messages]
        async with self.connect() as (reader, writer), asyncio.TaskGroup() as tasks:
            if reads:
                tasks.create_task(_read(reader))
            while True:
                for each in frames:
                    writer.write(each)
                    await writer.drain()
                    await asyncio.sleep(pause)


def frame(opcode: Opcode, data: bytes = b"", *, fin: bool = True) -> bytes:
    return Frame(opcode, data, fin).serialize(mask=True)


async def _read(reader: asyncio.StreamReader) -> None:
    while await reader.read(1 << 16):
        pass


# How many do it at the same time.
ATTACKS: dict[str, int] = {
    "request_without_end": 1,
    "address_without_end": 1,
    "half_open_handshakes": 300,
    "connect_and_leave": 4,
    "pings_unread": 1,
    "empty_fragments": 1,
    "empty_messages": 1,
    "thousand_sentences": 4,
    "partials": 1,
    "speakers_and_large_questions": 1,
    "large_piece_of_an_answer": 1,
}


async def _again(attack: Callable[[], Awaitable[None]]) -> None:
    while True:
        with suppress(OSError, EOFError, ExceptionGroup):
            await attack()
        await asyncio.sleep(0.01)


async def run(name: str, port: int, seconds: float) -> None:
    attack = getattr(Attack(port), name)
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds), asyncio.TaskGroup() as tasks:
            for _ in range(ATTACKS[name]):
                tasks.create_task(_again(attack))


if __name__ == "__main__":
    asyncio.run(run(sys.argv[1], int(sys.argv[2]), float(sys.argv[3])))
