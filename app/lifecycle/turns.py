"""Whose message is heard when: no two questions of one moment leave together, for their answers would come together."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from weakref import WeakKeyDictionary


class Turns:
    """Turns of all sockets of one event loop: while a question is on its way to its task, nobody else is heard.

    Of what comes in one turn of the loop, all would be heard before the first question leaves. Then they leave at once,
    and so do their answers, each of which waits for those before it. One by one, half of the first texts of 200 running
    answers come in a third of the time (`tests.benchmarks.relay`).
    """

    def __init__(self) -> None:
        self.is_taken = False
        """A question was heard, and its task has not begun."""
        self._waiting: deque[Callable[[], None]] = deque()

    def take(self) -> None:
        """A task was made that asks: it is before all that is called soon from now on."""
        if not self.is_taken:
            self.is_taken = True
            asyncio.get_running_loop().call_soon(self._pass_on)

    def wait(self, begin: Callable[[], None]) -> None:
        """Have `begin` called when those before have had their turn, while it `is_taken`."""
        self._waiting.append(begin)

    def _pass_on(self) -> None:
        self.is_taken = False
        try:
            while self._waiting and not self.is_taken:
                self._waiting.popleft()()
        finally:
            if self._waiting:  # after a question, and after a bug
                self.take()


_of_loops: WeakKeyDictionary[asyncio.AbstractEventLoop, Turns] = WeakKeyDictionary()


def turns_of(loop: asyncio.AbstractEventLoop) -> Turns:
    return _of_loops.setdefault(loop, Turns())
