"""Bounds of what clients ask for: how often (`TokenBucket`, `MessageLimit`) and how much at once (`Slots`).

A tenant's stand together (`Quota`).
"""

from __future__ import annotations

import asyncio
import math
from collections import OrderedDict
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, nullcontext

# How long a client may be refused before it is sent away, and after what pause it has slowed down, in seconds.
FLOOD_SECONDS = 10
CALM_SECONDS = 2


class TokenBucket:
    """`burst` at once, `rate` per second from then on. It begins full; all times are seconds of one clock."""

    def __init__(self, rate: float, burst: float) -> None:
        self._rate = rate
        self._burst = burst
        self._tokens = burst
        self._filled_at = -math.inf

    def wait(self, now: float) -> float:
        """The seconds until there is a token; 0 if there is one."""
        if now > self._filled_at:  # a clock that goes back fills nothing, nor does it when it comes forward again
            self._tokens = min(self._burst, self._tokens + (now - self._filled_at) * self._rate)
            self._filled_at = now
        return 0.0 if self._tokens >= 1 else (1 - self._tokens) / self._rate

    def left(self, now: float) -> float:
        """How many there are, for `go_on_from` elsewhere."""
        self.wait(now)
        return self._tokens

    def go_on_from(self, left: float, now: float) -> None:
        """Be one in which so many were `left`."""
        self._tokens, self._filled_at = min(self._burst, left), now

    def take(self, now: float) -> float:
        """Take a token and return 0, or return the seconds until there is one."""
        seconds = self.wait(now)
        if not seconds:
            self._tokens -= 1
        return seconds


class MessageLimit:
    """A `TokenBucket` for messages that also tells when a client does not slow down although it is told to."""

    def __init__(self, rate: float) -> None:
        self._bucket = TokenBucket(rate, burst=2 * rate)
        self._refused_at = -math.inf
        self._flooding_since = 0.0

    def take(self, now: float) -> float:
        """Take a message and return 0, or return the seconds until one may come."""
        wait = self._bucket.take(now)
        if wait:
            if now > self._refused_at + CALM_SECONDS:
                self._flooding_since = now
            self._refused_at = now
        return wait

    def is_flooded(self, now: float) -> bool:
        return now >= self._flooding_since + FLOOD_SECONDS and self._refused_at == now


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

    def resize(self, limit: int) -> None:
        """From now on so many at once; who is over it keeps the slot until it is done."""
        self._limit = limit
        while self._queue and not self.is_full:
            self.running += 1
            self.leave()

    async def enter(self) -> None:
        """Take a slot, or wait for one; it is held until `leave`."""
        if self.is_full:
            await self._wait()
        else:
            self.running += 1

    async def _wait(self) -> None:
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._queue[turn] = None
        try:
            await turn
        except asyncio.CancelledError:
            self._queue.pop(turn, None)
            if not turn.cancelled():
                self.leave()  # the slot came first, the cancellation before it was taken up
            raise

    def leave(self) -> None:
        """Give a slot to the next one that still waits; a slot that is passed on was never free."""
        while self._queue and self.running <= self._limit:
            turn, _ = self._queue.popitem(last=False)
            if not turn.done():
                turn.set_result(None)
                return
        self.running -= 1


class Quota:
    """What one tenant may have: sessions, questions a minute, questions at once. None: as many as it likes."""

    def __init__(
        self, max_sessions: int | None = None, per_minute: int | None = None, running: int | None = None
    ) -> None:
        self.max_sessions = max_sessions
        self._bucket = TokenBucket(per_minute / 60, per_minute) if per_minute else None
        self.slots = Slots(running) if running else None

    def entering(self, count: Callable[[], int]) -> AbstractAsyncContextManager[bool]:
        """Whether one more session may begin beside those that `count` counts here; within this it does."""
        return nullcontext(self.max_sessions is None or count() < self.max_sessions)

    async def take_question(self, now: float) -> float:
        """Take a question and return 0, or return the seconds until one may come."""
        return 0.0 if self._bucket is None else self._bucket.take(now)


class QueryLimits:
    """What bounds the questions of one session: its own rate, its tenant's quota and the slots of the process."""

    def __init__(self, own: TokenBucket, quota: Quota, running: Slots) -> None:
        self.own = own
        self._quota = quota
        self.slots = (running,) if quota.slots is None else (quota.slots, running)

    async def take(self, now: float) -> float:
        """Take a question and return 0, or return the seconds until one may come."""
        seconds = self.own.wait(now) or await self._quota.take_question(now)
        if not seconds:
            self.own.take(now)
        return seconds
