"""The seam to where sessions are kept for clients that come back to another process.

Above it: `opening.py`, which asks for a session that is not here, and the sessions, each of which writes into its
log, and the accounts, for what a tenant may have. Below it: `LocalStore`, which keeps nothing beyond this process, and
`shared/`, which keeps all of it in Redis.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, Self

from starlette.types import Receive, Send

from app.codes import CloseCode
from app.config import Settings
from app.identity import Tenant
from app.sessions.direct import DirectSocket
from app.sessions.frames import FrameLog, NotKept
from app.sessions.limits import Quota


class Left(Protocol):
    """A socket that is done with: `left_with` is what its client has closed it with, unless there is a `close_code`."""

    close_code: CloseCode | None
    left_with: int

    async def say_goodbye(self) -> None:
        """Close it, unless the client has done it."""


class Visit(Protocol):
    """The way of a client to its session."""

    async def attend(self, receive: Receive, send: Send, direct: DirectSocket | None = None) -> Left:
        """Serve it at this socket, until one of the two is done with it."""
        ...


class FarVisit(Visit, Protocol):
    """One to another process."""

    def let_go(self) -> None:
        """Its client has left before it was served."""


class StoreAway(Exception):
    """The store cannot be asked at the moment: whether it has the session is not known."""


@dataclass(frozen=True, slots=True)
class Claim:
    """What a client that comes back says of its session; `expires_in`: how long it may have it."""

    token: str
    last_seq: int
    session_id: str | None
    expires_in: float = math.inf

    @classmethod
    def of(cls, query: Mapping[str, str]) -> Self | None:
        """What it says in its URL; None if it does not come back."""
        token, last_seq = query.get("resume_token"), query.get("last_seq", "")
        if token is None:
            return None
        is_number = last_seq.isascii() and last_seq.isdigit() and len(last_seq) < 16
        return cls(token, int(last_seq) if is_number else 0, query.get("session_id") or None)


@dataclass(frozen=True, slots=True)
class Taken:
    """A session that is this process's from now on, as its former one has written it down `age` seconds ago.

    `frames` are those of its `log` that were made since; `questions` it might still have asked at once.
    """

    key: str
    log: FrameLog
    written: dict[str, Any]
    hashes: Sequence[str]
    frames: Sequence[str]
    age: float
    questions: float = math.inf


class Store(Protocol):
    @property
    def is_shared(self) -> bool:
        """Other processes may have sessions that clients come back for."""
        ...

    @property
    def is_away(self) -> bool:
        """It cannot be asked at the moment."""
        ...

    def new_log(self, key: str, tenant: str | None) -> FrameLog:
        """The log of a new session."""
        ...

    def quota(self, tenant: Tenant) -> Quota:
        """What this tenant may have, here and in the other processes together."""
        ...

    async def claim(self, claim: Claim, tenant: str | None) -> Taken | FarVisit:
        """The session that another process had, or the way to it while that one is answering.

        Raises `NotKept`, or `StoreAway`.
        """
        ...


class LocalStore:
    """The `Store` of a process that shares nothing."""

    is_shared = False
    is_away = False

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def new_log(self, key: str, tenant: str | None) -> FrameLog:
        settings = self._settings
        return FrameLog(settings.resume_frames if settings.resume_seconds else 0, settings.resume_bytes)

    def quota(self, tenant: Tenant) -> Quota:
        return Quota(tenant.max_sessions, tenant.queries_per_minute, tenant.max_running_queries)

    async def claim(self, claim: Claim, tenant: str | None) -> Taken | FarVisit:
        raise NotKept("unknown_token")
