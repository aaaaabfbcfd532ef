"""Two ways to bound what clients ask for: how often (`TokenBucket`) and how much at once (`Slots`)."""

from __future__ import annotations

import asyncio
import math
from collections import OrderedDict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class TokenBucket:
    """`burst` at once, `rate` per second from then on. It begins full; all times are seconds of one clock."""

    def __init__(self, rate: float, burst: float) -> None:
        self._rate = rate
        self._burst = burst
        self._tokens = burst
        self._filled_at = -math.inf

    def take(self, now: float) -> float:
        """Take a token and return 0, or return the seconds until there is one."""
        if now > self._filled_at:  # a clock that goes back fills nothing, nor does it when it comes forward again
            self._tokens = min(self._burst, self._tokens + (now - self._filled_at) * self._rate)
            self._filled_at = now
        if self._tokens < 1:
            return (1 - self._tokens) / self._rate
        self._tokens -= 1
        return 0.0


class Slots:
    """At most `limit` at once; who comes later waits in order.

    Before waiting, `is_full` says whether one would have to: nothing happens between the two without an `await`. With
    several, take the narrower first (a tenant's, then the process's): who waits there takes nothing from others.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._queue: OrderedDict[asyncio.Future[None], None] = OrderedDict()
        self.running = 0

    @property
    def waiting(self) -> int:
        return len(self._queue)

    @property
    def is_full(self) -> bool:
        return self.running >= self._limit

    @asynccontextmanager
    async def take(self) -> AsyncIterator[bool]:
        """Hold a slot; what it yields tells whether one had to wait for it."""
        has_waited = self.is_full
        if has_waited:
            await self._wait()
        else:
            self.running += 1
        try:
            yield has_waited
        finally:
            self._pass_on()

    async def _wait(self) -> None:
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._queue[turn] = None
        try:
            await turn
        except asyncio.CancelledError:
            self._queue.pop(turn, None)
            if not turn.cancelled():
                self._pass_on()  # the slot came first, the cancellation before it was taken up
            raise

    def _pass_on(self) -> None:
        """Give a slot to the next one that still waits; a slot that is passed on was never free."""
        while self._queue:
            turn, _ = self._queue.popitem(last=False)
            if not turn.done():
                turn.set_result(None)
                return
        self.running -= 1
