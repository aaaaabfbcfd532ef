"""The seam between a session, above it, and who looks at it: metrics, traces and the log of outcomes."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Protocol

from app.models.effects import CancelQuery, StartQuery
from app.models.messages import ServerMessage

logger = logging.getLogger(__name__)


class Observer(Protocol):
    """Somebody who is told what happens in one session, in this order, and has no say in it."""

    def attended(self) -> None:
        """A connection of the session begins. Called in its context (`contextvars`)."""
        ...

    def sent(self, frame: ServerMessage) -> None:
        """The session made this frame."""
        ...

    def started(self, effect: StartQuery) -> None:
        """A query begins. Called in the context that the query will run in."""
        ...

    def cancelled(self, effect: CancelQuery) -> None:
        """A query has ended without a final frame."""
        ...


class Observers:
    """All observers of one session as one: what one of them raises is logged, and concerns nobody else."""

    __slots__ = ("_all",)

    def __init__(self, observers: Sequence[Observer]) -> None:
        self._all = observers

    def attended(self) -> None:
        for observer in self._all:
            try:
                observer.attended()
            except Exception:
                _log_failure(observer)

    def sent(self, frame: ServerMessage) -> None:
        for observer in self._all:
            try:
                observer.sent(frame)
            except Exception:
                _log_failure(observer)

    def started(self, effect: StartQuery) -> None:
        for observer in self._all:
            try:
                observer.started(effect)
            except Exception:
                _log_failure(observer)

    def cancelled(self, effect: CancelQuery) -> None:
        for observer in self._all:
            try:
                observer.cancelled(effect)
            except Exception:
                _log_failure(observer)


def _log_failure(observer: Observer) -> None:
    logger.exception("an observer failed: %s", type(observer).__name__)
