"""What signals do: SIGTERM and SIGINT drain the sessions, SIGHUP reads files again."""

from __future__ import annotations

import asyncio
import multiprocessing
import signal
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from contextvars import copy_context
from typing import Any

import uvicorn

from app.lifecycle.server import UNREAD_SECONDS
from app.sessions.table import Sessions

SIGNALS = (signal.SIGTERM, signal.SIGINT)

# A supervisor of workers repeats what a terminal has sent to all of them already, within this time in seconds.
REPEAT_SECONDS = 1.5


@asynccontextmanager
async def drained_on_signal(sessions: Sessions) -> AsyncIterator[None]:
    """Within this, SIGTERM and SIGINT drain the sessions; a second one means now.

    The server gets to know only then: it would close every socket at once.
    """
    if threading.current_thread() is not threading.main_thread():
        yield  # signals are the main thread's: whoever runs this in another one ends it in another way
        return
    drain = _Drain(sessions, {number: signal.getsignal(number) for number in SIGNALS})
    for number in SIGNALS:
        signal.signal(number, drain.catch)
    try:
        yield
    finally:
        drain.release()


@contextmanager
def reloaded_on_signal(*reloads: Callable[[], None]) -> Iterator[None]:
    """Within this, SIGHUP makes them read their files again, where there is such a signal."""
    if threading.current_thread() is not threading.main_thread() or not hasattr(signal, "SIGHUP"):
        yield
        return
    loop, context = asyncio.get_running_loop(), copy_context()

    def reload(*_: object) -> None:
        for each in reloads:
            loop.call_soon_threadsafe(each, context=context)

    former = signal.signal(signal.SIGHUP, reload)
    try:
        yield
    finally:
        signal.signal(signal.SIGHUP, former)


class _Drain:
    def __init__(self, sessions: Sessions, former: dict[signal.Signals, Any]) -> None:
        self._sessions = sessions
        self._former = former
        self._loop = asyncio.get_running_loop()
        # A signal comes in the midst of some session, whose name its records must not bear.
        self._context = copy_context()
        self._task: asyncio.Task[None] | None = None
        self._began_at = 0.0

    def catch(self, number: int, _: object) -> None:
        self._loop.call_soon_threadsafe(self._begin, signal.Signals(number), context=self._context)

    def release(self) -> None:
        for number, former in self._former.items():
            signal.signal(number, former)
        if self._task is not None:
            self._task.cancel()

    def _begin(self, number: signal.Signals) -> None:
        now = self._loop.time()
        if self._task is None:
            self._began_at = now
            self._task = self._loop.create_task(self._run(number))
        elif multiprocessing.parent_process() is None or now > self._began_at + REPEAT_SECONDS:
            self._sessions.wind_down(0)

    async def _run(self, number: signal.Signals) -> None:
        await self._sessions.drain()
        former = self._former[number]
        server = getattr(former, "__self__", None)
        if isinstance(server, uvicorn.Server):
            if server.config.timeout_graceful_shutdown is None:
                server.config.timeout_graceful_shutdown = UNREAD_SECONDS
            # Not its own handler, which raises the signal once more in the end: this is an orderly exit.
            server.should_exit = True
        else:
            signal.signal(number, former)
            signal.raise_signal(number)
