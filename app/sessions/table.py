"""All sessions of one process: opened, found again, counted and ended here."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Literal

from app.codes import CloseCode
from app.config import Settings
from app.models.lifetime import Ending
from app.services.waiting import Stay
from app.sessions.limits import Slots
from app.sessions.live import LiveSession
from app.sessions.presence import Presence
from app.sessions.resume import Tokens

logger = logging.getLogger(__name__)

# How long closing frames and the clean-up of providers may take when the process ends, in seconds.
CLOSING_SECONDS = 2.0


class Sessions:
    """Owns the life of every session."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._sessions: dict[str, LiveSession] = {}
        self._of_tenant: Counter[str | None] = Counter()
        self._lives: set[asyncio.Task[None]] = set()
        self._is_quiet = asyncio.Event()
        self._draining = Stay()
        self._sockets: set[Stay] = set()
        self._of_address: Counter[str] = Counter()
        self.is_draining = False
        self.running = Slots(settings.max_running_queries)
        self.tokens = Tokens()
        self.presence = Presence()

    def __len__(self) -> int:
        return len(self._sessions)

    @property
    def parked(self) -> int:
        """Sessions that wait for their client to come back."""
        return len(self.presence.parked)

    @property
    def is_full(self) -> bool:
        """Nobody could get in: every place is taken, and none of them by a session that only waits for its client."""
        return len(self) >= self._settings.max_sessions and not self.parked

    def unavailable(
        self, resume_token: str | None, tenant: str | None, *, may_take_place: bool
    ) -> Literal["draining", "too_many_sessions"] | None:
        """Why nobody is let in at the moment; who comes back to a session takes no new place.

        Who is known (`may_take_place`) gets the place of a parked session when there is no other.
        """
        if self.is_draining:
            return "draining"
        if resume_token is not None and self.find(resume_token, tenant) is not None:
            return None
        # Of many who come at once, none is a session yet; the one who asks is attended already.
        if max(len(self), self.attended - 1) < self._settings.max_sessions:
            return None
        if self.attended <= self._settings.max_sessions and may_take_place and self.make_room():
            return None
        return "too_many_sessions"

    def make_room(self, tenant: str | None = None) -> bool:
        """End one parked session, of this tenant if one is named: without a running answer first, then the oldest."""
        parked = (self._sessions[key] for key in self.presence.parked)
        of_tenant = (each for each in parked if tenant in {None, each.tenant})
        chosen = min(of_tenant, key=lambda each: each.session.query is not None, default=None)
        if chosen is not None:
            chosen.end()
        return chosen is not None

    def count(self, tenant: str | None) -> int:
        """How many sessions belong to this tenant."""
        return self._of_tenant[tenant]

    # One session

    async def open(self, live: LiveSession) -> None:
        """Let a session begin."""
        self._sessions[live.key] = live
        self._of_tenant[live.tenant] += 1
        life = asyncio.create_task(self._live(live))
        self._lives.add(life)
        life.add_done_callback(self._lives.discard)
        await live.has_begun.wait()
        if self.is_draining:  # since its handshake
            live.end()

    async def _live(self, live: LiveSession) -> None:
        try:
            await live.live()
        except Exception:
            logger.exception("a session broke")
        finally:
            del self._sessions[live.key]
            self._of_tenant[live.tenant] -= 1
            if not self._of_tenant[live.tenant]:
                del self._of_tenant[live.tenant]

    def find(self, token: str, tenant: str | None) -> LiveSession | None:
        """The session that this token opens for this tenant, unless it is over."""
        live = self._sessions.get(self.tokens.key_of(token) or "")
        return live if live is not None and not live.is_over and live.tenant == tenant else None

    @property
    def attended(self) -> int:
        """Sockets that are served at the moment."""
        return len(self._sockets)

    def of_address(self, address: str) -> int:
        """Sockets that are served for this address at the moment."""
        return self._of_address[address]

    @asynccontextmanager
    async def attending(self, address: str) -> AsyncIterator[None]:
        """Within this a socket is served; a drain that is over ends it at its next `await`."""
        stay = Stay()
        self._sockets.add(stay)
        self._of_address[address] += 1
        try:
            async with stay:
                yield
        finally:
            self._sockets.discard(stay)
            self._of_address[address] -= 1
            if not self._of_address[address]:
                del self._of_address[address]
            if not self._sockets:
                self._is_quiet.set()

    # The end of the process

    async def drain(self) -> None:
        """Take nothing new; return when the running answers have ended and all sockets are closed, or time is over."""
        seconds = self._settings.drain_seconds
        logger.info("draining %d sessions, for %g s at most", len(self), seconds)
        self.is_draining = True
        async with self._draining:
            self.wind_down(seconds)
            while self.attended:
                self._is_quiet.clear()
                await self._is_quiet.wait()
        if self.attended:
            logger.warning("%d sockets did not close in time", self.attended)
            for stay in self._sockets:  # their clients do not read
                stay.end()

    def wind_down(self, seconds: float) -> None:
        """What still runs then is interrupted, and told so; a drain that goes on ends soon after."""
        ending = Ending("draining", CloseCode.RESTART, time.monotonic() + seconds)
        for live in list(self._sessions.values()):
            live.wind_down(ending)
        self._draining.end(after=seconds + CLOSING_SECONDS)

    async def aclose(self) -> None:
        """End everything that still lives; a provider that does not let go is left behind."""
        for live in list(self._sessions.values()):
            live.end(CloseCode.RESTART, "draining")
        if self._lives:
            _, left = await asyncio.wait(self._lives, timeout=CLOSING_SECONDS)
            if left:
                logger.error("%d sessions did not end", len(left))
