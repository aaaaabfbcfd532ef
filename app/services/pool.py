"""The connections to one server: how many, who gets which, and how long one is kept that nobody uses."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable

import httpx

from app.services.lines import Line

# Shorter than what servers keep one: 60 s and more behind a proxy, but 5 s at uvicorn's.
IDLE_SECONDS = 15.0


class Pool:
    """At most `limit` lines, open, idle and being opened; who finds none waits in order for the next that is free.

    A place is taken before a line is opened and free when the line is lost, whoever ended it.
    """

    def __init__(self, dial: Callable[[float | None], Awaitable[Line]], limit: int) -> None:
        self._dial = dial
        self._limit = limit
        self._places = 0
        self._lines: set[Line] = set()
        self._idle: list[Line] = []  # the latest is used first, so that the others can end
        self._waiting: deque[asyncio.Future[Line | None]] = deque()
        self._timer: asyncio.TimerHandle | None = None
        self._is_closed = False

    @property
    def places(self) -> int:
        return self._places

    async def take(self, connect_seconds: float | None, seconds: float | None) -> Line:
        """Return a line to be given back or aborted. Raises `httpx.PoolTimeout`, and what opening one raises."""
        now = asyncio.get_running_loop().time
        deadline = None if seconds is None else now() + seconds
        while True:
            if (line := self.take_idle()) is not None:
                return line
            if self._places < self._limit:
                self._places += 1
                return await self._open(connect_seconds)
            turn = await self._turn(deadline)
            if turn is None:  # a place
                return await self._open(connect_seconds)
            if turn.is_open:  # it may have been lost on the way
                return turn

    def take_idle(self) -> Line | None:
        """The same, as far as nothing has to be waited for."""
        while self._idle:
            if (line := self._idle.pop()).is_open:
                return line
        return None

    def give_back(self, line: Line) -> None:
        if self._is_closed:
            line.abort()
        elif line.finish():
            self._hand_on(line)

    def close(self) -> None:
        self._is_closed = True
        if self._timer is not None:
            self._timer.cancel()
        for line in list(self._lines):
            line.abort()

    async def _open(self, seconds: float | None) -> Line:
        try:
            line = await self._dial(seconds)
        except BaseException:
            self._free()
            raise
        self._lines.add(line)
        line.on_lost = self._lost
        if line.is_lost:
            self._lost(line)
        return line

    def _lost(self, line: Line) -> None:
        self._lines.discard(line)
        if line in self._idle:
            self._idle.remove(line)
        self._free()

    async def _turn(self, deadline: float | None) -> Line | None:
        turn: asyncio.Future[Line | None] = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        try:
            async with asyncio.timeout_at(deadline):
                return await turn
        except BaseException as error:
            if turn.done() and not turn.cancelled():  # too late for this one, not for the next
                self._hand_on(turn.result())
            elif turn in self._waiting:
                self._waiting.remove(turn)
            if isinstance(error, TimeoutError):
                raise httpx.PoolTimeout(f"all {self._limit} connections are in use") from error
            raise

    def _hand_on(self, line: Line | None) -> None:
        if line is None:
            self._free()
        elif not line.is_open:
            return  # its place is free as soon as it is lost
        elif (turn := self._next()) is not None:
            turn.set_result(line)
        else:
            loop = asyncio.get_running_loop()
            line.idle_since = loop.time()
            self._idle.append(line)
            if self._timer is None:
                self._timer = loop.call_later(IDLE_SECONDS, self._sweep)

    def _free(self) -> None:
        if (turn := self._next()) is not None:
            turn.set_result(None)  # the place goes with it
        else:
            self._places -= 1

    def _next(self) -> asyncio.Future[Line | None] | None:
        while self._waiting:
            if not (turn := self._waiting.popleft()).done():
                return turn
        return None

    def _sweep(self) -> None:
        loop = asyncio.get_running_loop()
        while self._idle and self._idle[0].idle_since + IDLE_SECONDS <= loop.time():
            self._idle.pop(0).abort()
        self._timer = loop.call_at(self._idle[0].idle_since + IDLE_SECONDS, self._sweep) if self._idle else None
