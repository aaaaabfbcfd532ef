"""All sessions of one process: opened, found again, counted and ended here."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Callable
from typing import Any, Literal, Self

from app.codes import CloseCode
from app.config import Settings
from app.models.lifetime import Ending
from app.services.waiting import Stay
from app.sessions.limits import Slots
from app.sessions.live import LiveSession
from app.sessions.moving import move
from app.sessions.presence import Presence
from app.sessions.resume import key_of

logger = logging.getLogger(__name__)

# How long closing frames and the clean-up of providers may take when the process ends, in seconds.
CLOSING_SECONDS = 2.0


class Sessions:
    """Owns the life of every session."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._sessions: dict[str, LiveSession] = {}
        self._of_tenant: Counter[str] = Counter()
        self._lives: set[asyncio.Task[None]] = set()
        self._is_quiet = asyncio.Event()
        self._draining = Stay()
        self._sockets: set[Stay] = set()
        self._of_address: Counter[str] = Counter()
        self.is_draining = False
        self._ending: Ending | None = None
        self.leaves: list[Callable[[], None]] = []
        """What else is done when a drain begins."""
        self.on_count: list[Callable[[str], None]] = []
        """Who is told, by its name, that a tenant has another number of sessions than before."""
        self.running = Slots(settings.max_running_queries)
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
        self, address: str, resume_token: str | None, tenant: str | None, *, may_take_place: bool
    ) -> Literal["too_many_connections", "draining", "too_many_sessions"] | None:
        """Why nobody is let in at the moment; who comes back to a session takes no new place.

        Who is known (`may_take_place`) gets the place of a parked session when there is no other.
        """
        if 0 < self._settings.connections_per_address < self._of_address[address]:
            return "too_many_connections"
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
        return 0 if tenant is None else self._of_tenant[tenant]

    # One session

    async def open(self, live: LiveSession, *, is_new: bool = True) -> None:
        """Let a session begin, or go on that another process had."""
        self._sessions[live.key] = live
        self._count(live.tenant, 1)
        life = asyncio.create_task(self._live(live))
        self._lives.add(life)
        life.add_done_callback(self._lives.discard)
        await live.has_begun
        if self._ending is not None:  # since its handshake
            live.end() if is_new else self._send_off(live, self._ending)

    async def _live(self, live: LiveSession) -> None:
        try:
            await live.live()
        except Exception:
            logger.exception("a session broke")
        finally:
            if self._sessions.get(live.key) is live:  # else it has been elsewhere, and is here again
                del self._sessions[live.key]
            self._count(live.tenant, -1)
            self._is_quiet.set()

    def _count(self, tenant: str | None, change: int) -> None:
        if tenant is None:
            return
        self._of_tenant[tenant] += change
        if not self._of_tenant[tenant]:
            del self._of_tenant[tenant]
        for tell in self.on_count:
            tell(tenant)

    @property
    def _moving(self) -> bool:
        """Sessions are there that others may go on with, when they are at rest."""
        return any(live.log.is_shared for live in self._sessions.values())

    def find(self, token: str, tenant: str | None) -> LiveSession | None:
        """The session that this token opens for this tenant, unless it is over."""
        live = self._sessions.get(key_of(token))
        if live is None or live.is_over or live.tenant != tenant or not live.tokens.opens(token):
            return None
        return live

    def by_key(self, key: str) -> LiveSession | None:
        """The session that another process asks for, unless it is over."""
        live = self._sessions.get(key)
        return None if live is None or live.is_over else live

    @property
    def attended(self) -> int:
        """Sockets that are served at the moment."""
        return len(self._sockets)

    def attending(self, address: str) -> Stay:
        """Within this a socket is served; a drain that is over ends it at its next `await`."""
        return _Attending(self, address)

    def begin_attending(self, stay: Stay, address: str) -> None:
        self._sockets.add(stay)
        self._of_address[address] += 1

    def end_attending(self, stay: Stay, address: str) -> None:
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
        for leave in self.leaves:
            leave()
        async with self._draining:
            self.wind_down(seconds)
            while self.attended or self._moving:
                self._is_quiet.clear()
                await self._is_quiet.wait()
        if self.attended:
            logger.warning("%d sockets did not close in time", self.attended)
            for stay in self._sockets:  # their clients do not read
                stay.end()

    def wind_down(self, seconds: float) -> None:
        """What still runs then is interrupted, and told so; a drain that goes on ends soon after."""
        self._ending = Ending("draining", CloseCode.RESTART, time.monotonic() + seconds)
        for live in list(self._sessions.values()):
            self._send_off(live, self._ending)
        self._draining.end(after=seconds + CLOSING_SECONDS)

    def _send_off(self, live: LiveSession, ending: Ending) -> None:
        """Let it go on elsewhere, or end."""
        if not live.log.is_shared:
            live.wind_down(ending)
        elif not live.is_over:
            live.tasks.create_task(move(live, ending))

    async def aclose(self) -> None:
        """End everything that still lives; a provider that does not let go is left behind."""
        for live in list(self._sessions.values()):
            live.end(CloseCode.RESTART, "draining")
        if self._lives:
            _, left = await asyncio.wait(self._lives, timeout=CLOSING_SECONDS)
            if left:
                logger.error("%d sessions did not end", len(left))


class _Attending(Stay):
    """One socket, from this address."""

    def __init__(self, sessions: Sessions, address: str) -> None:
        self._sessions = sessions
        self._address = address

    async def __aenter__(self) -> Self:
        self._sessions.begin_attending(self, self._address)
        return await super().__aenter__()

    async def __aexit__(self, *error: Any) -> bool:
        try:
            return await super().__aexit__(*error)
        finally:
            self._sessions.end_attending(self, self._address)
