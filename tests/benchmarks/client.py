"""WebSocket clients by the thousand, as cheap as they can be: they share the machine with what they measure."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Self, cast

WS_PATH = "/ws/realtime-asr"
CONNECT_SECONDS = 20.0
CONNECTS_AT_ONCE = 50

_UPGRADE = (
    f"GET {WS_PATH}%s HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)


def encode(text: str) -> bytes:
    """A text frame under 64 KB. The mask is zero: the server's work is the same, the client's is none."""
    payload = text.encode()
    size = len(payload)
    head = bytes((0x80 | size,)) if size < 126 else b"\xfe" + size.to_bytes(2, "big")
    return b"\x81" + head + bytes(4) + payload


class Client(asyncio.Protocol):
    """One connection. `on_frame` gets the payload of every text frame."""

    def __init__(self, query: str = "") -> None:
        self._query = query
        self.on_frame: Callable[[bytes], None] = lambda _: None
        self.frames = 0
        self.is_lost = False
        self.lost = asyncio.Event()
        self.opened = asyncio.get_running_loop().create_future()
        self._buffer = b""

    @classmethod
    async def connect(cls, port: int, query: str = "") -> Self:
        _, client = await asyncio.get_running_loop().create_connection(lambda: cls(query), "127.0.0.1", port)
        async with asyncio.timeout(CONNECT_SECONDS):
            await client.opened
        return client

    def send(self, frame: bytes) -> None:
        self._transport.write(frame)

    def close(self) -> None:
        self._transport.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is not a subclass
        self._transport.write((_UPGRADE % self._query).encode())

    def connection_lost(self, exc: Exception | None) -> None:
        self.is_lost = True
        self.lost.set()
        if not self.opened.done():
            self.opened.set_exception(ConnectionError("the server hung up"))

    def data_received(self, data: bytes) -> None:
        if self._buffer:
            data = self._buffer + data
        start = 0
        if not self.opened.done():
            start = data.find(b"\r\n\r\n") + 4
            if start < 4:
                self._buffer = data
                return
            if not data.startswith(b"HTTP/1.1 101"):
                self.opened.set_exception(ConnectionError(data[:200].decode(errors="replace")))
                return
            self.opened.set_result(None)
        while (end := self._frame(data, start)) is not None:
            start = end
        self._buffer = data[start:]

    def _frame(self, data: bytes, start: int) -> int | None:
        """Take the frame at `start`, if it is whole, and return where it ends."""
        if len(data) < start + 4:
            return None
        size, body = data[start + 1], start + 2
        if size == 126:
            size, body = int.from_bytes(data[start + 2 : start + 4], "big"), start + 4
        if len(data) < (end := body + size):
            return None
        match data[start]:
            case 0x81:
                self.frames += 1
                self.on_frame(data[body:end])
            case 0x89:
                self.send(b"\x8a" + bytes((0x80 | size,)) + bytes(4) + data[body:end])
            case 0x88:
                self.is_lost = True
        return end


async def connect(port: int, count: int) -> Sequence[Client]:
    """Open `count` connections and wait until each of them was greeted or stays silent."""
    clients: list[Client] = []
    while len(clients) < count:
        batch = min(CONNECTS_AT_ONCE, count - len(clients))
        clients += await asyncio.gather(*(Client.connect(port) for _ in range(batch)))
    await asyncio.sleep(0.2)
    return clients


async def close(clients: Sequence[Client]) -> None:
    """Close all; any that was lost before makes the measurement void."""
    lost = sum(client.is_lost for client in clients)
    for client in clients:
        client.close()
    await asyncio.sleep(0.3)
    if lost:
        raise RuntimeError(f"{lost} of {len(clients)} connections were lost")
