"""Looks how things stand in this process, for the gauges, and how late its event loop is."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from app.accounts import Accounts
from app.metrics import Metrics, State
from app.readiness import Readiness
from app.sessions import Sessions

# How often it is looked, in seconds: with several processes what the others show is that old at most.
INTERVAL = 0.5


class Gauges:
    """`show` sets the gauges of `metrics` to this moment."""

    def __init__(self, metrics: Metrics, sessions: Sessions, accounts: Accounts, readiness: Readiness) -> None:
        self._metrics = metrics
        self._sessions = sessions
        self._accounts = accounts
        self._readiness = readiness

    def show(self) -> None:
        breakers: Counter[str] = Counter()
        for provider in self._accounts.providers:
            breakers[provider.name] += not provider.breaker.is_closed
        running = self._sessions.running
        state = State(
            sessions_open=len(self._sessions),
            sessions_parked=self._sessions.parked,
            queries_running=running.running,
            queries_queued=running.waiting + self._accounts.waiting,
            frames_unread=self._sessions.unread,
            is_ready=self._readiness.reason is None,
            open_breakers=breakers,
        )
        self._metrics.show(state)

    @asynccontextmanager
    async def watched(self) -> AsyncIterator[None]:
        """Within this the gauges are kept up to date, and the lag of the event loop is measured."""
        task = asyncio.create_task(self._watch())
        try:
            yield
        finally:
            task.cancel()
            await asyncio.wait([task])
            self._metrics.close()

    async def _watch(self) -> None:
        while True:
            self.show()
            due = time.monotonic() + INTERVAL
            await asyncio.sleep(INTERVAL)
            self._metrics.lag.observe(max(0.0, time.monotonic() - due))
