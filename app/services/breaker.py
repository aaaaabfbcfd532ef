"""A circuit breaker: after enough failures in a row, an upstream is left alone for a while; no clock, no network."""

from __future__ import annotations

import logging
import math
from collections import Counter
from dataclasses import dataclass

from app.errors import RagBrokenStream, RagError, RagNotConfigured, RagTimeout, RagUnavailable

logger = logging.getLogger(__name__)

# What is said about the next try while the one question that finds out is on its way.
DECISIVE_RETRY_MS = 1000
# Of how many users it is remembered that their questions were met with silence.
MAX_UNHEARD = 1000


@dataclass(slots=True, eq=False)
class Trial:
    """One question of `user` on its way through a breaker. `era` counts the openings and closings before it."""

    era: int
    user: str = ""


class Breaker:
    """Closed, it lets every question pass; open, none; half-open, exactly one, whose fate decides. It begins closed.

    It opens after `limit` failures in a row (0: never), for `seconds`. Every trial ends with `succeed`, `fail` or
    neither (it was interrupted), and always with `leave`. All times are seconds of one clock.

    A timeout that `is_silent` may be the fault of who asks: until somebody has an answer, it counts once for each user.
    """

    def __init__(self, limit: int, seconds: float) -> None:
        self._limit = limit
        self._seconds = seconds
        self._in_a_row = 0
        self._open_until: float | None = None
        self._decisive: Trial | None = None
        self._era = 0
        self._unheard: set[str] = set()
        self.failures: Counter[str] = Counter()
        """All failures so far by phase: `connect`, `first_text`, `stall`, `total`, `unavailable`, `broken`."""

    @property
    def is_closed(self) -> bool:
        return self._open_until is None

    def admit(self, now: float, user: str = "") -> Trial:
        """Let a question pass, or raise `RagUnavailable` with the time until it is worth another try."""
        trial = Trial(self._era, user)
        if self._open_until is None:
            return trial
        if now < self._open_until:
            # The difference of two floats may come out a little longer than the whole rest.
            wait_ms = math.ceil(min(self._open_until - now, self._seconds) * 1000)
            raise RagUnavailable("not asked: it failed too often in a row", retry_after_ms=wait_ms)
        if self._decisive is not None:
            raise RagUnavailable("not asked: one question finds out first", retry_after_ms=DECISIVE_RETRY_MS)
        self._decisive = trial
        return trial

    def text_came(self, trial: Trial) -> None:
        """The answer has begun. For the one question that finds out this is enough: its answer may take minutes."""
        if trial is self._decisive:
            self._close(trial)

    def succeed(self, trial: Trial) -> None:
        """The answer is whole, or a refusal that only an upstream that works can give."""
        self.text_came(trial)
        if trial.era == self._era:
            self._in_a_row = 0
            self._unheard.clear()

    def fail(self, trial: Trial, error: RagError, now: float) -> None:
        phase = _phase_of(error)
        if phase is None:
            # Without a key nothing was asked: that says nothing about the upstream.
            if not isinstance(error, RagNotConfigured):
                self.succeed(trial)
            return
        self.failures[phase] += 1
        if trial.era != self._era:
            return  # it was asked before the breaker last changed: old news
        if isinstance(error, RagTimeout) and error.is_silent:
            if trial.user in self._unheard:
                return  # as if it had been interrupted
            if len(self._unheard) < MAX_UNHEARD:
                self._unheard.add(trial.user)
        self._in_a_row += 1
        if trial is self._decisive or 0 < self._limit <= self._in_a_row:
            self._open(phase, now)

    def leave(self, trial: Trial) -> None:
        """The question is over, however it ended: one that found nothing out frees its place."""
        if trial is self._decisive:
            self._decisive = None

    def _open(self, phase: str, now: float) -> None:
        logger.warning(
            "the provider is left alone for %g s: %d failures in a row, the last: %s",
            self._seconds,
            self._in_a_row,
            phase,
        )
        self._open_until = now + self._seconds
        self._era += 1
        self._decisive = None

    def _close(self, trial: Trial) -> None:
        logger.info("the provider answers again")
        self._open_until = None
        self._in_a_row = 0
        self._unheard.clear()
        self._era += 1
        self._decisive = None
        trial.era = self._era  # its end counts again


def _phase_of(error: RagError) -> str | None:
    """Which kind of trouble with the upstream this is; None for an answer, if only a refusal."""
    match error:
        case RagTimeout(phase=phase):
            return phase
        case RagUnavailable():
            return "unavailable"
        case RagBrokenStream():
            return "broken"
        case _:
            return None
