"""Who is there: counted when something changes, for sessions come by the thousand and are asked about all the time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from app.sessions.connection import Connection

# After a standstill of the process of this length, as much longer a session waits for its client, in seconds.
LATE_SECONDS = 1.0


class Presence:
    """Of all sessions of one process."""

    def __init__(self) -> None:
        self.parked: dict[str, None] = {}
        """The keys of the sessions that wait for their client to come back; who waits longest stands first."""
        self.behind: set[Connection] = set()
        """The sockets that may have something unsent."""
        self.chunks_heard = 0
        """Those that were answered the short way (`models/heard.py`): so many that no observer is told of them."""

    @property
    def unread(self) -> int:
        """Frames that wait for clients to read."""
        return sum(connection.unread for connection in self.behind)


class Parking:
    """One session's wait for its client, of so many seconds."""

    def __init__(self, key: str, seconds: float, presence: Presence) -> None:
        self._key = key
        self._seconds = seconds
        self._parked = presence.parked
        self._until: asyncio.TimerHandle | None = None

    def begin(self, give_up: Callable[[], None]) -> None:
        """Wait; nobody has come: `give_up`."""
        self._parked[self._key] = None
        loop = asyncio.get_running_loop()
        due = loop.time() + self._seconds
        self._until = loop.call_at(due, self._look, due, give_up)

    def end(self) -> None:
        if self._until is not None:
            self._until.cancel()
            self._until = None
            self._parked.pop(self._key, None)

    def _look(self, due: float, give_up: Callable[[], None]) -> None:
        loop = asyncio.get_running_loop()
        if loop.time() < due + LATE_SECONDS:
            give_up()
        else:  # the process stood still: who came back in time may be at the door
            self._until = loop.call_later(LATE_SECONDS, give_up)
