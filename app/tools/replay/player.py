"""Sends a recording over the WebSocket at its pace and hands on every frame that comes back."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Sequence
from contextlib import suppress
from ipaddress import ip_address
from typing import Literal
from urllib.parse import urlsplit

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus, InvalidURI

from app.tools.replay.recording import Step
from app.tools.replay.tracker import Frame, Tracker

OPEN_SECONDS = 10.0
WAIT_SECONDS = 3.0
"""How much longer than announced a question that may go on is waited for."""
PARTIAL_SECONDS = 6.0
"""How long a partial at the very end is given to become a question: STALE_PARTIAL_SECONDS is 4."""
STEP_SECONDS = 0.025
"""The shortest distance of lines that go as fast as they can: with their markers, under MESSAGES_PER_SECOND."""
MARKER = Step(0, 0.0, {"type": "keepalive"})


class Trouble(Exception):
    """The service cannot be reached, refuses the client, or says nothing more; the text is for a person."""


class Player:
    """Plays one recording on one connection.

    `speed` is how many times faster than recorded; 0 sends each line as soon as all before it is dealt with.
    `patience` is how many seconds the service may be silent while it owes something. `on_sent` and `on_frame` are
    called with what has just happened, after the tracker knows it.
    """

    def __init__(
        self,
        tracker: Tracker,
        *,
        speed: float,
        patience: float,
        on_sent: Callable[[Step], None],
        on_frame: Callable[[Frame], None],
    ) -> None:
        self._tracker = tracker
        self._speed = speed
        self._patience = patience
        self._on_sent = on_sent
        self._on_frame = on_frame

    async def play(self, steps: Sequence[Step], url: str, token: str | None) -> None:
        """Send all steps and wait for what becomes of them. Raises `Trouble`."""
        socket = await open_socket(url, token)
        try:
            await self._play(socket, steps)
        except ConnectionClosed as closed:
            await self._read_the_rest(socket)
            if not self._tracker.is_over:
                raise Trouble(farewell(closed, self._tracker)) from closed
        finally:
            await socket.close()

    async def _play(self, socket: ClientConnection, steps: Sequence[Step]) -> None:
        while not self._tracker.is_listening:
            await self._expect(socket)
        start = _now()
        for step in steps:
            pause = step.at / self._speed if self._speed else 0
            await self._listen_until(socket, start + pause)
            await self._send(socket, step)
            if not self._speed:
                start = _now() + STEP_SECONDS
                if step.is_final or not step.is_chunk:
                    await self._settle(socket)
        await self._settle(socket)
        if self._tracker.has_open_partial:
            await self._hear(socket, PARTIAL_SECONDS)
            await self._settle(socket)
        await socket.send(json.dumps({"type": "control", "action": "stop"}))
        while await self._hear(socket, self._patience):
            pass
        raise Trouble(f"the service did not close the connection within {self._patience:g} s of stop")

    async def _send(self, socket: ClientConnection, step: Step) -> None:
        self._tracker.sent(step)
        await socket.send(json.dumps({**step.frame, "id": step.id}))
        self._on_sent(step)

    async def _settle(self, socket: ClientConnection) -> None:
        """Listen until nothing more is to be expected of what was sent."""
        # What a message causes at once comes before the ack of the next one.
        self._tracker.sent(MARKER)
        await socket.send(json.dumps({**MARKER.frame, "id": MARKER.id}))
        while True:
            while self._tracker.is_owed:
                await self._expect(socket)
            # A wait may also end without a question; then nothing is sent.
            if not (self._tracker.may_ask and await self._hear(socket, self._tracker.waits_s + WAIT_SECONDS)):
                return

    async def _expect(self, socket: ClientConnection) -> None:
        if not await self._hear(socket, self._patience):
            raise Trouble(f"the service owes an answer and has been silent for {self._patience:g} s")

    async def _hear(self, socket: ClientConnection, seconds: float) -> bool:
        """Take one frame; false if none comes in time."""
        try:
            async with asyncio.timeout(seconds):
                message = await socket.recv()
        except TimeoutError:
            return False
        self._take(message)
        return True

    async def _read_the_rest(self, socket: ClientConnection) -> None:
        """A send may fail while the frames that say why are still unread."""
        with suppress(ConnectionClosed):
            while True:
                self._take(await socket.recv())

    async def _listen_until(self, socket: ClientConnection, moment: float) -> None:
        try:
            async with asyncio.timeout_at(moment):
                while True:
                    self._take(await socket.recv())
        except TimeoutError:
            return

    def _take(self, message: str | bytes) -> None:
        try:
            frame = json.loads(message)
            self._tracker.take(frame)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise Trouble(f"this is no frame of the protocol: {message[:80]!r}") from error
        self._on_frame(frame)


def farewell(closed: ConnectionClosed, tracker: Tracker) -> str:
    """Why the service closed: its last error says it best."""
    code = 1006 if closed.rcvd is None else closed.rcvd.code
    if tracker.faults:
        fault = tracker.faults[-1]
        return f"the service closed the connection ({code}, {fault.code}): {fault.message}"
    return f"the connection was lost ({code})"


async def open_socket(url: str, token: str | None) -> ClientConnection:
    headers = {} if token is None else {"Authorization": f"Bearer {token}"}
    try:
        return await connect(
            url, additional_headers=headers, proxy=proxy_of(url), open_timeout=OPEN_SECONDS, max_size=None
        )
    except InvalidStatus as error:
        raise Trouble(f"{url} answers with HTTP {error.response.status_code}, not with a WebSocket") from error
    except (InvalidHandshake, InvalidURI, OSError, TimeoutError) as error:
        raise Trouble(f"{url} cannot be reached: {str(error) or 'no answer in time'}") from error


def _now() -> float:
    return asyncio.get_running_loop().time()


def proxy_of(url: str) -> Literal[True] | None:
    """The proxy of the environment, but for this machine's own addresses: no proxy can reach those."""
    host = urlsplit(url).hostname or ""
    try:
        is_local = ip_address(host).is_loopback
    except ValueError:
        is_local = host == "localhost"
    return None if is_local else True
