"""All sessions of one process: opened, found again, counted and ended here."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Literal

from app.codes import CloseCode
from app.config import Settings
from app.models.lifetime import Ending
from app.sessions.archive import Archive, Record
from app.sessions.limits import Slots
from app.sessions.live import Conversation

logger = logging.getLogger(__name__)

# How long closing frames and the clean-up of providers may take when the process ends, in seconds.
CLOSING_SECONDS = 2.0


class Sessions:
    """Owns the life of every session. `archive` is what finds a session by its token."""

    def __init__(self, settings: Settings, archive: Archive) -> None:
        self._settings = settings
        self._archive = archive
        self._conversations: dict[str, tuple[Conversation, str | None]] = {}
        self._of_tenant: Counter[str | None] = Counter()
        self._lives: set[asyncio.Task[None]] = set()
        self._is_quiet = asyncio.Event()
        self._drain_scope: asyncio.Timeout | None = None
        self._sockets: set[asyncio.Timeout] = set()
        self._of_address: Counter[str] = Counter()
        self.is_draining = False
        self.running = Slots(settings.max_running_queries)

    def __len__(self) -> int:
        return len(self._conversations)

    @property
    def parked(self) -> int:
        """Sessions that wait for their client to come back."""
        return sum(conversation.is_parked for conversation, _ in self._conversations.values())

    @property
    def unread(self) -> int:
        """Frames that wait for clients to read."""
        return sum(conversation.unread for conversation, _ in self._conversations.values())

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
        parked = (
            conversation
            for conversation, owner in self._conversations.values()
            if conversation.is_parked and tenant in {None, owner}
        )
        given_up = min(parked, key=lambda each: (each.session.query is not None, each.parked_at), default=None)
        if given_up is not None:
            given_up.end()
        return given_up is not None

    def count(self, tenant: str | None) -> int:
        """How many sessions belong to this tenant."""
        return self._of_tenant[tenant]

    # One session

    async def open(self, key: str, tenant: str | None, make: Callable[[Record], Conversation]) -> Conversation:
        """Begin a session that belongs to this tenant."""
        conversation = make(self._archive.open(key))
        self._conversations[key] = conversation, tenant
        self._of_tenant[tenant] += 1
        life = asyncio.create_task(self._live(key, conversation))
        self._lives.add(life)
        life.add_done_callback(self._lives.discard)
        await conversation.has_begun.wait()
        if self.is_draining:  # since its handshake
            conversation.end()
        return conversation

    async def _live(self, key: str, conversation: Conversation) -> None:
        try:
            await conversation.live()
        except Exception:
            logger.exception("a session broke")
        finally:
            _, tenant = self._conversations.pop(key)
            self._of_tenant[tenant] -= 1
            if not self._of_tenant[tenant]:
                del self._of_tenant[tenant]

    def find(self, token: str, tenant: str | None) -> Conversation | None:
        """The session that this token opens for this tenant, unless it is over."""
        key = self._archive.holder(token)
        conversation, owner = self._conversations.get(key, (None, None)) if key is not None else (None, None)
        return conversation if conversation is not None and not conversation.is_over and owner == tenant else None

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
        scope = asyncio.timeout(None)
        self._sockets.add(scope)
        self._of_address[address] += 1
        try:
            async with scope:
                yield
        except TimeoutError:
            if not scope.expired():
                raise
        finally:
            self._sockets.discard(scope)
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
        self._wind_down(seconds)
        try:
            async with asyncio.timeout(seconds + CLOSING_SECONDS) as self._drain_scope:
                while self.attended:
                    self._is_quiet.clear()
                    await self._is_quiet.wait()
        except TimeoutError:
            logger.warning("%d sockets did not close in time", self.attended)
            for scope in self._sockets:  # their clients do not read
                scope.reschedule(asyncio.get_running_loop().time())
        finally:
            self._drain_scope = None

    def hurry(self) -> None:
        """Cut a drain short: what runs is interrupted, and told so."""
        self._wind_down(0)
        if self._drain_scope is not None:
            self._drain_scope.reschedule(asyncio.get_running_loop().time() + CLOSING_SECONDS)

    def _wind_down(self, seconds: float) -> None:
        ending = Ending("draining", CloseCode.RESTART, time.monotonic() + seconds)
        for conversation, _ in list(self._conversations.values()):
            conversation.wind_down(ending)

    async def aclose(self) -> None:
        """End everything that still lives; a provider that does not let go is left behind."""
        for conversation, _ in list(self._conversations.values()):
            conversation.end(CloseCode.RESTART, "draining")
        if self._lives:
            _, left = await asyncio.wait(self._lives, timeout=CLOSING_SECONDS)
            if left:
                logger.error("%d sessions did not end", len(left))
