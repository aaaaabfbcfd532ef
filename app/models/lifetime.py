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


class Lifetime:
    """The clock of one session's life. All times are seconds of the session's clock.

    `expires_at`: when the proof that let the client in is worth nothing any more.
    """

    def __init__(self, settings: Settings) -> None:
        self._idle_seconds = settings.idle_seconds
        self._drain_seconds = settings.drain_seconds
        self._max_seconds = settings.max_session_seconds or math.inf
        self._heard_at = 0.0
        self._old_at = math.inf
        self.expires_at = math.inf
        self.ending: Ending | None = None

    def begin(self, now: float) -> None:
        self._heard_at = now
        self._old_at = now + self._max_seconds

    def heard(self, now: float) -> None:
        """The client, or an answer for it, shows that somebody is there."""
        self._heard_at = now

    @property
    def due(self) -> float:
        if self.ending is not None:
            return self.ending.at
        return min(self._heard_at + self._idle_seconds, self._old_at, self.expires_at)

    def is_idle(self, now: float) -> bool:
        return now >= self._heard_at + self._idle_seconds

    def ending_of_age(self, now: float) -> Ending | None:
        """What ends a session that is too old, or whose proof has expired; None before."""
        if now >= self.expires_at:
            return Ending("token_expired", CloseCode.UNAUTHORIZED, now + self._drain_seconds)
        if now >= self._old_at:
            return Ending("too_old", CloseCode.RESTART, now + self._drain_seconds)
        return None
