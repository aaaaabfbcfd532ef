"""A client of the service as a frontend would write it, which holds every frame against the rules."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlencode

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from tests.rules import Frame, Rules

PATIENCE = 60.0
"""Seconds until a frame that does not come fails the test."""


class Client:
    def __init__(self, socket: ClientConnection) -> None:
        self.socket = socket
        self.frames: list[Frame] = []
        self.sent = 0
        self.rules = Rules()
        self.token = ""

    @property
    def last_seq(self) -> int:
        return int(self.frames[-1]["seq"]) if self.frames else 0

    async def send_raw(self, message: str | bytes) -> None:
        self.sent += 1
        await self.socket.send(message)

    async def send(self, type: str, **fields: Any) -> None:
        await self.send_raw(json.dumps({"type": type, **fields}))

    async def say(self, text: str, **fields: Any) -> None:
        """Send a final chunk."""
        await self.send("asr_chunk", text=text, is_final=True, **fields)

    async def control(self, action: str, **fields: Any) -> None:
        await self.send("control", action=action, **fields)

    async def receive(self) -> Frame:
        async with asyncio.timeout(PATIENCE):
            frame = json.loads(await self.socket.recv())
        assert isinstance(frame, dict)
        self.rules.check(frame)
        self.frames.append(frame)
        return frame

    async def until(self, **wanted: Any) -> list[Frame]:
        """Receive up to and with the first frame that has these fields; return all of them."""
        frames = [await self.receive()]
        while not wanted.items() <= frames[-1].items():
            frames.append(await self.receive())
        return frames

    async def settle(self) -> list[Frame]:
        """Receive until everything sent so far has its ack or error and what follows it at once."""
        await self.send("keepalive", id="settle")
        return await self.until(type="ack", id="settle")

    async def settle_in(self) -> None:
        """Say what makes the session one that is kept for its client."""
        await self.send("configure", id="settle in")
        await self.until(type="ack", id="settle in")

    async def ask(self, text: str, **fields: Any) -> list[Frame]:
        """Ask and return all frames up to the end of the answer."""
        await self.say(text, **fields)
        return await self.until(type="status", stage="idle")

    async def close_code(self) -> int | None:
        """Receive whatever still comes, then return the code of the server's close frame."""
        try:
            while True:
                await self.receive()
        except ConnectionClosed:
            return self.socket.close_code

    def assert_every_message_answered_once(self) -> None:
        assert self.rules.replies == self.sent + 1  # one ack for the connection


@asynccontextmanager
async def open_client(url: str, **options: Any) -> AsyncIterator[Client]:
    # proxy=None: the library would take proxy variables of the environment.
    async with connect(url, proxy=None, max_size=None, open_timeout=PATIENCE, **options) as socket:
        client = Client(socket)
        await client.until(type="status", stage="listening")
        client.token = client.frames[0].get("resume_token", "")
        yield client


@asynccontextmanager
async def reopen_client(url: str, client: Client, **query: Any) -> AsyncIterator[Frame]:
    """Come back on a new socket, as the client that it was; what it is greeted with."""
    known = {"resume_token": client.token, "last_seq": client.last_seq, "session_id": client.rules.session_id or ""}
    query = known | query
    async with connect(f"{url}?{urlencode(query)}", proxy=None, max_size=None, open_timeout=PATIENCE) as client.socket:
        async with asyncio.timeout(PATIENCE):
            greeting = json.loads(await client.socket.recv())
        assert isinstance(greeting, dict)
        client.token = greeting.get("resume_token", "")
        if not greeting["resumed"]:
            client.rules = Rules()
            client.rules.check(greeting)
        yield greeting
