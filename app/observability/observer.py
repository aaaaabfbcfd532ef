"""The seam between a session, above it, and who looks at it: metrics, traces and the log of outcomes."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence

from app.models.answers import Feedback
from app.models.effects import CancelQuery, StartQuery
from app.models.pieces import Sent

logger = logging.getLogger(__name__)


class Observer:
    """Somebody who is told what happens in one session, in this order, and has no say in it."""

    __slots__ = ()

    def attended(self) -> None:
        """A connection of the session begins. Called in its context (`contextvars`)."""

    def sent(self, frame: Sent) -> None:
        """The session made this frame; not told of those that answer a chunk the short way (`models/heard.py`)."""

    def started(self, effect: StartQuery) -> None:
        """A query begins. Called in the context that the query will run in."""

    def cancelled(self, effect: CancelQuery) -> None:
        """A query has ended without a final frame."""

    def rated(self, feedback: Feedback) -> None:
        """Somebody has said what they think of an answer."""


class Observers:
    """All observers of one session as one: what one of them raises is logged, and concerns nobody else."""

    __slots__ = ("_all",)

    def __init__(self, observers: Sequence[Observer]) -> None:
        self._all = observers

    def attended(self) -> None:
        self._tell(lambda observer: observer.attended())

    def sent(self, frame: Sent) -> None:
        for observer in self._all:  # as `_tell` would, at half its cost: once for each token
            try:
                observer.sent(frame)
            except Exception:
                _log_failure(observer)

    def started(self, effect: StartQuery) -> None:
        self._tell(lambda observer: observer.started(effect))

    def cancelled(self, effect: CancelQuery) -> None:
        self._tell(lambda observer: observer.cancelled(effect))

    def rated(self, feedback: Feedback) -> None:
        self._tell(lambda observer: observer.rated(feedback))

    def _tell(self, call: Callable[[Observer], None]) -> None:
        for observer in self._all:
            try:
                call(observer)
            except Exception:
                _log_failure(observer)


def _log_failure(observer: Observer) -> None:
    logger.exception("an observer failed: %s", type(observer).__name__)
