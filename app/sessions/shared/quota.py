"""What a tenant may have over all processes that share a Redis."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from app.identity import Tenant
from app.sessions.limits import Quota
from app.sessions.shared.link import Link
from app.sessions.shared.scripts import SHARE, TAKE
from app.sessions.store import StoreAway


class SharedQuota(Quota):
    """While Redis is away it counts here alone. `key` is what the tenant's keys begin with, `me` this process's name.

    Of questions at once every process lets through an equal part, so that none has to wait for another one's.
    """

    def __init__(self, tenant: Tenant, link: Link, key: str, me: str, good_ms: int) -> None:
        super().__init__(tenant.max_sessions, tenant.queries_per_minute, tenant.max_running_queries)
        self._tenant = tenant
        self._link = link
        self._key = key
        self._me = me
        self._good_ms = good_ms
        self._entering = asyncio.Lock()

    @asynccontextmanager
    async def entering(self, count: Callable[[], int]) -> AsyncIterator[bool]:
        if self.max_sessions is None:
            yield True
            return
        async with self._entering:  # of those who come at once, each is counted before the next one is
            try:
                has_room = await self._link.call(self._share, count() + 1, self.max_sessions) >= 0
            except StoreAway:
                has_room = count() < self.max_sessions
            yield has_room

    async def take_question(self, now: float) -> float:
        if (per_minute := self._tenant.queries_per_minute) is None:
            return 0.0
        arguments = (f"{self._key}:questions", 60_000 / per_minute, per_minute)
        try:
            return int(await self._link.call(self._link.run_script, TAKE, *arguments)) / 1000
        except StoreAway:
            return await super().take_question(now)

    def tell(self, here: int) -> None:
        """The others should know that it has so many sessions here: they may know of a limit that is new."""
        self._share(here, "")

    def part(self, processes: int) -> None:
        """So many share what may run at once."""
        if self.slots is not None and (running := self._tenant.max_running_queries):
            self.slots.resize(math.ceil(running / processes))

    def _share(self, count: int, limit: int | str, **then: Any) -> None:
        self._link.run_script(SHARE, f"{self._key}:sessions", self._me, count, self._good_ms, limit, **then)
