"""Generated answers by the thousand, for manual trials and load benchmarks."""

from __future__ import annotations

import asyncio
import resource
import time
from collections.abc import Callable
from itertools import cycle

from tests.standin import events
from tests.standin.exchange import Exchange

WORDS = cycle(["The", "kettle", "boils", "at", "noon", "and", "the", "lamps", "are", "lit", "at", "dusk."])


class Generated:
    """A script: `tokens` texts, the first after `first_token` seconds, then one every `token` seconds."""

    def __init__(self, *, first_token: float, token: float, tokens: int, stamp: bool) -> None:
        self.first_token = first_token
        self.token = token
        self.tokens = tokens
        self.stamp = stamp

    async def __call__(self, exchange: Exchange) -> None:
        if not exchange.streams:
            await asyncio.sleep(self.first_token + self.token * max(self.tokens - 1, 0))
            await exchange.send(events.message("".join(self.text() for _ in range(self.tokens))))
        elif self.tokens:
            await exchange.open()
            await _Tokens(self, exchange).sent()
        await exchange.send(events.message_end())

    def text(self) -> str:
        return f"{time.monotonic_ns() if self.stamp else next(WORDS)} "


class _Tokens:
    """The tokens of one stream: a timer each and one write, no task switch, no JSON."""

    __slots__ = ("_done", "_due", "_head", "_left", "_loop", "_plan", "_tail", "_timer", "_transport")

    def __init__(self, plan: Generated, exchange: Exchange) -> None:
        self._loop = asyncio.get_running_loop()
        self._plan = plan
        self._transport = exchange.transport
        self._left = plan.tokens
        self._done = self._loop.create_future()
        self._due = self._loop.time() + plan.first_token
        self._timer: asyncio.TimerHandle | None = None
        whole = events.block(events.complete(events.message("\0"), exchange.ids), exchange.style)
        self._head, self._tail = whole.split(b"\\u0000")

    async def sent(self) -> None:
        self._timer = self._loop.call_at(self._due, self._tick)
        try:
            await self._done
        finally:
            self._timer.cancel()

    def _tick(self) -> None:
        if self._transport.is_closing():
            return
        data = b"%b%b%b" % (self._head, self._plan.text().encode(), self._tail)
        self._transport.write(b"%x\r\n%b\r\n" % (len(data), data))  # an HTTP chunk
        self._left -= 1
        if self._left:
            self._due += self._plan.token
            self._timer = self._loop.call_at(self._due, self._tick)
        elif not self._done.done():
            self._done.set_result(None)


def fast_loop() -> Callable[[], asyncio.AbstractEventLoop]:
    try:
        import uvloop
    except ImportError:
        return asyncio.new_event_loop
    return uvloop.new_event_loop


def raise_file_limit() -> None:
    """A thousand streams need a thousand sockets; many systems allow that many only when asked."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
