"""One socket of a session: a cursor over the session's log of frames."""

from __future__ import annotations

import asyncio
import math
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass

from starlette.types import Message, Receive, Send

from app.codes import CloseCode
from app.config import Settings
from app.models.effects import Effect
from app.services.waiting import Alarm, Stay
from app.sessions.direct import DirectSocket
from app.sessions.frames import FrameLog

# How many frames are sent at once: a client that has missed more gets it as it reads.
DIRECT_FRAMES = 32
# How long a client may take to read a close frame before its socket is closed without one, in seconds.
CLOSE_SECONDS = 1.0


class ClientLeft(Exception):
    """The socket is closed."""


@dataclass(frozen=True, slots=True)
class Start:
    """Where a socket enters a session: its position in the log, what greets it before everything, what happens then."""

    position: int = 0
    greeting: str | None = None
    effects: Sequence[Effect] = ()


class Connection:
    """Sends the frames of `log` in order, from a position on, and knows when the client takes no more.

    `receive` and `send` are the socket, as ASGI has it: `send` waits while the client does not read, `SEND_SECONDS` at
    most. While something is unsent, it is one of those `behind`.
    """

    def __init__(
        self,
        log: FrameLog,
        start: Start,
        receive: Receive,
        send: Send,
        settings: Settings,
        behind: set[Connection],
        direct: DirectSocket | None = None,
    ) -> None:
        self.position = start.position
        self.close_code: CloseCode | None = None
        self.close_reason = ""
        self.left_with = 1006
        """What the client has closed it with."""
        self.is_stuck = False
        """The client does not read: too much waits for it, or a send for too long."""
        self._log = log
        self._settings = settings
        self._live_from = log.end
        log.readers.append(self)
        self._read = log.written
        self._greeting = start.greeting
        self._socket_receive = receive
        self._socket_send = send
        self._behind = behind
        self._direct = direct
        self._is_sending = False
        self._is_listening = False
        self._is_gone = False
        self._sent: asyncio.Event | None = None
        self._since = 0.0
        self._alarm = Alarm(self._send_due, self._get_stuck)
        self._sender: asyncio.Task[None] | None = None
        self.reading = Stay()
        """Within this the socket is read; `close` ends it."""

    @property
    def unread(self) -> int:
        """How many frames wait for the client; those it has come back for are no sign that it does not read."""
        return max(0, self._log.ready - max(self.position, self._live_from))

    async def receive(self) -> str | bytes:
        """What the client sends next. Raises `ClientLeft`."""
        # Not receive_text(): one binary frame would end the connection with a KeyError.
        self._is_listening = True
        try:
            message = await self._socket_receive()
        finally:
            self._is_listening = False
        if message["type"] != "websocket.receive":
            self.left_with = message.get("code", 1006)
            raise ClientLeft
        text: str | None = message.get("text")
        return message.get("bytes") or b"" if text is None else text

    def listen(self, hear: Callable[[Sequence[str]], int]) -> None:
        """Let `hear` take what comes while the reader waits for it, where the socket can do so."""
        if self._direct is not None:
            self._direct.listen(hear)

    def asked(self) -> None:
        if self._direct is not None:
            self._direct.asked()

    @property
    def is_free(self) -> bool:
        """The reader waits, and everything is sent."""
        if self._is_sending or self._is_gone or self._greeting or self.close_code is not None:
            return False
        return self._is_listening and self.position == self._log.ready

    @property
    def is_clear(self) -> bool:
        """Everything is sent, and what comes next can be at once."""
        if self._direct is None or self._is_sending or self._is_gone or self._greeting:
            return False
        return self.position == self._log.ready

    # Ending

    def close(self, code: CloseCode, reason: str) -> None:
        """Take no more from the client; what is unsent may still be sent."""
        if self.close_code is None:
            self.close_code, self.close_reason = code, reason
            self.reading.end()

    def leave(self) -> None:
        """Send nothing more: the client has left, or is given up."""
        if self._is_gone:
            return
        self._is_gone = True
        self._log.readers.remove(self)
        if self._direct is not None:
            self._direct.listen(None)
        self._behind.discard(self)
        if self._sender is not None:
            self._sender.cancel()  # once: it takes back one cancellation
        self._wake()
        self._alarm.end()

    async def say_goodbye(self) -> None:
        """Close the socket, unless the client has done it: an endpoint that only returns leaves it with 1006."""
        if self.close_code is not None:
            with suppress(OSError):  # among them a timeout
                async with asyncio.timeout(CLOSE_SECONDS):
                    await self._send({"type": "websocket.close", "code": self.close_code, "reason": self.close_reason})

    # Sending

    def send_now(self) -> bool:
        """Send what is unsent, if nothing has to wait for it. True if nothing is left."""
        log, position, direct = self._log, self.position, self._direct
        ready = log.ready
        if direct is None or self._is_sending or self._is_gone or self._greeting or ready - position > DIRECT_FRAMES:
            return False
        if position < ready:
            frames = log.frames
            if position + 1 == log.end:  # as mostly
                texts = [frames[-1]]
            else:
                texts = [frames[at - log.first] for at in range(position, ready)]
            if not direct.write(texts):
                return False
            self.position, self._read = ready, log.written
        return True

    async def flush(self, *, waits: bool = True) -> bool:
        """Send what is unsent: whoever finds the socket free does it for all.

        A caller that does not wait leaves its frames unsent when the socket is not ready; True says that nobody else is
        sending them.
        """
        if self.unread > self._settings.unread_frames or self._log.written - self._read > self._settings.unread_bytes:
            self._get_stuck()
        while self._is_sending and not self._is_gone:
            if not waits:
                return False
            self._sent = self._sent or asyncio.Event()
            self._sent.clear()
            await self._sent.wait()
        if self._is_gone or not (self.position < self._log.ready or self._greeting):
            return False
        self._is_sending = True
        self._behind.add(self)
        try:
            await (self._send_patiently() if waits else self._send_at_once())
        except OSError:
            self.leave()
        finally:
            self._is_sending = False
            self._wake()
            if self.position >= self._log.ready:
                self._behind.discard(self)
        return not self._is_gone and self.position < self._log.ready

    def _wake(self) -> None:
        if self._sent is not None:
            self._sent.set()

    async def _send_at_once(self) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(0):
                await self._send_unsent()

    async def _send_patiently(self) -> None:
        # As `asyncio.timeout` would, at less than a tenth of its cost: this runs once for each text of an answer.
        task = asyncio.current_task()
        assert task is not None
        cancels = task.cancelling()
        self._sender = task
        try:
            await self._send_unsent()
        except asyncio.CancelledError:
            if not self._is_gone or task.uncancel() > cancels:
                raise
        finally:
            self._sender = None

    async def _send_unsent(self) -> None:
        self._since = time.monotonic()
        if self._alarm.looks_at == math.inf:
            self._alarm.set()
        if self._greeting is not None:
            await self._send({"type": "websocket.send", "text": self._greeting})
            self._greeting = None
        log = self._log
        while not self._is_gone and self.position < log.ready:
            frame = log.frames[self.position - log.first]
            # Counted only when it is out: a cancelled send has sent nothing.
            await self._send({"type": "websocket.send", "text": frame})
            if self.position >= self._live_from:
                self._read += sys.getsizeof(frame)
            self.position += 1
            self._since = time.monotonic()

    async def _send(self, message: Message) -> None:
        try:
            await self._socket_send(message)
        except RuntimeError as error:
            # uvicorn has closed it, after a broken frame or an unanswered ping: `receive` tells later.
            raise OSError("the socket is closed") from error

    def _send_due(self) -> float:
        return self._since + self._settings.send_seconds if self._is_sending else math.inf

    def _get_stuck(self) -> None:
        self.is_stuck = True
        self.leave()
