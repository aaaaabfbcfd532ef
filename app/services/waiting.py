"""Waiting that can be cut short, a timer for a moment that moves, and a task beside others."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any, Self


class Stay:
    """A block that `end` makes leave at its next `await`, without an error; before and after it `end` does nothing."""

    _scope: asyncio.Timeout | None = None

    async def __aenter__(self) -> Self:
        self._scope = await asyncio.timeout(None).__aenter__()
        return self

    async def __aexit__(self, *error: Any) -> bool:
        assert self._scope is not None
        scope, self._scope = self._scope, None
        try:
            await scope.__aexit__(*error)
        except TimeoutError:
            return True  # its own: another one would not be raised, but passed by
        return False

    def end(self, after: float = 0.0) -> None:
        """Leave the block, in so many seconds."""
        if self._scope is not None and not self._scope.expired():
            self._scope.reschedule(asyncio.get_running_loop().time() + after)


class Alarm:
    """Calls `ring` when it is `due`, on the monotonic clock; never if that is `math.inf`.

    `set` tells it that the moment may have come nearer. One that moves away leaves the timer as it is, which only looks
    again then: so one timer serves for thousands of moments that pass unused.
    """

    def __init__(self, due: Callable[[], float], ring: Callable[[], None]) -> None:
        self._due = due
        self._ring = ring
        self._timer: asyncio.TimerHandle | None = None
        self.looks_at = math.inf
        """When it looks next, on the monotonic clock."""

    def set(self) -> None:
        due = self._due()
        if due < self.looks_at:
            self.stop()
            self.looks_at = due
            self._timer = asyncio.get_running_loop().call_later(due - time.monotonic(), self._look)

    def stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self.looks_at = math.inf

    def end(self) -> None:
        """Never ring again, and let go of who would hear it."""
        self.stop()
        self._due, self._ring = _never, _nothing

    def _look(self) -> None:
        self.stop()
        if self._due() <= time.monotonic():
            self._ring()
        else:
            self.set()


def _never() -> float:
    return math.inf


def _nothing() -> None:
    pass


@asynccontextmanager
async def beside(work: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    """Within this the work goes on as a task of its own; then it is cancelled, and has ended."""
    task = asyncio.create_task(work)
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait([task])
