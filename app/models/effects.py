"""What a session wants done, in this order; the live session does it."""

from __future__ import annotations

from dataclasses import dataclass

from app.codes import CloseCode
from app.models.answers import Feedback, Question
from app.models.messages import Timing
from app.models.pieces import Sent


@dataclass(slots=True)  # not frozen: that would double what making one costs, once for each frame
class Send:
    frame: Sent


@dataclass(frozen=True, slots=True)
class StartQuery:
    query_id: str
    question: Question


@dataclass(frozen=True, slots=True)
class CancelQuery:
    """End the running query; only the next one waits until it has ended. `reason` and `timing` are for the log."""

    query_id: str
    reason: str
    timing: Timing


@dataclass(frozen=True, slots=True)
class Rate:
    feedback: Feedback


@dataclass(frozen=True, slots=True)
class Close:
    """End the session, and close its connection with this WebSocket code; nothing follows."""

    code: CloseCode
    reason: str


@dataclass(frozen=True, slots=True)
class LogBug:
    """A message met a bug: the log gets the traceback, the client none of it."""

    error: Exception


Effect = Send | LogBug | StartQuery | CancelQuery | Rate | Close
