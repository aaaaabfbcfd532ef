"""When a session ends by itself: for silence, for its age, or because it was told to."""

from __future__ import annotations

import math
from dataclasses import dataclass

from app.codes import CloseCode
from app.config import Settings


@dataclass(frozen=True, slots=True)
class Ending:
    """An end that lets the running answer finish until `at`; `reason` and `code` are what the client is told."""

    reason: str
    code: CloseCode
    at: float


@dataclass(slots=True)
class Lifetime:
    """The clock of one session's life. All times are seconds of the session's clock.

    `heard_at`: when the client, or an answer for it, showed that somebody is there. `expires_at`: when the proof that
    let the client in is worth nothing any more.
    """

    settings: Settings
    heard_at: float = 0.0
    old_at: float = math.inf
    expires_at: float = math.inf
    ending: Ending | None = None

    def begin(self, now: float) -> None:
        self.heard_at = now
        self.old_at = now + (self.settings.max_session_seconds or math.inf)

    @property
    def idle_at(self) -> float:
        return self.heard_at + self.settings.idle_seconds

    @property
    def due(self) -> float:
        if self.ending is not None:
            return self.ending.at
        return min(self.idle_at, self.old_at, self.expires_at)

    def ending_of_age(self, now: float) -> Ending | None:
        """What ends a session that is too old, or whose proof has expired; None before."""
        if now >= self.expires_at:
            return Ending("token_expired", CloseCode.UNAUTHORIZED, now + self.settings.drain_seconds)
        if now >= self.old_at:
            return Ending("too_old", CloseCode.RESTART, now + self.settings.drain_seconds)
        return None
