"""The deadlines of one query to a backend, and waiting under them."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable
from typing import TypeVar

from app.errors import Phase, RagTimeout
from app.services.waiting import Alarm

# After what closes an answer, how long the rest is waited for, in seconds: the other one of a chatflow's two closing
# events, or what it cost.
SECOND_EVENT_SECONDS = 1.5

T = TypeVar("T")


class Deadlines:
    """The clock of one query: which deadline comes next, as time of the event loop.

    The connect timeout is the HTTP client's own; these are the others, counted from the start of the query and, for a
    stall, from when the client was last ready for more text. After a closing event, only the rest is waited for.
    """

    def __init__(self, first_text: float, stall: float, total: float) -> None:
        self._stall = stall
        self._now = asyncio.get_running_loop().time
        start = self._now()
        self._total = start + total
        self._next = start + first_text
        self._closing = math.inf
        self._phase: Phase = "first_text"

    def text_came(self) -> None:
        self._next = self._now() + self._stall
        self._phase = "stall"

    def life_came(self) -> None:
        """Something came that is no text: that is no stall."""
        if self._phase == "stall":
            self.text_came()

    def client_took(self, seconds: float) -> None:
        if self._phase == "stall":
            self._next += seconds

    def closing_came(self) -> None:
        # Counted from the first closing event: pings may go on after it.
        self._closing = min(self._closing, self._now() + SECOND_EVENT_SECONDS)

    def at(self) -> float:
        return min(self._next, self._total, self._closing)

    def error(self, *, is_silent: bool = False) -> RagTimeout:
        phase: Phase = "total" if self._total <= self._next else self._phase
        what = f"{phase}, and not one event with data" if is_silent else phase
        return RagTimeout(f"no answer in time: {what}", phase, is_silent=is_silent)


class Watch:
    """`asyncio.timeout_at` for the thousands of short waits of one task: a tenth of a relayed token's cost.

    Its alarm is set once, for most waits end long before their deadline.
    """

    def __init__(self, deadlines: Deadlines) -> None:
        task = asyncio.current_task()
        assert task is not None
        self.deadlines = deadlines
        self._task = task
        self._loop = asyncio.get_running_loop()
        self._is_waiting = self._has_cancelled = False
        self._alarm = Alarm(deadlines.at, self._ring)

    def stop(self) -> None:
        self._alarm.stop()

    def _ring(self) -> None:
        if self._is_waiting:
            self._has_cancelled = True
            self._task.cancel()

    async def wait(self, what: Callable[[], Awaitable[T]]) -> T:
        """Return what that comes to. Raises `TimeoutError` at the deadline."""
        deadline = self.deadlines.at()
        if deadline <= self._loop.time():
            raise TimeoutError
        if deadline < self._alarm.looks_at:  # a stall may come before what it is set to
            self._alarm.set()
        cancels = self._task.cancelling()
        self._is_waiting = True
        try:
            return await what()
        except asyncio.CancelledError as error:
            if self._has_cancelled and self._task.uncancel() <= cancels:
                raise TimeoutError from error
            raise
        finally:
            self._is_waiting = False
