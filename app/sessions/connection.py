"""One socket of a session: a cursor over the session's log of frames."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress

from app.codes import CloseCode
from app.sessions.archive import FrameLog


class Connection:
    """Sends the frames of `log` in order, from `position` on, and knows when the client takes no more.

    `send` puts one text frame on the socket, waiting while the client does not read; it raises `OSError` when the
    client has left. A send may take `send_seconds`. `greeting` goes before everything.
    """

    def __init__(
        self,
        log: FrameLog,
        position: int,
        send: Callable[[str], Awaitable[None]],
        *,
        send_seconds: float,
        greeting: str | None = None,
    ) -> None:
        self.position = position
        self.close_code: CloseCode | None = None
        self.close_reason = ""
        self.is_stuck = False
        self._log = log
        self._live_from = log.end
        self._read = log.written
        self._send = send
        self._send_seconds = send_seconds
        self._greeting = greeting
        self._is_sending = False
        self._is_gone = False
        self._sent = asyncio.Event()
        self._since = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._sender: asyncio.Task[None] | None = None
        self._reader: asyncio.Timeout | None = None

    @property
    def unread(self) -> int:
        """How many frames wait for the client; those it has come back for are no sign that it does not read."""
        return self._log.end - max(self.position, self._live_from)

    @property
    def unread_bytes(self) -> int:
        """How much of the memory for frames waits for the client, counted like `unread`."""
        return self._log.written - self._read

    @property
    def _has_unsent(self) -> bool:
        return self.position < self._log.end

    # Reading

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[None]:
        """Within this the socket is read; `close` ends it at its next `await`."""
        scope = asyncio.timeout(None)
        try:
            async with scope:
                self._reader = scope
                try:
                    yield
                finally:
                    self._reader = None
        except TimeoutError:
            if not scope.expired():
                raise

    def close(self, code: CloseCode, reason: str) -> None:
        """Take no more from the client; what is unsent may still be sent."""
        if self.close_code is None:
            self.close_code, self.close_reason = code, reason
            _interrupt(self._reader)

    def leave(self) -> None:
        """Send nothing more: the client has left, or is given up."""
        if self._is_gone:
            return
        self._is_gone = True
        if self._sender is not None:
            self._sender.cancel()  # once: it takes back one cancellation
        self._sent.set()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    # Sending

    @property
    def is_idle(self) -> bool:
        """Frames wait, and nobody is sending them."""
        return not (self._is_sending or self._is_gone) and self._has_unsent

    async def flush(self, *, waits: bool = True) -> None:
        """Send what is unsent: whoever finds the socket free does it for all.

        A caller that does not wait leaves its frames unsent when the socket is not ready.
        """
        while self._is_sending and not self._is_gone:
            if not waits:
                return
            self._sent.clear()
            await self._sent.wait()
        if self._is_gone or not (self._has_unsent or self._greeting):
            return
        self._is_sending = True
        try:
            await (self._send_patiently() if waits else self._send_at_once())
        except OSError:
            self.leave()
        finally:
            self._is_sending = False
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
        if self._timer is None:
            self._watch(self._send_seconds)
        self._since = time.monotonic()
        if self._greeting is not None:
            await self._send(self._greeting)
            self._greeting = None
        while not self._is_gone and (frame := self._log.get(self.position)) is not None:
            # Counted only when it is out: a cancelled send has sent nothing.
            await self._send(frame)
            if self.position >= self._live_from:
                self._read += sys.getsizeof(frame)
            self.position += 1
            self._since = time.monotonic()

    def _watch(self, seconds: float) -> None:
        # One timer for many sends, most of which end at once: it looks again when it rings.
        self._timer = asyncio.get_running_loop().call_later(seconds, self._look)

    def _look(self) -> None:
        self._timer = None
        if not self._is_sending:
            return
        rest = self._since + self._send_seconds - time.monotonic()
        if rest > 0:
            self._watch(rest)
        else:
            self.is_stuck = True
            self.leave()


def _interrupt(scope: asyncio.Timeout | None) -> None:
    """Make the `await` that runs in this scope end."""
    if scope is not None and not scope.expired():
        scope.reschedule(asyncio.get_running_loop().time())
