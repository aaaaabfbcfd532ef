"""Who is there: counted when something changes, for sessions come by the thousand and are asked about all the time."""

from __future__ import annotations

from app.sessions.connection import Connection


class Presence:
    """Of all sessions of one process."""

    def __init__(self) -> None:
        self.parked: dict[str, None] = {}
        """The keys of the sessions that wait for their client to come back; who waits longest stands first."""
        self.behind: set[Connection] = set()
        """The sockets that may have something unsent."""

    @property
    def unread(self) -> int:
        """Frames that wait for clients to read."""
        return sum(connection.unread for connection in self.behind)
