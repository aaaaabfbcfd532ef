"""The record that every query leaves in the log, by the name of `app.outcomes`."""

from __future__ import annotations

import logging

from app.models.effects import CancelQuery
from app.models.messages import FinalAnswer, Timing
from app.models.pieces import Sent
from app.observability.observer import Observer

# Operators filter by it: it stays, wherever this module goes.
logger = logging.getLogger("app.outcomes")


class OutcomeLog(Observer):
    """The `Observer` of one session that logs what has become of each query."""

    __slots__ = ("_session_id",)

    def __init__(self) -> None:
        self._session_id = ""

    def sent(self, frame: Sent) -> None:
        self._session_id = frame.session_id
        if isinstance(frame, FinalAnswer):
            outcome = "failed" if frame.error else "incomplete" if frame.incomplete else "answered"
            reason = frame.error.code if frame.error else "nothing_found" if frame.found is False else None
            self._log(outcome, reason, frame.query_id, frame.timing, frame.provider)

    def cancelled(self, effect: CancelQuery) -> None:
        self._log("interrupted", effect.reason, effect.query_id, effect.timing)

    def _log(
        self, outcome: str, reason: str | None, query_id: str, timing: Timing, provider: str | None = None
    ) -> None:
        # Not by the context: who ends a query may be no part of its session.
        fields = {"session_id": self._session_id, "query_id": query_id, "outcome": outcome, "reason": reason}
        fields |= vars(timing)
        if provider is not None:
            fields["provider"] = provider
        what = f"{outcome} ({reason})" if reason else outcome
        logger.info("question %s after %d ms", what, timing.total_ms, extra=fields)
